//! Stick patterns: the lines of a phase without profile, for comparison with peak lists and for screening.

use crate::structure::{Element, Phase, Scattering, Tube, reflections};

/// Lines closer than this in relative q are one stick: they differ by the rounding of equal spacings only.
const SAME_Q: f64 = 1e-9;

/// A line of a stick pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stick {
    /// Indices of the strongest set of planes at this place.
    pub hkl: [i32; 3],
    /// Spacing in Å.
    pub d: f64,
    /// 2θ in degrees.
    pub two_theta: f64,
    /// Number of planes, all sets together.
    pub multiplicity: u32,
    /// Σ m |F|² LP in electrons², with LP = (1 + K cos²2θ)/((1 + K) sin²θ cosθ).
    pub intensity: f64,
}

/// What a stick pattern is calculated for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StickSettings {
    /// Wavelength in Å.
    pub wavelength_a: f64,
    /// Lowest 2θ in degrees.
    pub from_deg: f64,
    /// Highest 2θ in degrees, below 180.
    pub to_deg: f64,
    /// K of the polarisation factor: 1 without monochromator.
    pub polarisation_k: f64,
}

/// The sticks of a phase in the order of rising 2θ, with the scattering factors of the tube whose Kα lines lie nearest to
/// the wavelength. Empty when the settings describe no range.
#[must_use]
pub fn sticks(phase: &Phase, settings: &StickSettings) -> Vec<Stick> {
    let tube = Tube::nearest(settings.wavelength_a);
    sticks_with(phase, settings, &|element| element.scattering(tube))
}

/// [`sticks`] with other scattering factors.
#[must_use]
pub fn sticks_with(phase: &Phase, settings: &StickSettings, scattering: &dyn Fn(Element) -> Scattering) -> Vec<Stick> {
    let &StickSettings { wavelength_a, from_deg, to_deg, polarisation_k } = settings;
    if !(0.0 <= from_deg && from_deg < to_deg && to_deg < 180.0 && wavelength_a > 0.0) {
        return Vec::new();
    }
    // sin θ = λ√q/2.
    let q_at = |two_theta: f64| (2.0 * (0.5 * two_theta).to_radians().sin() / wavelength_a).powi(2);
    let lowest = q_at(from_deg);
    let mut found = reflections::strengths(phase, q_at(to_deg), scattering);
    found.retain(|(plane, _)| plane.q >= lowest);
    let mut order: Vec<(u64, u32)> = (0..).zip(&found).map(|(index, (plane, _))| (plane.q.to_bits(), index)).collect();
    // Bits of positive numbers are ordered as the numbers are.
    order.sort_unstable();
    let mut sticks: Vec<Stick> = Vec::with_capacity(found.len());
    let (mut last_q, mut strongest) = (0.0, 0.0);
    for (_, index) in order {
        let (plane, f_squared) = &found[index as usize];
        let sin2 = 0.25 * wavelength_a * wavelength_a * plane.q;
        let cos = (1.0 - sin2).sqrt();
        let double = 1.0 - 2.0 * sin2;
        let polarised = (1.0 + polarisation_k * double * double) / ((1.0 + polarisation_k) * sin2 * cos);
        let intensity = f64::from(plane.multiplicity) * f_squared * polarised;
        if let Some(last) = sticks.last_mut()
            && plane.q - last_q <= SAME_Q * plane.q
        {
            if intensity > strongest {
                strongest = intensity;
                last.hkl = plane.hkl;
            }
            last.multiplicity += plane.multiplicity;
            last.intensity += intensity;
            continue;
        }
        (last_q, strongest) = (plane.q, intensity);
        sticks.push(Stick {
            hkl: plane.hkl,
            d: 1.0 / plane.q.sqrt(),
            two_theta: 2.0 * sin2.sqrt().asin().to_degrees(),
            multiplicity: plane.multiplicity,
            intensity,
        });
    }
    sticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::{Cell, Site, SpaceGroup};

    #[test]
    fn planes_of_equal_spacing_are_one_stick() {
        let sites = vec![Site::new("Pb", [0.0; 3], &[(Element::Pb, 1.0)], 0.0)];
        let phase = Phase::new("primitive", Cell::cubic(4.0), SpaceGroup::pm3m(), sites).unwrap();
        let settings = StickSettings { wavelength_a: 1.540_592_9, from_deg: 10.0, to_deg: 90.0, polarisation_k: 1.0 };
        let sticks = sticks(&phase, &settings);
        let nine = sticks.iter().find(|stick| (stick.d - 4.0 / 3.0).abs() < 1e-9).unwrap();
        // (300) and (221).
        assert_eq!(nine.multiplicity, 6 + 24);
        assert!(sticks.windows(2).all(|pair| pair[0].two_theta < pair[1].two_theta));
        let reflections = phase.reflections(1.1);
        let first = &sticks[0];
        assert!((first.d - reflections[0].d).abs() < 1e-12);
        let theta = (first.two_theta / 2.0).to_radians();
        let polarised = (1.0 + (2.0 * theta).cos().powi(2)) / (2.0 * theta.sin().powi(2) * theta.cos());
        let wanted = f64::from(reflections[0].multiplicity) * reflections[0].f_squared * polarised;
        assert!((first.intensity / wanted - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_range_that_is_none_has_no_sticks() {
        let sites = vec![Site::new("Pb", [0.0; 3], &[(Element::Pb, 1.0)], 0.0)];
        let phase = Phase::new("primitive", Cell::cubic(4.0), SpaceGroup::pm3m(), sites).unwrap();
        for (from_deg, to_deg) in [(50.0, 20.0), (10.0, 180.0), (f64::NAN, 90.0)] {
            let settings = StickSettings { wavelength_a: 1.54, from_deg, to_deg, polarisation_k: 1.0 };
            assert!(sticks(&phase, &settings).is_empty());
        }
    }
}
