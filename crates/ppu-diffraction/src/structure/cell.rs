use nalgebra::{Matrix3, Vector3};

use super::StructureError;

/// Edges outside this range are mistakes (for example nm given for Å), not crystals this crate can handle.
const EDGE_RANGE_A: std::ops::RangeInclusive<f64> = 1.0..=100.0;

/// A unit cell: edges in Å, angles in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Edge a in Å.
    pub a: f64,
    /// Edge b in Å.
    pub b: f64,
    /// Edge c in Å.
    pub c: f64,
    /// Angle between b and c in degrees.
    pub alpha: f64,
    /// Angle between a and c in degrees.
    pub beta: f64,
    /// Angle between a and b in degrees.
    pub gamma: f64,
}

impl Cell {
    /// Cubic cell of edge `a` in Å.
    #[must_use]
    pub fn cubic(a: f64) -> Self {
        Self::orthorhombic(a, a, a)
    }

    /// Tetragonal cell, edges in Å.
    #[must_use]
    pub fn tetragonal(a: f64, c: f64) -> Self {
        Self::orthorhombic(a, a, c)
    }

    /// Orthorhombic cell, edges in Å.
    #[must_use]
    pub fn orthorhombic(a: f64, b: f64, c: f64) -> Self {
        Self { a, b, c, alpha: 90.0, beta: 90.0, gamma: 90.0 }
    }

    /// Hexagonal cell (γ = 120°), edges in Å.
    #[must_use]
    pub fn hexagonal(a: f64, c: f64) -> Self {
        Self { a, b: a, c, alpha: 90.0, beta: 90.0, gamma: 120.0 }
    }

    /// The same cell with every edge multiplied by `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { a: self.a * factor, b: self.b * factor, c: self.c * factor, ..*self }
    }

    /// Volume in Å³.
    #[must_use]
    pub fn volume_a3(&self) -> f64 {
        self.metric().determinant().max(0.0).sqrt()
    }

    /// Spacing d in Å of the lattice planes `hkl`; infinite for (000).
    #[must_use]
    pub fn d_spacing(&self, hkl: [i32; 3]) -> f64 {
        let inverse = self.reciprocal_metric().expect("a checked cell has an invertible metric");
        let h = Vector3::new(f64::from(hkl[0]), f64::from(hkl[1]), f64::from(hkl[2]));
        1.0 / (h.transpose() * inverse * h)[(0, 0)].sqrt()
    }

    /// The metric tensor G with elements a_i · a_j in Å².
    #[must_use]
    pub fn metric(&self) -> Matrix3<f64> {
        let cos = |degrees: f64| if degrees == 90.0 { 0.0 } else { degrees.to_radians().cos() };
        let (ab, ac, bc) =
            (self.a * self.b * cos(self.gamma), self.a * self.c * cos(self.beta), self.b * self.c * cos(self.alpha));
        Matrix3::new(self.a * self.a, ab, ac, ab, self.b * self.b, bc, ac, bc, self.c * self.c)
    }

    /// The reciprocal metric tensor G* = G⁻¹ in Å⁻², or nothing when the angles close no cell.
    #[must_use]
    pub fn reciprocal_metric(&self) -> Option<Matrix3<f64>> {
        self.metric().try_inverse()
    }

    /// Refuses edges outside 1 to 100 Å and angles that span no volume.
    ///
    /// # Errors
    /// [`StructureError::Cell`].
    pub fn check(&self) -> Result<(), StructureError> {
        let edges_fit = [self.a, self.b, self.c].iter().all(|edge| EDGE_RANGE_A.contains(edge));
        let angles_fit = [self.alpha, self.beta, self.gamma].iter().all(|angle| (1.0..179.0).contains(angle));
        // A determinant below 1e-3 of the product of edges squared is a flat cell.
        let flat = 1e-3 * (self.a * self.b * self.c).powi(2);
        if edges_fit && angles_fit && self.metric().determinant() > flat {
            Ok(())
        } else {
            Err(StructureError::Cell { cell: format!("{self:?}") })
        }
    }
}
