//! The instrument, the specimen and the state of a phase: everything that turns reflections into lines with a place,
//! a width and a height.

use std::f64::consts::PI;

/// Cu Kα1 and Kα2 peak wavelengths in Å (Hölzer et al., Phys. Rev. A 56, 4554, 1997), the scale of NIST certificates.
pub const CU_K_ALPHA: [f64; 2] = [1.540_592_9, 1.544_427_4];
/// Scherrer constant for the full width at half maximum of roughly equiaxed crystallites.
pub const SCHERRER_K: f64 = 0.9;

/// One component of the tube's spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectralLine {
    /// Wavelength in Å.
    pub wavelength_a: f64,
    /// Share of the intensity; the shares of all components need not sum to 1.
    pub weight: f64,
}

/// A Bragg-Brentano powder diffractometer.
///
/// The Gaussian width obeys Γ_G² = U tan²θ + V tanθ + W (full width at half maximum in degrees of 2θ), the Lorentzian
/// one Γ_L = X/cosθ + Y tanθ.
#[derive(Debug, Clone, PartialEq)]
pub struct Instrument {
    /// Components of the spectrum.
    pub lines: Vec<SpectralLine>,
    /// Goniometer radius in mm.
    pub radius_mm: f64,
    /// U in deg².
    pub u: f64,
    /// V in deg².
    pub v: f64,
    /// W in deg².
    pub w: f64,
    /// X of the instrument alone in degrees.
    pub x: f64,
    /// Y of the instrument alone in degrees.
    pub y: f64,
    /// Axial divergence S/L = H/L (Finger, Cox and Jephcoat, J. Appl. Cryst. 27, 892, 1994); 0 for none.
    pub axial: f64,
    /// K of the polarisation factor (1 + K cos²2θ)/(1 + K): 1 without monochromator, cos²2θ_m behind a mosaic one.
    pub polarisation_k: f64,
    /// Zero error in degrees, added to 2θ.
    pub zero_deg: f64,
}

impl Instrument {
    /// A benchtop diffractometer of the Aeris kind: Cu Kα doublet 1 : 0.5, nickel filter, R = 145 mm and the profile of
    /// a linear detector. The widths are a sound default, not a calibration.
    #[must_use]
    pub fn aeris() -> Self {
        Self {
            lines: vec![
                SpectralLine { wavelength_a: CU_K_ALPHA[0], weight: 1.0 },
                SpectralLine { wavelength_a: CU_K_ALPHA[1], weight: 0.5 },
            ],
            radius_mm: 145.0,
            u: 0.004,
            v: -0.002,
            w: 0.0035,
            x: 0.0,
            y: 0.0,
            axial: 0.02,
            polarisation_k: 1.0,
            zero_deg: 0.0,
        }
    }

    /// Lorentz-polarisation factor of powder in reflection at the Bragg angle θ (radians).
    #[must_use]
    pub fn lorentz_polarisation(&self, theta: f64) -> f64 {
        let k = self.polarisation_k;
        let c = (2.0 * theta).cos();
        (1.0 + k * c * c) / ((1.0 + k) * theta.sin().powi(2) * theta.cos())
    }

    /// Squared Gaussian width in deg² at tanθ = `tan`. Never below a thousandth of W, so that a bad U, V, W cannot make
    /// a width imaginary.
    #[must_use]
    pub fn gaussian_width_squared(&self, tan: f64) -> f64 {
        ((self.u * tan + self.v) * tan + self.w).max(1e-3 * self.w.abs()).max(1e-8)
    }

    /// True when every number is usable.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let numbers = [self.u, self.v, self.w, self.x, self.y, self.zero_deg];
        !self.lines.is_empty()
            && self
                .lines
                .iter()
                .all(|line| (0.1..5.0).contains(&line.wavelength_a) && (0.0..1e6).contains(&line.weight))
            && numbers.iter().all(|number| number.is_finite())
            && self.w > 0.0
            && self.x >= 0.0
            && self.y >= 0.0
            && (10.0..5000.0).contains(&self.radius_mm)
            && (0.0..0.2).contains(&self.axial)
            && (0.0..=1.0).contains(&self.polarisation_k)
    }
}

/// A layer too thin to absorb the whole beam: intensities fall by 1 - exp(-2μt/sinθ).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Film {
    /// Linear attenuation coefficient μ of the layer in cm⁻¹.
    pub attenuation_per_cm: f64,
    /// Thickness t in nm.
    pub thickness_nm: f64,
}

impl Film {
    /// The dimensionless product μt.
    #[must_use]
    pub fn optical_thickness(&self) -> f64 {
        self.attenuation_per_cm * self.thickness_nm * 1e-7
    }
}

/// Share of the intensity of an infinitely thick specimen that a layer of optical thickness μt gives.
#[must_use]
pub fn film_factor(optical_thickness: f64, sin_theta: f64) -> f64 {
    -(-2.0 * optical_thickness / sin_theta).exp_m1()
}

/// How one specimen stands in the beam.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Specimen {
    /// Displacement of the surface along the normal in mm. A positive value moves lines to lower angles by
    /// (180/π)(2s/R) cosθ degrees.
    pub displacement_mm: f64,
    /// The layer when the specimen is a film; nothing for a thick powder.
    pub film: Option<Film>,
}

/// Preferred orientation after March and Dollase (J. Appl. Cryst. 19, 267, 1986).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture {
    /// The texture axis as lattice planes (hkl) whose normal is enriched along the specimen normal for r < 1.
    pub axis: [i32; 3],
    /// March coefficient r > 0; 1 is random.
    pub r: f64,
}

impl Texture {
    /// (r² cos²α + sin²α/r)^(-3/2) for the angle α between a plane normal and the axis.
    #[must_use]
    pub fn weight(&self, cos_squared: f64) -> f64 {
        (self.r * self.r * cos_squared + (1.0 - cos_squared) / self.r).powf(-1.5)
    }
}

/// State of one phase in the specimen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// Volume-weighted crystallite size in nm; infinite for no broadening.
    pub crystallite_size_nm: f64,
    /// Stokes-Wilson microstrain e as a fraction (0.0015 is 0.15 %).
    pub microstrain: f64,
    /// Preferred orientation; nothing for random.
    pub texture: Option<Texture>,
}

impl Default for Condition {
    fn default() -> Self {
        Self { crystallite_size_nm: f64::INFINITY, microstrain: 0.0, texture: None }
    }
}

impl Condition {
    /// Lorentzian size parameter X = 180 K λ/(π D) in degrees for a wavelength in Å.
    #[must_use]
    pub fn size_width_deg(&self, wavelength_a: f64) -> f64 {
        180.0 * SCHERRER_K * wavelength_a / (PI * 10.0 * self.crystallite_size_nm)
    }

    /// Lorentzian strain parameter Y = 720 e/π in degrees.
    #[must_use]
    pub fn strain_width_deg(&self) -> f64 {
        720.0 * self.microstrain / PI
    }
}
