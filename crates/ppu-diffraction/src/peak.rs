//! The line profile: a Thompson-Cox-Hastings pseudo-Voigt smeared by axial divergence.

use std::f64::consts::{LN_2, PI};

/// Nodes and weights of six-point Gauss-Legendre quadrature on [0, 1]; six reach 1e-6 of the exact mean shift.
const AXIAL_NODES: [(f64, f64); 6] = [
    (0.033_765_242_898_423_99, 0.085_662_246_189_585_17),
    (0.169_395_306_766_867_74, 0.180_380_786_524_069_3),
    (0.380_690_406_958_401_55, 0.233_956_967_286_345_52),
    (0.619_309_593_041_598_4, 0.233_956_967_286_345_52),
    (0.830_604_693_233_132_3, 0.180_380_786_524_069_3),
    (0.966_234_757_101_576, 0.085_662_246_189_585_17),
];
/// Three nodes do where the smearing is narrower than the line.
const FEW_AXIAL_NODES: [(f64, f64); 3] =
    [(0.112_701_665_379_258_31, 5.0 / 18.0), (0.5, 4.0 / 9.0), (0.887_298_334_620_741_7, 5.0 / 18.0)];
/// Lines are followed to this many full widths on both sides; at 25 a Lorentzian has lost 1.3 % of its area.
pub(crate) const WINDOW_WIDTHS: f64 = 25.0;
/// Weak lines are followed to no less than this; a line of 1 % then loses 3 % of its Lorentzian share.
pub(crate) const SHORTEST_WINDOW: f64 = 10.0;
/// The smeared line equals one line at the mean shift beyond this many full widths and this many times the smearing.
const CORE_WIDTHS: f64 = 2.5;
const CORE_SMEARINGS: f64 = 4.0;
/// Smearing below this share of a step of the grid is invisible.
const INVISIBLE_STEP_SHARE: f64 = 0.1;
/// Gaussian terms below exp(-25), 1e-11 of the peak, are left out.
const GAUSSIAN_CUT: f64 = 25.0;

/// A unit-area pseudo-Voigt with the width and mixing of Thompson, Cox and Hastings (J. Appl. Cryst. 20, 79, 1987).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) width: f64,
    eta: f64,
    width_by_gaussian: f64,
    width_by_lorentzian: f64,
    eta_by_gaussian: f64,
    eta_by_lorentzian: f64,
}

/// Value and derivatives of a profile at one point.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Basis {
    pub(crate) value: f64,
    pub(crate) by_position: f64,
    pub(crate) by_gaussian: f64,
    pub(crate) by_lorentzian: f64,
}

impl Shape {
    /// The profile of Gaussian and Lorentzian full widths `g` > 0 and `l` ≥ 0, both in degrees.
    pub(crate) fn new(g: f64, l: f64) -> Self {
        let sum = g.powi(5)
            + 2.69269 * g.powi(4) * l
            + 2.42843 * g.powi(3) * l.powi(2)
            + 4.47163 * g.powi(2) * l.powi(3)
            + 0.07842 * g * l.powi(4)
            + l.powi(5);
        let width = sum.powf(0.2);
        let sum_by_g = 5.0 * g.powi(4)
            + 4.0 * 2.69269 * g.powi(3) * l
            + 3.0 * 2.42843 * g.powi(2) * l.powi(2)
            + 2.0 * 4.47163 * g * l.powi(3)
            + 0.07842 * l.powi(4);
        let sum_by_l = 2.69269 * g.powi(4)
            + 2.0 * 2.42843 * g.powi(3) * l
            + 3.0 * 4.47163 * g.powi(2) * l.powi(2)
            + 4.0 * 0.07842 * g * l.powi(3)
            + 5.0 * l.powi(4);
        let fifth = 0.2 * width / sum;
        let (width_by_gaussian, width_by_lorentzian) = (fifth * sum_by_g, fifth * sum_by_l);
        let r = l / width;
        let eta_by_r = 1.36603 - 2.0 * 0.47719 * r + 3.0 * 0.11116 * r * r;
        Self {
            width,
            eta: r * (1.36603 + r * (-0.47719 + r * 0.11116)),
            width_by_gaussian,
            width_by_lorentzian,
            eta_by_gaussian: -eta_by_r * r / width * width_by_gaussian,
            eta_by_lorentzian: eta_by_r * (1.0 - r * width_by_lorentzian) / width,
        }
    }

    fn parts(&self, offset: f64) -> (f64, f64, f64) {
        let u = 2.0 * offset / self.width;
        let square = u * u;
        let lorentzian = 2.0 / (PI * self.width * (1.0 + square));
        let gaussian = if LN_2 * square > GAUSSIAN_CUT {
            0.0
        } else {
            2.0 / self.width * (LN_2 / PI).sqrt() * (-LN_2 * square).exp()
        };
        (u, lorentzian, gaussian)
    }

    /// φ at `offset` = x - x0 in degrees, per degree.
    pub(crate) fn value(&self, offset: f64) -> f64 {
        let (_, lorentzian, gaussian) = self.parts(offset);
        self.eta * lorentzian + (1.0 - self.eta) * gaussian
    }

    /// φ and its derivatives by position and by both widths.
    pub(crate) fn basis(&self, offset: f64) -> Basis {
        let (u, lorentzian, gaussian) = self.parts(offset);
        let value = self.eta * lorentzian + (1.0 - self.eta) * gaussian;
        let by_u = -2.0 * u * self.eta * lorentzian / (1.0 + u * u) - 2.0 * LN_2 * u * (1.0 - self.eta) * gaussian;
        let by_width = -(value + u * by_u) / self.width;
        let by_eta = lorentzian - gaussian;
        Basis {
            value,
            by_position: -2.0 / self.width * by_u,
            by_gaussian: by_width * self.width_by_gaussian + by_eta * self.eta_by_gaussian,
            by_lorentzian: by_width * self.width_by_lorentzian + by_eta * self.eta_by_lorentzian,
        }
    }
}

/// A profile with its axial smearing at one angle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SmearedShape {
    shape: Shape,
    nodes: [(f64, f64); 6],
    /// Nodes in use; none where smearing is invisible.
    used: usize,
    mean_shift: f64,
    core: f64,
}

impl SmearedShape {
    /// Smears `shape` at the Bragg angle `two_theta` (radians) for S/L = H/L = `axial`; `step` is the grid step in
    /// degrees, below which smearing is not worth its time.
    pub(crate) fn new(shape: Shape, two_theta: f64, axial: f64, step: f64) -> Self {
        let plain = Self { shape, nodes: [(0.0, 0.0); 6], used: 0, mean_shift: 0.0, core: 0.0 };
        if axial <= 0.0 {
            return plain;
        }
        // The outermost ray bounds the smearing: h = 2σ, whose shift is about -(h²/2) cot 2θ.
        let bound = (2.0 * axial * axial / two_theta.tan()).abs().to_degrees();
        let table: &[(f64, f64)] = if bound < shape.width { &FEW_AXIAL_NODES } else { &AXIAL_NODES };
        let mut nodes = [(0.0, 0.0); 6];
        let (mut total, mut largest, mut used) = (0.0, 0.0_f64, 0);
        for (node, weight) in table {
            let height = 2.0 * axial * node;
            let stretch = 1.0 + height * height;
            let cos = two_theta.cos() * stretch.sqrt();
            // Rays this far out of the plane never meet the detector at any angle.
            if cos.abs() >= 1.0 {
                continue;
            }
            let angle = cos.acos();
            let share = weight * (1.0 - node) / (stretch * angle.sin());
            let shift = (angle - two_theta).to_degrees();
            nodes[used] = (shift, share);
            used += 1;
            total += share;
            largest = largest.max(shift.abs());
        }
        if total <= 0.0 || largest < INVISIBLE_STEP_SHARE * step {
            return plain;
        }
        for node in &mut nodes {
            node.1 /= total;
        }
        let mean_shift = nodes.iter().map(|(shift, share)| shift * share).sum();
        Self { shape, nodes, used, mean_shift, core: CORE_WIDTHS * shape.width + CORE_SMEARINGS * largest }
    }

    /// Half of the window of `widths` full widths within which the line is computed, in degrees.
    pub(crate) fn reach(&self, widths: f64) -> f64 {
        widths * self.shape.width + self.mean_shift.abs()
    }

    pub(crate) fn value(&self, offset: f64) -> f64 {
        if self.used == 0 || offset.abs() > self.core {
            return self.shape.value(offset - self.mean_shift);
        }
        self.nodes[..self.used].iter().map(|(shift, share)| share * self.shape.value(offset - shift)).sum()
    }

    pub(crate) fn basis(&self, offset: f64) -> Basis {
        if self.used == 0 || offset.abs() > self.core {
            return self.shape.basis(offset - self.mean_shift);
        }
        let mut sum = Basis::default();
        for &(shift, share) in &self.nodes[..self.used] {
            let term = self.shape.basis(offset - shift);
            sum.value += share * term.value;
            sum.by_position += share * term.by_position;
            sum.by_gaussian += share * term.by_gaussian;
            sum.by_lorentzian += share * term.by_lorentzian;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(shape: &SmearedShape, half: f64) -> (f64, f64) {
        let (mut area, mut first) = (0.0, 0.0);
        let step = 1e-3;
        let count = (2.0 * half / step) as i64;
        for index in 0..=count {
            let x = -half + step * index as f64;
            area += step * shape.value(x);
            first += step * x * shape.value(x);
        }
        (area, first)
    }

    #[test]
    fn area_is_one_and_half_height_lies_at_half_width() {
        for (g, l) in [(0.08, 0.0), (0.06, 0.05), (0.01, 0.1)] {
            let shape = Shape::new(g, l);
            let smeared = SmearedShape::new(shape, 0.5, 0.0, 0.02);
            let (area, _) = integral(&smeared, 60.0);
            assert!((area - 1.0).abs() < 2e-3, "{g} {l}: {area}");
            let half = shape.value(shape.width / 2.0) / shape.value(0.0);
            assert!((half - 0.5).abs() < 1e-9);
        }
        assert!((Shape::new(0.08, 0.0).width - 0.08).abs() < 1e-12);
        assert!((Shape::new(1e-9, 0.1).width - 0.1).abs() < 1e-8);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let (g, l, h) = (0.07, 0.05, 1e-6);
        let two_theta = 0.3_f64;
        let at = |g: f64, l: f64, x: f64| SmearedShape::new(Shape::new(g, l), two_theta, 0.03, 0.01).value(x);
        for offset in [-0.31, -0.05, 0.0, 0.02, 0.3] {
            let basis = SmearedShape::new(Shape::new(g, l), two_theta, 0.03, 0.01).basis(offset);
            let by_position = -(at(g, l, offset + h) - at(g, l, offset - h)) / (2.0 * h);
            let by_gaussian = (at(g + h, l, offset) - at(g - h, l, offset)) / (2.0 * h);
            let by_lorentzian = (at(g, l + h, offset) - at(g, l - h, offset)) / (2.0 * h);
            assert!((basis.value - at(g, l, offset)).abs() < 1e-12);
            for (found, wanted) in [
                (basis.by_position, by_position),
                (basis.by_gaussian, by_gaussian),
                (basis.by_lorentzian, by_lorentzian),
            ] {
                assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{offset}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn axial_divergence_pulls_lines_to_the_side_of_ninety_degrees_away() {
        let shape = Shape::new(0.06, 0.03);
        let low = SmearedShape::new(shape, 20_f64.to_radians(), 0.03, 0.01);
        let high = SmearedShape::new(shape, 150_f64.to_radians(), 0.03, 0.01);
        assert!(low.mean_shift < -0.005 && high.mean_shift > 0.005);
        let (area, first) = integral(&low, 60.0);
        assert!((area - 1.0).abs() < 2e-3, "{area}");
        assert!((first - low.mean_shift).abs() < 5e-4, "{first} {}", low.mean_shift);
        // Leading order: mean of -h²/2 cot 2θ over the triangular height distribution of half base 2σ is -σ²/3 cot 2θ.
        let expected = -(0.03_f64.powi(2) / 3.0 / 20_f64.to_radians().tan()).to_degrees();
        assert!((low.mean_shift / expected - 1.0).abs() < 0.05, "{} {expected}", low.mean_shift);
    }
}
