//! Level F2: a universal interatomic potential answers for crystal structures: energy, distance to a hull of known
//! phases, magnetic moments, and the relaxed geometry.
//!
//! The weights of the potential are no part of this crate. Without them the level refuses and says how to get them; all
//! other levels go on.

use ppu_atoms::hull::{Hull, HullError};
use ppu_atoms::references::{References, ReferencesError};
use ppu_atoms::relax::{RelaxError, RelaxSettings, relax};
use ppu_atoms::weights::WeightsError;
use ppu_atoms::{Chgnet, Composition, Energy, Refusal, Structure, Weights};
use serde::{Deserialize, Serialize};

use crate::contract::{Predicted, Work};

const VERSION: u32 = 1;

/// Declared sd in eV for each atom until references are fitted: the potential's mean absolute error on materials unlike
/// those of its training is 0.061 eV for each atom (Matbench Discovery, WBM), which is a standard deviation of 0.076 if
/// the errors were normal; rounded up because their tails are not.
const PRIOR_SD: f64 = 0.08;
/// Ideal geometry instead of the relaxed one costs this much more, in the same unit: on Perov-5 the error of ideal sites
/// at a guessed edge (0.231) against that at the true geometry (0.140), in quadrature and as sd.
const UNRELAXED_SD: f64 = 0.23;
/// A gradient costs about two energies.
const GRADIENT_WORK: u64 = 2;
/// One unit of [`Work`] is an evaluation of the cheapest level, about a microsecond; an edge or angle is about ten.
const ROW_WORK: u64 = 10;

/// How far the level goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtomisticStage {
    /// F2a: the geometry as given, taken to be right.
    AsGiven,
    /// F2a for a geometry that is only a guess: the error declared is larger.
    Guessed,
    /// F2c: relaxed within the symmetry of the start.
    Relaxed,
}

/// The level. It may lack weights; then it refuses.
#[derive(Debug, Clone, Default)]
pub struct AtomisticTwin {
    model: Option<(Chgnet, String)>,
    references: Option<References>,
    hull: Option<Hull>,
    relaxation: RelaxSettings,
}

/// What the level says about one structure.
#[derive(Debug, Clone, PartialEq)]
pub struct AtomisticEvaluation {
    /// Energy in eV for each atom: on the scale of the references where there are any, else on the potential's own.
    pub energy: Predicted,
    /// Distance in eV for each atom to the hull of the known phases, where there is one; negative means below it.
    pub above_hull: Option<HullDistance>,
    /// Energies by site, moments and features as the potential gives them.
    pub detail: Energy,
    /// The relaxed structure; a new candidate whose parent is the one that was asked about.
    pub relaxed: Option<Structure>,
    /// Work spent.
    pub cost: Work,
    /// Enough to compute it again.
    pub provenance: AtomisticProvenance,
}

/// A distance to a hull, and what the hull was made of: the distance means nothing without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HullDistance {
    /// The distance in eV for each atom. Its sd is that of the energy: the known phases are taken as exact.
    pub distance: Predicted,
    /// Known phases of the same elements.
    pub competitors: usize,
}

/// Which numbers answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtomisticProvenance {
    /// Name of the potential, with its head.
    pub model: String,
    /// Version of this level; any change of a constant raises it.
    pub version: u32,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// How far it went.
    pub stage: AtomisticStage,
    /// Samples that the element references were fitted to; 0 without references.
    pub reference_samples: usize,
    /// Evaluations of the potential.
    pub steps: usize,
}

/// Why the level does not answer. A refusal is data, not a bad score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AtomisticRefusal {
    /// There are no weights.
    #[error(
        "the weights of the potential are not installed; `ppu twin fetch` gets them, or `ppu twin fetch --from FILE`"
    )]
    NoWeights,
    /// The structure is outside the potential's domain.
    #[error("the potential refuses the structure")]
    Potential(#[source] Refusal),
    /// The relaxation failed.
    #[error("the structure does not relax")]
    Relaxation(#[source] RelaxError),
    /// The structure has an element without a reference.
    #[error("the energy cannot be brought to the scale of the references")]
    References(#[source] ReferencesError),
    /// The hull has no answer.
    #[error("the hull of the known phases has no answer")]
    Hull(#[source] HullError),
}

impl AtomisticRefusal {
    /// A short key for counting refusals of one kind.
    pub fn kind(&self) -> &'static str {
        match self {
            AtomisticRefusal::NoWeights => "no weights",
            AtomisticRefusal::Potential(Refusal::Isolated { .. }) => "isolated atom",
            AtomisticRefusal::Potential(Refusal::TooLarge { .. }) => "too large",
            AtomisticRefusal::Potential(_) => "outside the potential's domain",
            AtomisticRefusal::Relaxation(_) => "does not relax",
            AtomisticRefusal::References(_) => "no element reference",
            AtomisticRefusal::Hull(_) => "no hull",
        }
    }
}

impl AtomisticTwin {
    /// The level without weights: it refuses everything.
    #[must_use]
    pub fn without_weights() -> Self {
        Self::default()
    }

    /// The level with weights.
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        let name = weights.metadata().get("model").cloned().unwrap_or_else(|| "CHGNet, source unknown".to_owned());
        Self { model: Some((Chgnet::new(weights), name)), ..Self::default() }
    }

    /// The level with weights from the bytes of a converted file.
    ///
    /// # Errors
    /// [`WeightsError`] when the bytes are no such file.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, WeightsError> {
        Ok(Self::new(&Weights::from_safetensors(bytes)?))
    }

    /// The same on the scale of refitted references, with their calibrated error.
    #[must_use]
    pub fn with_references(self, references: References) -> Self {
        Self { references: Some(references), ..self }
    }

    /// The same with known phases. Their energies must be on the scale of the references.
    #[must_use]
    pub fn with_hull(self, hull: Hull) -> Self {
        Self { hull: Some(hull), ..self }
    }

    /// The same with other limits for relaxation.
    #[must_use]
    pub fn with_relaxation(self, relaxation: RelaxSettings) -> Self {
        Self { relaxation, ..self }
    }

    /// True when there are weights.
    #[must_use]
    pub fn has_weights(&self) -> bool {
        self.model.is_some()
    }

    /// Evaluates a structure. Same input, same bits.
    ///
    /// # Errors
    /// [`AtomisticRefusal`] without weights, outside the domain, or when a relaxation, a reference or a hull fails.
    pub fn evaluate(
        &self,
        structure: &Structure,
        stage: AtomisticStage,
    ) -> Result<AtomisticEvaluation, AtomisticRefusal> {
        let (model, name) = self.model.as_ref().ok_or(AtomisticRefusal::NoWeights)?;
        let (detail, relaxed, steps) = if stage == AtomisticStage::Relaxed {
            let found = relax(model, structure, &self.relaxation).map_err(AtomisticRefusal::Relaxation)?;
            let mut detail = found.forces.energy;
            detail.work = found.work;
            (detail, Some(found.structure), found.steps)
        } else {
            (model.energy(structure).map_err(AtomisticRefusal::Potential)?, None, 1)
        };
        let composition =
            Composition::of(structure.species()).map_err(|_| AtomisticRefusal::Potential(Refusal::NotFinite))?;
        let energy = self.referenced(&composition, detail.per_atom(), stage)?;
        let above_hull = match &self.hull {
            None => None,
            Some(hull) => Some(distance(hull, &composition, energy)?),
        };
        let rows = (detail.work.edges + detail.work.angles) as u64;
        let factor = if stage == AtomisticStage::Relaxed { GRADIENT_WORK } else { 1 };
        let provenance = AtomisticProvenance {
            model: name.clone(),
            version: VERSION,
            weights_sha256: model.weights_digest().to_owned(),
            stage,
            reference_samples: self.references.as_ref().map_or(0, References::samples),
            steps,
        };
        Ok(AtomisticEvaluation {
            energy,
            above_hull,
            detail,
            relaxed,
            cost: Work(rows * factor * ROW_WORK),
            provenance,
        })
    }

    /// The potential's own energy of a structure in eV for each atom, without references or hull, and the work.
    pub(crate) fn potential_energy(&self, structure: &Structure) -> Result<(f64, Work), AtomisticRefusal> {
        let (model, _) = self.model.as_ref().ok_or(AtomisticRefusal::NoWeights)?;
        let found = model.energy(structure).map_err(AtomisticRefusal::Potential)?;
        let rows = (found.work.edges + found.work.angles) as u64;
        Ok((found.per_atom(), Work(rows * ROW_WORK)))
    }

    fn referenced(
        &self,
        composition: &Composition,
        energy: f64,
        stage: AtomisticStage,
    ) -> Result<Predicted, AtomisticRefusal> {
        let (mean, sd) = match &self.references {
            None => (energy, PRIOR_SD),
            Some(references) => {
                let mean = references.predict(composition, energy).map_err(AtomisticRefusal::References)?;
                (mean, references.left_out_sd().max(f64::MIN_POSITIVE))
            }
        };
        let sd = if stage == AtomisticStage::Guessed { sd.hypot(UNRELAXED_SD) } else { sd };
        Ok(Predicted { mean, sd })
    }
}

fn distance(hull: &Hull, composition: &Composition, energy: Predicted) -> Result<HullDistance, AtomisticRefusal> {
    let mixture = hull.mixture(composition).map_err(AtomisticRefusal::Hull)?;
    let distance = Predicted { mean: energy.mean - mixture.energy, sd: energy.sd };
    Ok(HullDistance { distance, competitors: mixture.competitors })
}
