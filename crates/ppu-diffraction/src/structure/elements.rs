//! What the tabulated scattering data of an element mean, and how they are looked up.

use super::table::{Element, TABLE};

/// Anode of an X-ray tube: f', f'' and attenuation are tabulated at its Kα energy and used for all of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tube {
    /// Chromium.
    Cr,
    /// Iron.
    Fe,
    /// Cobalt.
    Co,
    /// Copper.
    Cu,
    /// Molybdenum.
    Mo,
    /// Silver.
    Ag,
}

impl Tube {
    /// Every tube, in the order of falling wavelength.
    pub const ALL: [Tube; 6] = [Tube::Cr, Tube::Fe, Tube::Co, Tube::Cu, Tube::Mo, Tube::Ag];

    /// Kα1 peak wavelength in Å (Hölzer et al., Phys. Rev. A 56, 4554, 1997, for the 3d metals; Deslattes et al., Rev.
    /// Mod. Phys. 75, 35, 2003, for molybdenum and silver).
    #[must_use]
    pub fn k_alpha_1_a(self) -> f64 {
        match self {
            Tube::Cr => 2.289_726,
            Tube::Fe => 1.936_041,
            Tube::Co => 1.788_996,
            Tube::Cu => 1.540_592_9,
            Tube::Mo => 0.709_317,
            Tube::Ag => 0.559_422,
        }
    }

    /// Kα2 peak wavelength in Å, same sources.
    #[must_use]
    pub fn k_alpha_2_a(self) -> f64 {
        match self {
            Tube::Cr => 2.293_651,
            Tube::Fe => 1.939_973,
            Tube::Co => 1.792_835,
            Tube::Cu => 1.544_427_4,
            Tube::Mo => 0.713_607,
            Tube::Ag => 0.563_813,
        }
    }

    /// The tube whose Kα lines lie nearest to a wavelength in Å.
    #[must_use]
    pub fn nearest(wavelength_a: f64) -> Tube {
        let gap = |tube: &Tube| (tube.k_alpha_1_a() / wavelength_a).ln().abs();
        Tube::ALL.into_iter().min_by(|a, b| gap(a).total_cmp(&gap(b))).unwrap_or(Tube::Cu)
    }
}

/// How an atom at rest scatters: f(s) = c + Σ a exp(-b s²) + f' + i f'' in electrons, with s = sinθ/λ in Å⁻¹.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scattering {
    /// c.
    pub offset: f64,
    /// a of each Gaussian.
    pub scale: [f64; 5],
    /// b of each Gaussian in Å².
    pub exponent: [f64; 5],
    /// f'.
    pub f1: f64,
    /// f''.
    pub f2: f64,
}

impl Scattering {
    /// f0(s) for s² in Å⁻².
    #[must_use]
    pub fn f0(&self, s2: f64) -> f64 {
        self.offset + self.scale.iter().zip(&self.exponent).map(|(a, b)| a * (-b * s2).exp()).sum::<f64>()
    }

    /// f0(s) and its derivative by s².
    #[must_use]
    pub fn f0_and_slope(&self, s2: f64) -> (f64, f64) {
        let (mut value, mut slope) = (self.offset, 0.0);
        for (a, b) in self.scale.iter().zip(&self.exponent) {
            let term = a * (-b * s2).exp();
            value += term;
            slope -= b * term;
        }
        (value, slope)
    }
}

impl Element {
    /// The element of a chemical symbol, upper and lower case as it is written.
    #[must_use]
    pub fn from_symbol(symbol: &str) -> Option<Element> {
        Element::ALL.into_iter().find(|element| element.symbol() == symbol)
    }

    /// Chemical symbol.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        self.data().symbol
    }

    /// Atomic number.
    #[must_use]
    pub fn atomic_number(self) -> u8 {
        self.data().atomic_number
    }

    /// Molar mass in g/mol.
    #[must_use]
    pub fn molar_mass(self) -> f64 {
        self.data().molar_mass
    }

    /// Anomalous scattering (f', f'') in electrons at Cu Kα, Chantler table.
    #[must_use]
    pub fn anomalous(self) -> (f64, f64) {
        self.anomalous_at(Tube::Cu)
    }

    /// Anomalous scattering (f', f'') in electrons, Chantler table.
    #[must_use]
    pub fn anomalous_at(self, tube: Tube) -> (f64, f64) {
        let [f1, f2, _] = self.data().tubes[tube as usize];
        (f1, f2)
    }

    /// Mass attenuation coefficient μ/ρ in cm²/g at Cu Kα, Elam table.
    #[must_use]
    pub fn mass_attenuation_cm2_per_g(self) -> f64 {
        self.mass_attenuation_at(Tube::Cu)
    }

    /// Mass attenuation coefficient μ/ρ in cm²/g, Elam table.
    #[must_use]
    pub fn mass_attenuation_at(self, tube: Tube) -> f64 {
        self.data().tubes[tube as usize][2]
    }

    /// Atomic form factor f0 in electrons at s = sinθ/λ in Å⁻¹ (valid to 6 Å⁻¹): c + Σ a exp(-b s²).
    #[must_use]
    pub fn form_factor(self, s: f64) -> f64 {
        self.scattering(Tube::Cu).f0(s * s)
    }

    /// Everything that enters a structure factor.
    #[must_use]
    pub fn scattering(self, tube: Tube) -> Scattering {
        let data = self.data();
        let (f1, f2) = self.anomalous_at(tube);
        Scattering { offset: data.offset, scale: data.scale, exponent: data.exponent, f1, f2 }
    }

    fn data(self) -> &'static ElementData {
        &TABLE[self as usize]
    }
}

/// One row of the table.
pub(super) struct ElementData {
    pub(super) symbol: &'static str,
    pub(super) atomic_number: u8,
    pub(super) molar_mass: f64,
    pub(super) offset: f64,
    pub(super) scale: [f64; 5],
    pub(super) exponent: [f64; 5],
    /// f', f'' and μ/ρ for each tube in the order of [`Tube::ALL`].
    pub(super) tubes: [[f64; 3]; 6],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_order_of_the_enum() {
        for (index, element) in Element::ALL.into_iter().enumerate() {
            assert_eq!(element as usize, index);
            assert_eq!(format!("{element:?}"), element.symbol());
        }
    }

    #[test]
    fn the_tube_follows_from_a_wavelength() {
        assert_eq!(Tube::nearest(1.5418), Tube::Cu);
        assert_eq!(Tube::nearest(0.71), Tube::Mo);
        for (index, tube) in Tube::ALL.into_iter().enumerate() {
            assert_eq!(tube as usize, index);
            assert!(tube.k_alpha_2_a() > tube.k_alpha_1_a());
        }
        assert_eq!(Element::from_symbol("Pb"), Some(Element::Pb));
        assert_eq!(Element::from_symbol("pb"), None);
    }

    #[test]
    fn form_factor_at_zero_is_the_atomic_number() {
        for element in Element::ALL {
            let z = f64::from(element.atomic_number());
            assert!((element.form_factor(0.0) - z).abs() < 0.06, "{element:?}: {}", element.form_factor(0.0));
            assert!(element.form_factor(0.5) < z);
        }
    }

    #[test]
    fn anomalous_values_equal_the_published_table() {
        // Chantler at 8047.8 eV as printed to three digits by an independent reader of the same database.
        for (element, f1, f2) in [
            (Element::O, 0.045, 0.032),
            (Element::Al, 0.207, 0.245),
            (Element::Ti, 0.163, 1.801),
            (Element::Zn, -1.562, 0.671),
            (Element::Br, -0.691, 1.276),
            (Element::I, -0.525, 6.791),
            (Element::Cs, -0.939, 7.867),
            (Element::Pb, -4.310, 8.415),
        ] {
            let (a, b) = element.anomalous();
            assert!((a - f1).abs() < 6e-4 && (b - f2).abs() < 6e-4, "{element:?} {a} {b}");
        }
    }
}
