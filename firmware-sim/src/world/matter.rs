//! Amounts of matter: moles by species, with masses and volumes that follow from them.

use super::config::{ASite, StockConfig, XSite};
use serde_json::{Value, json};
use std::ops::{Add, AddAssign, Mul, SubAssign};

/// What a mole count counts. Ions are counted as ions, solvents as molecules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Species {
    Lead,
    Caesium,
    Methylammonium,
    Formamidinium,
    Iodide,
    Bromide,
    Dmf,
    Dmso,
}

/// Names of the species, in the order of [`Moles`].
pub(crate) const SPECIES: [&str; 8] = ["Pb", "Cs", "MA", "FA", "I", "Br", "DMF", "DMSO"];

/// g/mol; ions as fragments so that the salts of the specification add up (FAI 171.97, PbI2 461.01).
const MOLAR_MASS: [f64; 8] = [207.2, 132.905, 32.065, 45.065, 126.904, 79.904, 73.09, 78.13];

/// cm³/mol. Solvents from density (0.944 and 1.100 g/mL); ions chosen to add up to the solid's volume (FAPbI3 155).
const MOLAR_VOLUME: [f64; 8] = [5.0, 20.0, 25.0, 30.0, 40.0, 32.0, 77.43, 71.03];

/// Amounts in mol, indexed by [`Species`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Moles(pub(crate) [f64; 8]);

impl Moles {
    pub(crate) fn of(&self, species: Species) -> f64 {
        self.0[species as usize]
    }

    pub(crate) fn set(&mut self, species: Species, amount: f64) {
        self.0[species as usize] = amount;
    }

    pub(crate) fn add(&mut self, species: Species, amount: f64) {
        self.0[species as usize] += amount;
    }

    /// Mass in g.
    pub(crate) fn mass_g(&self) -> f64 {
        self.0.iter().zip(MOLAR_MASS).map(|(n, m)| n * m).sum()
    }

    /// Volume as a liquid, µL.
    pub(crate) fn volume_ul(&self) -> f64 {
        1e3 * self.0.iter().zip(MOLAR_VOLUME).map(|(n, v)| n * v).sum::<f64>()
    }

    /// Solvent molecules, mol.
    pub(crate) fn solvent(&self) -> f64 {
        self.of(Species::Dmf) + self.of(Species::Dmso)
    }

    /// A-site ions, mol.
    pub(crate) fn a_site(&self) -> f64 {
        self.of(Species::Caesium) + self.of(Species::Methylammonium) + self.of(Species::Formamidinium)
    }

    /// Takes out the share of this matter that has the given volume; never more than is there.
    pub(crate) fn take_volume(&mut self, volume_ul: f64) -> Moles {
        let total = self.volume_ul();
        if total <= 0.0 || volume_ul <= 0.0 {
            return Moles::default();
        }
        if volume_ul >= total {
            return std::mem::take(self);
        }
        let part = *self * (volume_ul / total);
        *self -= part;
        part
    }

    pub(crate) fn to_json(self) -> Value {
        let pairs = SPECIES.iter().zip(self.0).filter(|(_, n)| *n != 0.0);
        Value::Object(pairs.map(|(name, n)| ((*name).to_owned(), json!(n))).collect())
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for amount in self.0 {
            hasher.update(&amount.to_bits().to_le_bytes());
        }
    }
}

impl Add for Moles {
    type Output = Moles;
    fn add(mut self, other: Moles) -> Moles {
        self += other;
        self
    }
}

impl AddAssign for Moles {
    fn add_assign(&mut self, other: Moles) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl SubAssign for Moles {
    fn sub_assign(&mut self, other: Moles) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine -= theirs;
        }
    }
}

impl Mul<f64> for Moles {
    type Output = Moles;
    fn mul(mut self, factor: f64) -> Moles {
        for mine in &mut self.0 {
            *mine *= factor;
        }
        self
    }
}

/// A volume of an ink, with its lead concentration multiplied by `bias`.
pub(crate) fn ink(stock: &StockConfig, volume_ul: f64, bias: f64) -> Moles {
    let lead = stock.lead_mol_per_l * bias * volume_ul * 1e-6;
    let mut moles = Moles::default();
    moles.set(Species::Lead, lead);
    let a = match stock.a {
        ASite::Caesium => Species::Caesium,
        ASite::Methylammonium => Species::Methylammonium,
        ASite::Formamidinium => Species::Formamidinium,
    };
    moles.set(a, lead * stock.a_per_lead);
    let x = match stock.x {
        XSite::Iodide => Species::Iodide,
        XSite::Bromide => Species::Bromide,
    };
    moles.set(x, lead * (2.0 + stock.a_per_lead));
    let room = (volume_ul - moles.volume_ul()).max(0.0);
    moles + solvent(room, stock.dmso_volume_fraction)
}

/// A volume of solvent with the given volume share of DMSO.
pub(crate) fn solvent(volume_ul: f64, dmso_volume_fraction: f64) -> Moles {
    let mut moles = Moles::default();
    moles.set(Species::Dmf, volume_ul * 1e-3 * (1.0 - dmso_volume_fraction) / MOLAR_VOLUME[Species::Dmf as usize]);
    moles.set(Species::Dmso, volume_ul * 1e-3 * dmso_volume_fraction / MOLAR_VOLUME[Species::Dmso as usize]);
    moles
}

/// Composition of a perovskite: A-site fractions, bromide share and A per B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Composition {
    /// Cs share of the A site.
    pub(crate) cs: f64,
    /// MA share of the A site.
    pub(crate) ma: f64,
    /// FA share of the A site.
    pub(crate) fa: f64,
    /// Br/(I+Br).
    pub(crate) br: f64,
    /// A-site ions per lead.
    pub(crate) a_per_b: f64,
}

impl Composition {
    /// The composition of some matter; `None` without lead, A-site ions or halide.
    pub(crate) fn of(moles: &Moles) -> Option<Self> {
        let (lead, a) = (moles.of(Species::Lead), moles.a_site());
        let halide = moles.of(Species::Iodide) + moles.of(Species::Bromide);
        if lead <= 0.0 || a <= 1e-9 * lead || halide <= 1e-9 * lead {
            return None;
        }
        Some(Self {
            cs: moles.of(Species::Caesium) / a,
            ma: moles.of(Species::Methylammonium) / a,
            fa: moles.of(Species::Formamidinium) / a,
            br: moles.of(Species::Bromide) / halide,
            a_per_b: a / lead,
        })
    }

    /// Share of the lead that is left over as PbX2.
    pub(crate) fn lead_halide_share(&self) -> f64 {
        (1.0 - self.a_per_b).clamp(0.0, 1.0)
    }

    /// Share of the lead bound in Cs4PbX6 (Cs-rich films with too many A-site ions).
    pub(crate) fn zero_dimensional_share(&self) -> f64 {
        if self.cs > 0.5 { ((self.a_per_b - 1.0) / 3.0).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Residual AX per lead that has no place in a lead phase.
    pub(crate) fn residual_salt_per_lead(&self) -> f64 {
        if self.cs > 0.5 { 0.0 } else { (self.a_per_b - 1.0).max(0.0) }
    }

    /// Mole-weighted Goldschmidt tolerance factor, ionic radii in pm (Shannon 1976, Kieslich 2014).
    pub(crate) fn tolerance(&self) -> f64 {
        let a = 188.0 * self.cs + 217.0 * self.ma + 253.0 * self.fa;
        let x = 220.0 + (196.0 - 220.0) * self.br;
        (a + x) / (std::f64::consts::SQRT_2 * (119.0 + x))
    }

    /// Interpolates a quantity given at (Cs, MA, FA) with iodide and with bromide.
    pub(crate) fn blend(&self, iodide: [f64; 3], bromide: [f64; 3]) -> f64 {
        let at = |ends: [f64; 3]| self.cs * ends[0] + self.ma * ends[1] + self.fa * ends[2];
        (1.0 - self.br) * at(iodide) + self.br * at(bromide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_add_up_to_the_published_masses() {
        let mut salt = Moles::default();
        salt.set(Species::Formamidinium, 1.0);
        salt.set(Species::Iodide, 1.0);
        assert!((salt.mass_g() - 171.97).abs() < 0.02);
        let mut lead_iodide = Moles::default();
        lead_iodide.set(Species::Lead, 1.0);
        lead_iodide.set(Species::Iodide, 2.0);
        assert!((lead_iodide.mass_g() - 461.01).abs() < 0.02);
    }

    #[test]
    fn tolerance_factors_of_the_end_members() {
        let of = |cs, ma, fa, br| Composition { cs, ma, fa, br, a_per_b: 1.0 }.tolerance();
        for (value, expected) in [
            (of(1.0, 0.0, 0.0, 0.0), 0.851),
            (of(0.0, 1.0, 0.0, 0.0), 0.912),
            (of(0.0, 0.0, 1.0, 0.0), 0.987),
            (of(1.0, 0.0, 0.0, 1.0), 0.862),
            (of(0.0, 0.0, 1.0, 1.0), 1.008),
        ] {
            assert!((value - expected).abs() < 1.5e-3, "{value} is not {expected}");
        }
    }

    #[test]
    fn taking_a_volume_conserves_matter() {
        let stock = StockConfig {
            a: ASite::Caesium,
            x: XSite::Bromide,
            lead_mol_per_l: 0.05,
            a_per_lead: 1.0,
            dmso_volume_fraction: 0.2,
        };
        let mut bottle = ink(&stock, 1000.0, 1.0);
        assert!((bottle.volume_ul() - 1000.0).abs() < 1e-9);
        let whole = bottle;
        let part = bottle.take_volume(123.0);
        assert!((part.volume_ul() - 123.0).abs() < 1e-9);
        assert!(((bottle + part).of(Species::Lead) - whole.of(Species::Lead)).abs() < 1e-15);
    }
}
