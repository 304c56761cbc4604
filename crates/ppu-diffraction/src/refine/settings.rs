//! What is known before a fit: candidates, instrument, priors, budget.

use std::time::Duration;

use crate::structure::{Phase, Tube};

/// A Gaussian prior; a standard deviation of zero holds the parameter at its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sigma: f64,
}

impl Prior {
    /// A parameter that is held.
    #[must_use]
    pub const fn fixed(mean: f64) -> Self {
        Self { mean, sigma: 0.0 }
    }

    /// A parameter that is refined.
    #[must_use]
    pub const fn new(mean: f64, sigma: f64) -> Self {
        Self { mean, sigma }
    }
}

/// One component of the tube's spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmissionLine {
    /// Wavelength in Å.
    pub wavelength_a: f64,
    /// Share of the intensity of its line, Kα1 or Kα2; the shares of a line sum to 1.
    pub share: f64,
    /// Relative full width ΔE/E of the Lorentzian.
    pub relative_width: f64,
    /// True for a component of Kα2.
    pub second: bool,
}

/// The spectrum of the tube as the detector sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Radiation {
    /// Anode: selects f', f'' and attenuation.
    pub tube: Tube,
    /// Components, the strongest of Kα1 first.
    pub lines: Vec<EmissionLine>,
}

impl Radiation {
    /// Kα1 and Kα2 at their peak wavelengths. The spectral width, which a monochromator may narrow, is left to the
    /// Lorentzian strain width of the phases.
    #[must_use]
    pub fn doublet(tube: Tube) -> Self {
        let line = |wavelength_a, second| EmissionLine { wavelength_a, share: 1.0, relative_width: 0.0, second };
        Self { tube, lines: vec![line(tube.k_alpha_1_a(), false), line(tube.k_alpha_2_a(), true)] }
    }

    /// Kα1 alone, behind a primary monochromator.
    #[must_use]
    pub fn k_alpha_1(tube: Tube) -> Self {
        let mut doublet = Self::doublet(tube);
        doublet.lines.truncate(1);
        doublet
    }

    /// The four components of Cu Kα of Hölzer et al., Phys. Rev. A 56, 4554 (1997), for cells to some ppm.
    #[must_use]
    pub fn copper_in_four() -> Self {
        /// eV Å.
        const HC: f64 = 12_398.419_84;
        let line = |energy: f64, width: f64, share, second| EmissionLine {
            wavelength_a: HC / energy,
            share,
            relative_width: width / energy,
            second,
        };
        // Areas 0.579, 0.080, 0.236, 0.105 as shares of their line.
        Self {
            tube: Tube::Cu,
            lines: vec![
                line(8047.837, 2.285, 0.579 / 0.659, false),
                line(8045.367, 3.358, 0.080 / 0.659, false),
                line(8027.993, 2.666, 0.236 / 0.341, true),
                line(8026.504, 3.571, 0.105 / 0.341, true),
            ],
        }
    }
}

/// What is known of a Bragg-Brentano diffractometer. Widths are full widths at half maximum in degrees of 2θ.
///
/// The Gaussian width obeys Γ_G² = (α + β tanθ)² + γ² tan²θ + ε², so that U = β² + γ², V = 2αβ and W = α² + ε² cannot
/// make it imaginary.
#[derive(Debug, Clone, PartialEq)]
pub struct InstrumentPriors {
    /// The tube.
    pub radiation: Radiation,
    /// Goniometer radius in mm.
    pub radius_mm: f64,
    /// K of the polarisation factor (1 + K cos²2θ)/(1 + K): 1 without monochromator, cos²2θ_m behind a mosaic one.
    pub polarisation_k: f64,
    /// Zero error in degrees, added to 2θ.
    pub zero_deg: Prior,
    /// ln α, α in degrees.
    pub ln_alpha: Prior,
    /// β in degrees.
    pub beta: Prior,
    /// ln γ, γ in degrees.
    pub ln_gamma: Prior,
    /// ln of the axial divergence S/L = H/L; nothing to leave the asymmetry out.
    pub ln_axial: Option<Prior>,
    /// ln of the ratio of integrated Kα2 to Kα1.
    pub ln_ratio: Prior,
}

/// The part of the Gaussian width that nothing takes away, in degrees.
pub(super) const EPSILON_DEG: f64 = 0.01;

impl InstrumentPriors {
    /// A laboratory diffractometer with Cu Kα about which nothing is known but its radius in mm and its monochromator
    /// (`polarisation_k`). The priors are wide enough for every instrument of the kind.
    #[must_use]
    pub fn laboratory(radius_mm: f64, polarisation_k: f64) -> Self {
        Self {
            radiation: Radiation::doublet(Tube::Cu),
            radius_mm,
            polarisation_k,
            zero_deg: Prior::new(0.0, 0.02),
            ln_alpha: Prior::new(-2.5, 0.5),
            beta: Prior::new(-0.01, 0.05),
            ln_gamma: Prior::new(-3.2, 1.0),
            // Soller slits of 0.02 to 0.04 rad.
            ln_axial: Some(Prior::new(-3.6, 0.3)),
            ln_ratio: Prior::new(-0.675, 0.04),
        }
    }

    /// The same without axial divergence: half the time, cells some 100 ppm worse.
    #[must_use]
    pub fn without_axial(self) -> Self {
        Self { ln_axial: None, ..self }
    }

    pub(super) fn is_sound(&self) -> bool {
        let sound = |prior: &Prior| prior.mean.is_finite() && prior.sigma.is_finite() && prior.sigma >= 0.0;
        let priors = [&self.zero_deg, &self.ln_alpha, &self.beta, &self.ln_gamma, &self.ln_ratio];
        let line = |line: &EmissionLine| {
            (0.1..5.0).contains(&line.wavelength_a)
                && (0.0..=1.0).contains(&line.share)
                && (0.0..0.01).contains(&line.relative_width)
        };
        !self.radiation.lines.is_empty()
            && self.radiation.lines.iter().all(line)
            && self.radiation.lines.iter().any(|line| !line.second)
            && priors.into_iter().chain(&self.ln_axial).all(sound)
            && self.ln_axial.is_none_or(|prior| (-12.0..-1.5).contains(&prior.mean))
            && (10.0..5000.0).contains(&self.radius_mm)
            && (0.0..=1.0).contains(&self.polarisation_k)
    }
}

/// A phase that may be in the specimen, and what is known of its grains.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its structure.
    pub phase: Phase,
    /// Axis of a preferred orientation to refine, for a habit that is known: (001) of a platy layer structure.
    pub texture_axis: Option<[i32; 3]>,
    /// Median radius of the particles in µm; they absorb as spheres (Brindley, Phil. Mag. 36, 347, 1945).
    pub particle_radius_um: f64,
    /// Standard deviation of ln radius.
    pub particle_radius_spread: f64,
    /// Relative standard deviation of the cell edges.
    pub cell_sigma: f64,
    /// Standard deviation of each stated B in Å²; one that is not stated gets a wider prior about an ordinary value.
    pub b_sigma: f64,
}

impl Candidate {
    /// A phase of which only the structure is known: random orientation, grains as milling for diffraction leaves them
    /// (radius 1 µm within a factor of two), cell within 1 %, B within 0.25 Å².
    #[must_use]
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            texture_axis: None,
            particle_radius_um: 1.0,
            particle_radius_spread: 0.7,
            cell_sigma: 0.01,
            b_sigma: 0.25,
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        (0.0..1e4).contains(&self.particle_radius_um)
            && (0.0..5.0).contains(&self.particle_radius_spread)
            && (0.0..0.2).contains(&self.cell_sigma)
            && (0.0..10.0).contains(&self.b_sigma)
            && self.texture_axis != Some([0, 0, 0])
    }
}

/// What a fit may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most iterations.
    pub iterations: usize,
    /// Longest time on the caller's clock.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { iterations: 40, time: Duration::from_secs(2) }
    }
}

/// Everything that a fit is told besides the pattern and the candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The instrument.
    pub instrument: InstrumentPriors,
    /// Displacement of the specimen in mm. A positive value moves lines to lower angles.
    pub displacement_mm: Prior,
    /// Range of 2θ in degrees to use; nothing for all of it.
    pub range_deg: Option<(f64, f64)>,
    /// Chebyshev polynomials of the background, besides one term in 1/2θ.
    pub background_terms: usize,
    /// True when the zero was calibrated with a standard, so that cells are as good as they look.
    pub calibrated: bool,
    /// What the fit may spend.
    pub budget: Budget,
}

impl Settings {
    /// For an instrument, with the displacement that ordinary mounting gives.
    #[must_use]
    pub fn new(instrument: InstrumentPriors) -> Self {
        Self {
            instrument,
            displacement_mm: Prior::new(0.0, 0.1),
            range_deg: None,
            background_terms: 9,
            calibrated: false,
            budget: Budget::default(),
        }
    }
}
