use super::StructureError;

/// No space group has more operations in one conventional cell than this.
const MOST_OPERATIONS: usize = 192;
/// Translations of space groups are multiples of 1/24; comparing in this unit makes them exact.
pub(super) const TRANSLATION_UNIT: i32 = 24;

/// A symmetry operation x' = R x + t on fractional coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operator {
    /// The rotation R, row by row.
    pub rotation: [[i32; 3]; 3],
    /// The translation t in units of 1/24, each from 0 to 23.
    pub translation: [i32; 3],
}

impl Operator {
    /// The operation that changes nothing.
    pub const IDENTITY: Operator = Operator { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0, 0, 0] };

    /// Reads the notation of crystallographic files, for example `-y, x-y, z+1/2`.
    ///
    /// # Errors
    /// [`StructureError::Operator`] names the text and the part that was not understood.
    pub fn parse(text: &str) -> Result<Self, StructureError> {
        let fail = |at: &str| StructureError::Operator { operator: text.to_owned(), at: at.to_owned() };
        let parts: Vec<&str> = text.split(',').collect();
        if parts.len() != 3 {
            return Err(fail(text));
        }
        let mut operator = Operator { rotation: [[0; 3]; 3], translation: [0; 3] };
        for (row, part) in parts.iter().enumerate() {
            let (rotation, translation) = parse_row(part).ok_or_else(|| fail(part))?;
            operator.rotation[row] = rotation;
            operator.translation[row] = translation;
        }
        if operator.determinant().abs() != 1 {
            return Err(fail(text));
        }
        Ok(operator)
    }

    /// The product: first `other`, then `self`.
    #[must_use]
    pub fn after(&self, other: &Operator) -> Operator {
        let mut product = Operator { rotation: [[0; 3]; 3], translation: [0; 3] };
        for row in 0..3 {
            for column in 0..3 {
                product.rotation[row][column] = (0..3).map(|k| self.rotation[row][k] * other.rotation[k][column]).sum();
            }
            let shift: i32 = (0..3).map(|k| self.rotation[row][k] * other.translation[k]).sum();
            product.translation[row] = (shift + self.translation[row]).rem_euclid(TRANSLATION_UNIT);
        }
        product
    }

    /// The image of a point in fractional coordinates (not reduced modulo 1).
    #[must_use]
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            let rotated: f64 = (0..3).map(|k| f64::from(self.rotation[row][k]) * point[k]).sum();
            rotated + f64::from(self.translation[row]) / f64::from(TRANSLATION_UNIT)
        })
    }

    /// The row vector hᵀR: the reflection that this operation makes equivalent to `hkl`.
    #[must_use]
    pub fn transform_hkl(&self, hkl: [i32; 3]) -> [i32; 3] {
        turn(hkl, &self.rotation)
    }

    /// True when this operation alone extinguishes `hkl`: hᵀR = h while h·t is not an integer.
    #[must_use]
    pub fn forbids(&self, hkl: [i32; 3]) -> bool {
        !is_whole(hkl, self.translation) && self.transform_hkl(hkl) == hkl
    }

    fn determinant(&self) -> i32 {
        let r = &self.rotation;
        r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1]) - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
            + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0])
    }
}

/// The row vector hᵀR.
pub(super) fn turn(hkl: [i32; 3], rotation: &[[i32; 3]; 3]) -> [i32; 3] {
    std::array::from_fn(|column| {
        hkl[0] * rotation[0][column] + hkl[1] * rotation[1][column] + hkl[2] * rotation[2][column]
    })
}

/// True when h·t is an integer for a translation in units of 1/24.
pub(super) fn is_whole(hkl: [i32; 3], translation: [i32; 3]) -> bool {
    let phase = hkl[0] * translation[0] + hkl[1] * translation[1] + hkl[2] * translation[2];
    phase.rem_euclid(TRANSLATION_UNIT) == 0
}

/// Reads one component such as `x-y+1/2` or `-z+0.25`: the row of R, and t in 1/24.
fn parse_row(text: &str) -> Option<([i32; 3], i32)> {
    let mut rotation = [0; 3];
    let mut translation = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (sign, body) = match rest.as_bytes()[0] {
            b'+' => (1, rest[1..].trim_start()),
            b'-' => (-1, rest[1..].trim_start()),
            _ => (1, rest),
        };
        let end = body.find(['+', '-']).unwrap_or(body.len());
        let term = body[..end].trim();
        match term {
            "x" | "X" => rotation[0] += sign,
            "y" | "Y" => rotation[1] += sign,
            "z" | "Z" => rotation[2] += sign,
            _ => translation += sign * parse_translation(term)?,
        }
        rest = &body[end..];
    }
    Some((rotation, translation.rem_euclid(TRANSLATION_UNIT)))
}

/// A translation such as `1/2` or `0.3333` in units of 1/24.
fn parse_translation(term: &str) -> Option<i32> {
    let value = match term.split_once('/') {
        Some((top, bottom)) => top.trim().parse::<f64>().ok()? / bottom.trim().parse::<f64>().ok()?,
        None => term.parse::<f64>().ok()?,
    };
    let units = value * f64::from(TRANSLATION_UNIT);
    // Files round 1/3 to 0.333, which is 0.008 of a unit away; a sixth of a unit is never a rounding.
    let near = units.round();
    (units.is_finite() && units.abs() < 1e3 && (units - near).abs() < 0.1).then_some(near as i32)
}

/// A space group as its complete list of operations in one conventional cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceGroup {
    name: String,
    operators: Vec<Operator>,
    laue_rotations: Vec<[[i32; 3]; 3]>,
    centring: Vec<[i32; 3]>,
}

impl SpaceGroup {
    /// The group that the given operations generate. A complete list generates itself, so lists from files and bare
    /// generators are both welcome.
    ///
    /// # Errors
    /// [`StructureError::Operator`] for text that cannot be read, [`StructureError::NotAGroup`] when the operations
    /// generate more than 192 others.
    pub fn from_operators(name: &str, operators: &[&str]) -> Result<Self, StructureError> {
        let generators = operators.iter().map(|text| Operator::parse(text)).collect::<Result<Vec<_>, _>>()?;
        Self::generated(name, &generators)
    }

    /// The group that `generators` generate.
    pub(super) fn generated(name: &str, generators: &[Operator]) -> Result<Self, StructureError> {
        let mut found = vec![Operator::IDENTITY];
        let mut next = 0;
        while next < found.len() {
            for generator in generators {
                let product = generator.after(&found[next]);
                if !found.contains(&product) {
                    found.push(product);
                }
            }
            if found.len() > MOST_OPERATIONS {
                return Err(StructureError::NotAGroup { group: name.to_owned() });
            }
            next += 1;
        }
        found.sort_unstable();
        let opposite = |rotation: [[i32; 3]; 3]| rotation.map(|row| row.map(|entry| -entry));
        let folded = found.iter().map(|operator| operator.rotation.max(opposite(operator.rotation)));
        let laue_rotations = folded.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let pure = |operator: &&Operator| {
            operator.rotation == Operator::IDENTITY.rotation && operator.translation != [0, 0, 0]
        };
        let centring = found.iter().filter(pure).map(|operator| operator.translation).collect();
        Ok(Self { name: name.to_owned(), operators: found, laue_rotations, centring })
    }

    /// The distinct rotations, one of each pair R and -R: those of the Laue class.
    pub(crate) fn laue_rotations(&self) -> &[[[i32; 3]; 3]] {
        &self.laue_rotations
    }

    /// Lattice translations other than those of the cell, in units of 1/24.
    pub(crate) fn centring(&self) -> &[[i32; 3]] {
        &self.centring
    }

    /// Hermann-Mauguin symbol or whatever name was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every operation, centring translations included.
    #[must_use]
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// Pm-3m (221).
    #[must_use]
    pub fn pm3m() -> Self {
        Self::known("Pm-3m", &["z,x,y", "-x,-y,z", "-x,y,-z", "y,x,-z", "-x,-y,-z"])
    }

    /// Fm-3m (225).
    #[must_use]
    pub fn fm3m() -> Self {
        Self::known("Fm-3m", &["z,x,y", "-x,-y,z", "-x,y,-z", "y,x,-z", "-x,-y,-z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2"])
    }

    /// I4/mcm (140).
    #[must_use]
    pub fn i4mcm() -> Self {
        Self::known("I4/mcm", &["-x,-y,z", "-y,x,z", "-x,y,-z+1/2", "-x,-y,-z", "x+1/2,y+1/2,z+1/2"])
    }

    /// Pbnm (62, setting cab of Pnma).
    #[must_use]
    pub fn pbnm() -> Self {
        Self::known("Pbnm", &["-x,-y,z+1/2", "x+1/2,-y+1/2,-z", "-x,-y,-z"])
    }

    /// Pnma (62, standard setting).
    #[must_use]
    pub fn pnma() -> Self {
        Self::known("Pnma", &["-x+1/2,-y,z+1/2", "-x,y+1/2,-z", "-x,-y,-z"])
    }

    /// P6₃/mmc (194).
    #[must_use]
    pub fn p63mmc() -> Self {
        Self::known("P63/mmc", &["-y,x-y,z", "-x,-y,z+1/2", "y,x,-z", "-x,-y,-z"])
    }

    /// P6₃mc (186).
    #[must_use]
    pub fn p63mc() -> Self {
        Self::known("P63mc", &["-y,x-y,z", "-x,-y,z+1/2", "-y,-x,z"])
    }

    /// P-3m1 (164).
    #[must_use]
    pub fn p3m1_bar() -> Self {
        Self::known("P-3m1", &["-y,x-y,z", "y,x,-z", "-x,-y,-z"])
    }

    /// R-3c (167), hexagonal axes.
    #[must_use]
    pub fn r3c_bar() -> Self {
        Self::known("R-3c", &["-y,x-y,z", "y,x,-z+1/2", "-x,-y,-z", "x+2/3,y+1/3,z+1/3"])
    }

    fn known(name: &str, generators: &[&str]) -> Self {
        Self::from_operators(name, generators).expect("the generators of a standard group are well formed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_groups_have_the_tabulated_number_of_operations() {
        for (group, order) in [
            (SpaceGroup::pm3m(), 48),
            (SpaceGroup::fm3m(), 192),
            (SpaceGroup::i4mcm(), 32),
            (SpaceGroup::pbnm(), 8),
            (SpaceGroup::pnma(), 8),
            (SpaceGroup::p63mmc(), 24),
            (SpaceGroup::p63mc(), 12),
            (SpaceGroup::p3m1_bar(), 12),
            (SpaceGroup::r3c_bar(), 36),
        ] {
            assert_eq!(group.operators().len(), order, "{}", group.name());
        }
    }

    #[test]
    fn pbnm_is_pnma_with_permuted_axes() {
        // (a, b, c) of Pbnm are (c, a, b) of Pnma.
        let from_pnma: Vec<Operator> = SpaceGroup::pnma()
            .operators()
            .iter()
            .map(|operator| {
                let order = [2, 0, 1];
                Operator {
                    rotation: std::array::from_fn(|i| std::array::from_fn(|j| operator.rotation[order[i]][order[j]])),
                    translation: std::array::from_fn(|i| operator.translation[order[i]]),
                }
            })
            .collect();
        let pbnm = SpaceGroup::pbnm();
        assert!(from_pnma.iter().all(|operator| pbnm.operators().contains(operator)), "{from_pnma:?}");
    }

    #[test]
    fn operators_are_read_in_the_usual_spellings() {
        let wanted = Operator { rotation: [[0, -1, 0], [1, -1, 0], [0, 0, 1]], translation: [0, 0, 12] };
        for text in ["-y,x-y,z+1/2", " -Y , X - Y , 1/2+Z ", "-y,-y+x,z+0.5", "-y,x-y,z-1/2"] {
            assert_eq!(Operator::parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn bad_operators_are_refused_with_their_place() {
        for (text, at) in
            [("x,y", "x,y"), ("x,q,z", "q"), ("x,,z", ""), ("x,x,z", "x,x,z"), ("x,y,z+1/0", "z+1/0"), ("x,y,z+", "z+")]
        {
            match Operator::parse(text) {
                Err(StructureError::Operator { at: place, .. }) => assert_eq!(place.trim(), at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(SpaceGroup::from_operators("nonsense", &["x+y,y,z"]), Err(StructureError::NotAGroup { .. })));
    }
}
