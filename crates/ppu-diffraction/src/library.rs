//! Published structures of the lead (tin) halide perovskites and of the phases they come from or fall apart into.
//!
//! Sources: cubic Weller 2015; tetragonal MAPbI3 and hexagonal δ-FAPbI3 Stoumpos, Inorg. Chem. 52, 9019 (2013);
//! γ-CsPbI3 cell Straus 2019, CsPbBr3 cell Stoumpos 2013b, with relaxed coordinates of Materials Project entries
//! mp-1120768 and mp-567629; δ-CsPbI3 cell Stoumpos 2013, coordinates mp-540839; PbI2 Palosz 1990; PbBr2 cell Nozik
//! 1976 with PbCl2 coordinates (mp-23291). Mixed crystals use the mole-weighted mean of scattering on each site.

use crate::structure::{Cell, Element, Phase, Site, SpaceGroup, StructureError};

/// Mole fractions must sum to 1 within this: plans are written with three or four digits.
const SUM_TOLERANCE: f64 = 2e-3;
/// Effective radii in pm of the A site (Cs XII; Kieslich 2014 for the molecular ions) and B, X in six-fold
/// coordination (Shannon 1976).
const RADII_PM: Radii = Radii { cs: 188.0, ma: 217.0, fa: 253.0, pb: 119.0, sn: 115.0, iodide: 220.0, bromide: 196.0 };
/// Pseudo-cubic edges in Å at 298 K of the iodides and bromides of FA, MA and Cs.
const EDGES_A: [[f64; 2]; 3] = [[6.362, 5.994], [6.279, 5.932], [6.187, 5.832]];
/// Above this tolerance factor no tilting is known at room temperature: MAPbI3 (0.912) tilts, FAPbI3 (0.987) does not.
const UNTILTED_IODIDE: f64 = 0.935;
/// Bromides lose their tilts at lower tolerance factors: MAPbBr3 (0.927) is cubic, CsPbBr3 (0.862) is not.
const UNTILTED_BROMIDE_SHIFT: f64 = -0.02;
/// Below this tolerance factor the orthorhombic γ form is seen at room temperature.
const ORTHORHOMBIC_BELOW: f64 = 0.912;

struct Radii {
    cs: f64,
    ma: f64,
    fa: f64,
    pb: f64,
    sn: f64,
    iodide: f64,
    bromide: f64,
}

/// Composition (Cs, FA, MA)(Pb, Sn)(I, Br)₃ in mole fractions of each site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Composition {
    /// Caesium on the A site.
    pub cs: f64,
    /// Formamidinium on the A site.
    pub fa: f64,
    /// Methylammonium on the A site.
    pub ma: f64,
    /// Bromine on the X site, the rest is iodine.
    pub br: f64,
    /// Tin on the B site, the rest is lead.
    pub sn: f64,
}

impl Composition {
    /// Checks the fractions; cs + fa + ma must be 1.
    ///
    /// # Errors
    /// [`StructureError::Composition`].
    pub fn new(cs: f64, fa: f64, ma: f64, br: f64, sn: f64) -> Result<Self, StructureError> {
        let fail = |what: String| Err(StructureError::Composition { what });
        for (name, value) in [("Cs", cs), ("FA", fa), ("MA", ma), ("Br", br), ("Sn", sn)] {
            if !(0.0..=1.0).contains(&value) {
                return fail(format!("the fraction of {name} is {value}, not within 0 to 1"));
            }
        }
        let sum = cs + fa + ma;
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return fail(format!("Cs + FA + MA is {sum}, not 1"));
        }
        Ok(Self { cs: cs / sum, fa: fa / sum, ma: ma / sum, br, sn })
    }

    /// Goldschmidt's tolerance factor with mole-weighted radii.
    #[must_use]
    pub fn tolerance_factor(&self) -> f64 {
        let r = RADII_PM;
        let a = self.cs * r.cs + self.ma * r.ma + self.fa * r.fa;
        let b = (1.0 - self.sn) * r.pb + self.sn * r.sn;
        let x = (1.0 - self.br) * r.iodide + self.br * r.bromide;
        (a + x) / (2f64.sqrt() * (b + x))
    }
}

/// Crystal form of the perovskite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlphaForm {
    /// Untilted, Pm-3m.
    Cubic,
    /// One tilt, I4/mcm, cell √2 × √2 × 2.
    Tetragonal,
    /// Two tilts (γ), Pbnm, cell √2 × √2 × 2.
    Orthorhombic,
}

impl AlphaForm {
    /// The lattice planes whose normal is ⟨100⟩ of the cubic parent; a [`crate::profile::Texture`] on it is averaged
    /// over the family in every form.
    #[must_use]
    pub fn texture_axis(self) -> [i32; 3] {
        match self {
            AlphaForm::Cubic => [1, 0, 0],
            AlphaForm::Tetragonal | AlphaForm::Orthorhombic => [0, 0, 1],
        }
    }
}

/// Edge of the cubic (or pseudo-cubic) perovskite in Å at 298 K: Vegard's rule in A and X between published ends.
#[must_use]
pub fn pseudo_cubic_edge(composition: &Composition) -> f64 {
    let shares = [composition.fa, composition.ma, composition.cs];
    shares.iter().zip(EDGES_A).map(|(share, [i, br])| share * (i * (1.0 - composition.br) + br * composition.br)).sum()
}

/// The perovskite in one form; its cell is scaled isotropically so that the cube root of the volume for each formula
/// unit is `pseudo_cubic_a` Å.
///
/// # Errors
/// [`StructureError::Cell`] for an impossible edge.
pub fn alpha(form: AlphaForm, composition: &Composition, pseudo_cubic_a: f64) -> Result<Phase, StructureError> {
    let metal = metal(composition, 2.5);
    let halide = |label: &str, position| halide_site(label, position, composition.br, 5.5);
    let mixed = |iodide: [f64; 3], bromide: [f64; 3]| blend(iodide, bromide, composition.br);
    let (name, shape, units, group, mut sites) = match form {
        AlphaForm::Cubic => {
            let sites = vec![metal([0.0; 3]), halide("X", [0.5, 0.0, 0.0])];
            ("alpha (cubic)", Cell::cubic(6.3), 1.0, SpaceGroup::pm3m(), sites)
        }
        AlphaForm::Tetragonal => {
            let sites = vec![metal([0.0; 3]), halide("X1", [0.0, 0.0, 0.25]), halide("X2", [0.214, 0.714, 0.0])];
            ("alpha (tetragonal)", Cell::tetragonal(8.849, 12.642), 4.0, SpaceGroup::i4mcm(), sites)
        }
        AlphaForm::Orthorhombic => {
            let edges = mixed([8.577, 8.856, 12.472], [8.198, 8.244, 11.735]);
            let sites = vec![
                metal([0.5, 0.0, 0.0]),
                halide("X1", mixed([0.0515, 0.5071, 0.25], [0.0482, 0.5063, 0.25])),
                halide("X2", mixed([0.7966, 0.2039, 0.0259], [0.7948, 0.2054, 0.0257])),
            ];
            let cell = Cell::orthorhombic(edges[0], edges[1], edges[2]);
            ("alpha (orthorhombic)", cell, 4.0, SpaceGroup::pbnm(), sites)
        }
    };
    let a_site = match form {
        AlphaForm::Cubic => [0.5; 3],
        AlphaForm::Tetragonal => [0.0, 0.5, 0.25],
        AlphaForm::Orthorhombic => mixed([0.9924, 0.9654, 0.25], [0.9917, 0.9682, 0.25]),
    };
    sites.extend(cations(composition, a_site, 7.0));
    let factor = pseudo_cubic_a / (shape.volume_a3() / units).cbrt();
    let family: &[[i32; 3]] = if form == AlphaForm::Cubic { &[] } else { &[[0, 0, 1], [1, 1, 0], [1, -1, 0]] };
    Ok(Phase::new(name, shape.scaled(factor), group, sites)?.with_pseudo_equivalent_axes(family))
}

/// δH: the hexagonal 2H form of FAPbX3 with the halide ratio of the film. The published cell is that of the iodide; with
/// bromine it is shrunk like the perovskite.
///
/// # Errors
/// [`StructureError`] for an impossible composition.
pub fn delta_h(br: f64) -> Result<Phase, StructureError> {
    let fa = Composition::new(0.0, 1.0, 0.0, br, 0.0)?;
    let cell = Cell::hexagonal(8.660, 7.902).scaled(pseudo_cubic_edge(&fa) / EDGES_A[0][0]);
    let mut sites = vec![metal(&fa, 2.0)([0.0; 3]), halide_site("X", [0.170, 0.340, 0.25], br, 3.5)];
    sites.extend(cations(&fa, [1.0 / 3.0, 2.0 / 3.0, 0.75], 4.5));
    Phase::new("delta-H", cell, SpaceGroup::p63mmc(), sites)
}

/// δO: the orthorhombic non-perovskite form of CsPbX3 with the halide ratio of the film, treated like [`delta_h`].
///
/// # Errors
/// [`StructureError`] for an impossible composition.
pub fn delta_o(br: f64) -> Result<Phase, StructureError> {
    let cs = Composition::new(1.0, 0.0, 0.0, br, 0.0)?;
    let cell = Cell::orthorhombic(10.450, 4.801, 17.776).scaled(pseudo_cubic_edge(&cs) / EDGES_A[2][0]);
    let mut sites = vec![
        metal(&cs, 2.0)([0.6612, 0.25, 0.4392]),
        halide_site("X1", [0.1638, 0.25, 0.4994], br, 3.5),
        halide_site("X2", [0.5287, 0.25, 0.6116], br, 3.5),
        halide_site("X3", [0.7972, 0.25, 0.2885], br, 3.5),
    ];
    sites.extend(cations(&cs, [0.4184, 0.25, 0.8278], 4.5));
    Phase::new("delta-O", cell, SpaceGroup::pnma(), sites)
}

/// PbI2, polytype 2H.
///
/// # Errors
/// None in practice; the signature is that of every builder here.
pub fn lead_iodide() -> Result<Phase, StructureError> {
    let sites = vec![
        Site::new("Pb", [0.0; 3], &[(Element::Pb, 1.0)], 1.5),
        Site::new("I", [1.0 / 3.0, 2.0 / 3.0, 0.2675], &[(Element::I, 1.0)], 2.5),
    ];
    Phase::new("PbI2", Cell::hexagonal(4.557, 6.979), SpaceGroup::p3m1_bar(), sites)
}

/// PbBr2, PbCl2 type.
///
/// # Errors
/// None in practice; the signature is that of every builder here.
pub fn lead_bromide() -> Result<Phase, StructureError> {
    let sites = vec![
        Site::new("Pb", [0.2646, 0.25, 0.9159], &[(Element::Pb, 1.0)], 1.5),
        Site::new("Br1", [0.4885, 0.25, 0.1545], &[(Element::Br, 1.0)], 2.5),
        Site::new("Br2", [0.3579, 0.25, 0.5827], &[(Element::Br, 1.0)], 2.5),
    ];
    Phase::new("PbBr2", Cell::orthorhombic(8.059, 4.732, 9.540), SpaceGroup::pnma(), sites)
}

/// CsX with the CsCl structure; the cell follows Vegard's rule between CsI and CsBr.
///
/// # Errors
/// [`StructureError`] for an impossible bromine share.
pub fn caesium_halide(br: f64) -> Result<Phase, StructureError> {
    let sites = vec![Site::new("Cs", [0.0; 3], &[(Element::Cs, 1.0)], 2.0), halide_site("X", [0.5; 3], br, 2.0)];
    Phase::new("CsX", Cell::cubic(4.567 * (1.0 - br) + 4.286 * br), SpaceGroup::pm3m(), sites)
}

/// What a phase means for the film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The wanted perovskite.
    Alpha,
    /// A non-perovskite form of the same composition.
    Delta,
    /// Left over or fallen out.
    LeadHalide,
}

/// A phase that may be in the specimen, with what is known of its state beforehand (means and standard deviations).
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The structure.
    pub phase: Phase,
    /// Its meaning.
    pub role: Role,
    /// Texture axis.
    pub texture_axis: [i32; 3],
    /// Prior of ln r.
    pub texture_prior: (f64, f64),
    /// Standard deviation of the relative cell edge.
    pub cell_prior: f64,
}

/// The candidate phases of one film.
#[derive(Debug, Clone, PartialEq)]
pub struct Library {
    /// The forms that the perovskite may take; the analysis uses the one that fits best.
    pub alpha: Vec<Candidate>,
    /// Every other phase.
    pub others: Vec<Candidate>,
}

/// The phases that a film of this planned composition may hold: the perovskite in each plausible tilt form, δH when
/// there is FA, δO when there is Cs, and the lead halides.
///
/// Priors are broad: ⟨100⟩ and (001) PbI2 fibre textures are common in films, PbI2 platelets lie flat, and mixed-halide
/// δ phases have cells that nobody has tabulated.
///
/// # Errors
/// [`StructureError`] for an impossible composition.
pub fn halide_perovskite(composition: &Composition) -> Result<Library, StructureError> {
    let edge = pseudo_cubic_edge(composition);
    let mut forms = vec![AlphaForm::Cubic];
    let tolerance = composition.tolerance_factor();
    if tolerance < UNTILTED_IODIDE + UNTILTED_BROMIDE_SHIFT * composition.br {
        forms.push(AlphaForm::Tetragonal);
    }
    if tolerance < ORTHORHOMBIC_BELOW {
        forms.push(AlphaForm::Orthorhombic);
    }
    let mut alphas = Vec::new();
    for form in forms {
        alphas.push(Candidate {
            phase: alpha(form, composition, edge)?,
            role: Role::Alpha,
            texture_axis: form.texture_axis(),
            texture_prior: (-0.3, 0.4),
            cell_prior: 0.01,
        });
    }
    let mut others = Vec::new();
    let mut add = |phase: Phase, role, texture_axis, texture_prior, cell_prior| {
        others.push(Candidate { phase, role, texture_axis, texture_prior, cell_prior });
    };
    let delta_cell = 0.002 + 0.01 * composition.br;
    if composition.fa > 0.0 {
        add(delta_h(composition.br)?, Role::Delta, [0, 0, 1], (0.1, 0.25), delta_cell);
    }
    if composition.cs > 0.0 {
        add(delta_o(composition.br)?, Role::Delta, [0, 1, 0], (0.0, 0.2), delta_cell);
    }
    if composition.br < 1.0 {
        add(lead_iodide()?, Role::LeadHalide, [0, 0, 1], (-0.5, 0.5), 0.003);
    }
    if composition.br > 0.0 {
        add(lead_bromide()?, Role::LeadHalide, [0, 1, 0], (0.0, 0.2), 0.003);
    }
    Ok(Library { alpha: alphas, others })
}

/// A function that places the B site.
fn metal(composition: &Composition, b_iso: f64) -> impl Fn([f64; 3]) -> Site {
    let sn = composition.sn;
    move |position| Site::new("B", position, &[(Element::Pb, 1.0 - sn), (Element::Sn, sn)], b_iso)
}

fn halide_site(label: &str, position: [f64; 3], br: f64, b_iso: f64) -> Site {
    Site::new(label, position, &[(Element::I, 1.0 - br), (Element::Br, br)], b_iso)
}

/// The A site: caesium, and the atoms of freely turning molecules gathered at their centre with a large B.
fn cations(composition: &Composition, position: [f64; 3], caesium_b: f64) -> Vec<Site> {
    let Composition { cs, fa, ma, .. } = *composition;
    let molecule = [(Element::C, fa + ma), (Element::N, 2.0 * fa + ma), (Element::H, 5.0 * fa + 6.0 * ma)];
    let mut sites = Vec::new();
    if cs > 0.0 {
        sites.push(Site::new("Cs", position, &[(Element::Cs, cs)], caesium_b));
    }
    if fa + ma > 0.0 {
        sites.push(Site::new("FA/MA", position, &molecule, 10.0));
    }
    sites
}

fn blend(iodide: [f64; 3], bromide: [f64; 3], br: f64) -> [f64; 3] {
    std::array::from_fn(|k| iodide[k] * (1.0 - br) + bromide[k] * br)
}
