//! One line on the grid: the pseudo-Voigt of Thompson, Cox and Hastings, smeared by axial divergence, with its
//! derivatives, for a whole window at once.

use std::f64::consts::{LN_2, LOG2_E, PI};
use std::ops::Range;

/// Nodes and weights of Gauss-Legendre quadrature on [0, 1], two, three and six points.
const TWO_NODES: [(f64, f64); 2] = [(0.211_324_865_405_187_13, 0.5), (0.788_675_134_594_812_9, 0.5)];
const THREE_NODES: [(f64, f64); 3] =
    [(0.112_701_665_379_258_31, 5.0 / 18.0), (0.5, 4.0 / 9.0), (0.887_298_334_620_741_7, 5.0 / 18.0)];
const SIX_NODES: [(f64, f64); 6] = [
    (0.033_765_242_898_423_99, 0.085_662_246_189_585_17),
    (0.169_395_306_766_867_74, 0.180_380_786_524_069_3),
    (0.380_690_406_958_401_55, 0.233_956_967_286_345_52),
    (0.619_309_593_041_598_4, 0.233_956_967_286_345_52),
    (0.830_604_693_233_132_3, 0.180_380_786_524_069_3),
    (0.966_234_757_101_576, 0.085_662_246_189_585_17),
];
/// Smearing narrower than these shares of the line needs two and three nodes only.
const NARROW_SHARE: f64 = 0.3;
const MEDIUM_SHARE: f64 = 1.0;
/// Smearing below this share of a step of the grid is invisible.
const INVISIBLE_STEP_SHARE: f64 = 0.1;
/// Beyond this many full widths the Gaussian part is below 1e-11 of its peak.
const GAUSSIAN_REACH: f64 = 3.0;
/// Beyond this many smearings the smeared Lorentzian equals one at the mean shift to a percent of its height there.
const SMEARING_REACH: f64 = 4.0;

/// Unit-area profile and its derivatives over a window; one value a point.
#[derive(Debug, Default, Clone)]
pub(crate) struct Window {
    pub(crate) value: Vec<f64>,
    /// By the place of the line, degrees.
    pub(crate) by_place: Vec<f64>,
    /// By the Gaussian and Lorentzian full widths, degrees.
    pub(crate) by_gaussian: Vec<f64>,
    pub(crate) by_lorentzian: Vec<f64>,
    /// By the axial divergence S/L; empty without.
    pub(crate) by_axial: Vec<f64>,
}

/// Width and mixing of a pseudo-Voigt with their derivatives by both component widths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixture {
    pub(crate) width: f64,
    eta: f64,
    width_by: [f64; 2],
    eta_by: [f64; 2],
}

impl Mixture {
    /// For Gaussian and Lorentzian full widths `g` > 0 and `l` ≥ 0 (J. Appl. Cryst. 20, 79, 1987).
    pub(crate) fn new(g: f64, l: f64) -> Self {
        let (g2, l2) = (g * g, l * l);
        let sum = g2 * g2 * (g + 2.69269 * l) + g2 * l2 * (2.42843 * g + 4.47163 * l) + l2 * l2 * (0.07842 * g + l);
        let by_g =
            g2 * (5.0 * g2 + 4.0 * 2.69269 * g * l + 3.0 * 2.42843 * l2) + l2 * (2.0 * 4.47163 * g * l + 0.07842 * l2);
        let by_l =
            g2 * (2.69269 * g2 + 2.0 * 2.42843 * g * l + 3.0 * 4.47163 * l2) + l2 * (4.0 * 0.07842 * g * l + 5.0 * l2);
        let width = sum.powf(0.2);
        let fifth = 0.2 * width / sum;
        let width_by = [fifth * by_g, fifth * by_l];
        let r = l / width;
        let eta_by_r = 1.36603 - r * (2.0 * 0.47719 - 3.0 * 0.11116 * r);
        Self {
            width,
            eta: r * (1.36603 + r * (-0.47719 + r * 0.11116)),
            width_by,
            eta_by: [-eta_by_r * r / width * width_by[0], eta_by_r * (1.0 - r * width_by[1]) / width],
        }
    }
}

/// Shift and weight of a ray out of the plane, with derivatives by S/L.
#[derive(Debug, Clone, Copy, Default)]
struct Ray {
    shift: f64,
    weight: f64,
    shift_slope: f64,
    weight_slope: f64,
}

/// How many rays stand for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// The smearing cannot be seen.
    None,
    Two,
    Three,
    Six,
}

impl Nodes {
    /// At the Bragg angle `two_theta` (radians) for S/L = H/L = `axial`, a line of full width `width` and a grid of
    /// step `step`, both in degrees.
    pub(crate) fn choose(two_theta: f64, axial: f64, width: f64, step: f64) -> Self {
        // The outermost ray bounds the smearing: h = 2σ, whose shift is about -(h²/2) cot 2θ.
        let bound = (2.0 * axial * axial / two_theta.tan()).abs().to_degrees();
        if bound < INVISIBLE_STEP_SHARE * step {
            Self::None
        } else if bound < NARROW_SHARE * width {
            Self::Two
        } else if bound < MEDIUM_SHARE * width {
            Self::Three
        } else {
            Self::Six
        }
    }

    fn table(self) -> &'static [(f64, f64)] {
        match self {
            Self::None => &[],
            Self::Two => &TWO_NODES,
            Self::Three => &THREE_NODES,
            Self::Six => &SIX_NODES,
        }
    }
}

/// Axial divergence at one Bragg angle (Finger, Cox and Jephcoat, J. Appl. Cryst. 27, 892, 1994, for S = H, as an
/// integral over the height of the ray).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Smearing {
    rays: [Ray; 6],
    used: usize,
    mean: f64,
    mean_slope: f64,
    largest: f64,
}

impl Smearing {
    pub(crate) const NONE: Smearing = Smearing {
        rays: [Ray { shift: 0.0, weight: 1.0, shift_slope: 0.0, weight_slope: 0.0 }; 6],
        used: 1,
        mean: 0.0,
        mean_slope: 0.0,
        largest: 0.0,
    };

    /// At the Bragg angle `two_theta` (radians) for S/L = H/L = `axial`.
    pub(crate) fn new(two_theta: f64, axial: f64, nodes: Nodes) -> Self {
        let mut smearing = Smearing { rays: [Ray::default(); 6], used: 0, ..Self::NONE };
        let (mut total, mut total_slope) = (0.0, 0.0);
        let plane = two_theta.cos();
        for &(node, weight) in nodes.table() {
            let height = 2.0 * axial * node;
            let stretch = 1.0 + height * height;
            let cos = plane * stretch.sqrt();
            // Rays this far out of the plane never meet the detector at any angle.
            if cos.abs() >= 1.0 {
                continue;
            }
            let angle = cos.acos();
            let sin = angle.sin();
            let shift_slope = -2.0 * node * height * plane / (stretch.sqrt() * sin);
            let weight = weight * (1.0 - node) / (stretch * sin);
            // d ln ω/dσ = -2h h'/(1+h²) - cot(angle) d angle/dσ.
            let weight_slope = weight * (-4.0 * height * node / stretch - cos / sin * shift_slope);
            let shift = (angle - two_theta).to_degrees();
            smearing.rays[smearing.used] = Ray { shift, weight, shift_slope: shift_slope.to_degrees(), weight_slope };
            smearing.used += 1;
            total += weight;
            total_slope += weight_slope;
            smearing.largest = smearing.largest.max(shift.abs());
        }
        if total <= 0.0 {
            return Self::NONE;
        }
        for ray in &mut smearing.rays[..smearing.used] {
            ray.weight_slope = (ray.weight_slope - ray.weight / total * total_slope) / total;
            ray.weight /= total;
            smearing.mean += ray.weight * ray.shift;
            smearing.mean_slope += ray.weight_slope * ray.shift + ray.weight * ray.shift_slope;
        }
        smearing
    }

    /// Half of the window of `widths` full widths, in degrees.
    pub(crate) fn reach(&self, mixture: &Mixture, widths: f64) -> f64 {
        widths * mixture.width + self.mean.abs()
    }

    /// Half of the window within which more is left than a Lorentzian at the mean shift, in degrees.
    pub(crate) fn core(&self, mixture: &Mixture) -> f64 {
        GAUSSIAN_REACH * mixture.width + SMEARING_REACH * self.largest
    }
}

impl Window {
    /// Fills the value only.
    pub(crate) fn fill_value(
        &mut self,
        x: &[f64],
        core: &Range<usize>,
        place: f64,
        mixture: &Mixture,
        smearing: &Smearing,
    ) {
        self.value.clear();
        let scale = 2.0 / mixture.width;
        let centre = place + smearing.mean;
        let height = mixture.eta * 2.0 / (PI * mixture.width);
        self.value.extend(x.iter().map(|&x| {
            let u = (x - centre) * scale;
            height / (1.0 + u * u)
        }));
        let gauss = (1.0 - mixture.eta) * scale * (LN_2 / PI).sqrt();
        let (x, value) = (&x[core.clone()], &mut self.value[core.clone()]);
        value.fill(0.0);
        for ray in &smearing.rays[..smearing.used] {
            let centre = place + ray.shift;
            let (height, gauss) = (height * ray.weight, gauss * ray.weight);
            for (value, &x) in value.iter_mut().zip(x) {
                let u = (x - centre) * scale;
                let square = u * u;
                *value += height / (1.0 + square) + gauss * exponential(-LN_2 * square);
            }
        }
    }

    /// Fills the value and every derivative.
    pub(crate) fn fill(
        &mut self,
        x: &[f64],
        core: &Range<usize>,
        place: f64,
        mixture: &Mixture,
        smearing: &Smearing,
        axial: bool,
    ) {
        let count = x.len();
        for buffer in [&mut self.value, &mut self.by_place, &mut self.by_gaussian, &mut self.by_lorentzian] {
            buffer.resize(count, 0.0);
        }
        self.by_axial.resize(if axial { count } else { 0 }, 0.0);
        self.fill_tail(x, place, mixture, smearing, 0..core.start);
        self.fill_tail(x, place, mixture, smearing, core.end..count);
        self.fill_core(x, place, mixture, smearing, core.clone());
    }

    /// Far from the centre only the Lorentzian is left, and smearing only moves it.
    fn fill_tail(&mut self, x: &[f64], place: f64, mixture: &Mixture, smearing: &Smearing, range: Range<usize>) {
        let scale = 2.0 / mixture.width;
        let centre = place + smearing.mean;
        let height = 2.0 / (PI * mixture.width);
        let eta = mixture.eta;
        let [width_g, width_l] = mixture.width_by.map(|by| -by / mixture.width);
        let [eta_g, eta_l] = mixture.eta_by;
        let targets = self.value[range.clone()]
            .iter_mut()
            .zip(&mut self.by_place[range.clone()])
            .zip(&mut self.by_gaussian[range.clone()])
            .zip(&mut self.by_lorentzian[range.clone()]);
        for ((((value, by_place), by_gaussian), by_lorentzian), &x) in targets.zip(&x[range.clone()]) {
            let u = (x - centre) * scale;
            let inverse = 1.0 / (1.0 + u * u);
            let lorentzian = height * inverse;
            let by_u = -2.0 * u * inverse * eta * lorentzian;
            *value = eta * lorentzian;
            *by_place = -scale * by_u;
            let by_width = eta * lorentzian + u * by_u;
            *by_gaussian = by_width * width_g + lorentzian * eta_g;
            *by_lorentzian = by_width * width_l + lorentzian * eta_l;
        }
        if !self.by_axial.is_empty() {
            for (by_axial, by_place) in self.by_axial[range.clone()].iter_mut().zip(&self.by_place[range]) {
                *by_axial = smearing.mean_slope * by_place;
            }
        }
    }

    fn fill_core(&mut self, x: &[f64], place: f64, mixture: &Mixture, smearing: &Smearing, range: Range<usize>) {
        let Window { value, by_place, by_gaussian, by_lorentzian, by_axial } = self;
        let x = &x[range.clone()];
        let count = x.len();
        let value = &mut value[range.clone()][..count];
        let by_place = &mut by_place[range.clone()][..count];
        let by_gaussian = &mut by_gaussian[range.clone()][..count];
        let by_lorentzian = &mut by_lorentzian[range.clone()][..count];
        for buffer in [&mut *value, &mut *by_place, &mut *by_gaussian, &mut *by_lorentzian] {
            buffer.fill(0.0);
        }
        let axial = !by_axial.is_empty();
        let by_axial = if axial { &mut by_axial[range] } else { &mut [] };
        by_axial.fill(0.0);
        let scale = 2.0 / mixture.width;
        let (height, gauss) = (2.0 / (PI * mixture.width), scale * (LN_2 / PI).sqrt());
        let eta = mixture.eta;
        let [width_g, width_l] = mixture.width_by.map(|by| -by / mixture.width);
        let [eta_g, eta_l] = mixture.eta_by;
        for ray in &smearing.rays[..smearing.used] {
            let centre = place + ray.shift;
            let (height, gauss) = (height * ray.weight, gauss * ray.weight);
            // Weight of a ray is in both; these turn sums over rays into derivatives by S/L.
            let (by_shift, by_weight) = (ray.shift_slope, ray.weight_slope / ray.weight);
            for index in 0..count {
                let u = (x[index] - centre) * scale;
                let square = u * u;
                let inverse = 1.0 / (1.0 + square);
                let lorentzian = height * inverse;
                let gaussian = gauss * exponential(-LN_2 * square);
                let (l, g) = (eta * lorentzian, (1.0 - eta) * gaussian);
                let by_u = -2.0 * u * (l * inverse + LN_2 * g);
                let (sum, by_eta) = (l + g, lorentzian - gaussian);
                let by_width = sum + u * by_u;
                value[index] += sum;
                by_place[index] -= scale * by_u;
                by_gaussian[index] += by_width * width_g + by_eta * eta_g;
                by_lorentzian[index] += by_width * width_l + by_eta * eta_l;
                if axial {
                    by_axial[index] += by_weight * sum - by_shift * scale * by_u;
                }
            }
        }
    }
}

/// exp(x) for -700 < x ≤ 0 with a relative error below 1e-13, in arithmetic that compilers turn into vector code:
/// 2^n times a polynomial on ±½ ln 2.
#[inline]
fn exponential(x: f64) -> f64 {
    /// Adding it rounds to the nearest integer, which then stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.max(-700.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let high = 1.0 / 5040.0 + r * (1.0 / 40_320.0 + r * (1.0 / 362_880.0 + r * (1.0 / 3_628_800.0 + r / 39_916_800.0)));
    let polynomial = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * high))))));
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    polynomial * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_exact_to_rounding() {
        for index in 0..4000 {
            let x = -0.01 * f64::from(index);
            let exact = x.exp();
            assert!((exponential(x) / exact - 1.0).abs() < 1e-13, "{x}: {} {exact}", exponential(x));
        }
        assert!(exponential(-1e9) < 1e-300);
    }

    fn window(g: f64, l: f64, axial: f64, place: f64, x: &[f64]) -> Window {
        let mixture = Mixture::new(g, l);
        let smearing = Smearing::new(0.4, axial, Nodes::choose(0.4, axial, mixture.width, 0.02));
        let reach = smearing.core(&mixture);
        // The core stays while a derivative is taken.
        let core = x.partition_point(|&x| x < 22.0 - reach)..x.partition_point(|&x| x <= 22.0 + reach);
        let mut window = Window::default();
        window.fill(x, &core, place, &mixture, &smearing, axial > 0.0);
        let mut plain = Window::default();
        plain.fill_value(x, &core, place, &mixture, &smearing);
        for (a, b) in plain.value.iter().zip(&window.value) {
            assert!((a - b).abs() < 1e-12);
        }
        window
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let x: Vec<f64> = (0..400).map(|i| 18.0 + 0.02 * f64::from(i)).collect();
        for (g, l, axial) in [(0.07, 0.05, 0.0), (0.09, 0.02, 0.03), (0.03, 0.12, 0.04), (0.2, 0.1, 0.015)] {
            let h = 1e-6;
            let at = window(g, l, axial, 22.0, &x);
            let slope = |high: Window, low: Window| -> Vec<f64> {
                high.value.iter().zip(&low.value).map(|(a, b)| (a - b) / (2.0 * h)).collect()
            };
            let mut pairs = vec![
                (&at.by_place, slope(window(g, l, axial, 22.0 + h, &x), window(g, l, axial, 22.0 - h, &x))),
                (&at.by_gaussian, slope(window(g + h, l, axial, 22.0, &x), window(g - h, l, axial, 22.0, &x))),
                (&at.by_lorentzian, slope(window(g, l + h, axial, 22.0, &x), window(g, l - h, axial, 22.0, &x))),
            ];
            if axial > 0.0 {
                pairs.push((&at.by_axial, slope(window(g, l, axial + h, 22.0, &x), window(g, l, axial - h, 22.0, &x))));
            }
            for (found, wanted) in pairs {
                let largest = wanted.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
                for (a, b) in found.iter().zip(&wanted) {
                    assert!((a - b).abs() < 1e-5 * largest, "{g} {l} {axial}: {a} {b} of {largest}");
                }
            }
        }
    }

    #[test]
    fn area_is_one_and_smearing_moves_the_centre() {
        let x: Vec<f64> = (0..80_000).map(|i| -18.0 + 0.001 * f64::from(i)).collect();
        for axial in [0.0, 0.01, 0.03] {
            let window = window(0.08, 0.01, axial, 22.0, &x);
            let area: f64 = window.value.iter().sum::<f64>() * 0.001;
            assert!((area - 1.0).abs() < 1e-3, "{axial}: {area}");
            let centre = x.iter().zip(&window.value).map(|(x, y)| 0.001 * (x - 22.0) * y).sum::<f64>() / area;
            // Leading order: the mean of -h²/2 cot 2θ over the triangular distribution of heights is -σ²/3 cot 2θ.
            let expected = -(axial * axial / 3.0 / 0.4_f64.tan()).to_degrees();
            assert!((centre - expected).abs() < 0.06 * expected.abs() + 1e-6, "{axial}: {centre} {expected}");
        }
    }
}
