//! Twins made to lie.

use ppu_core::{Candidate, DesignSpace};
use ppu_twin::{Evaluation, Fidelity, FidelityDescription, Twin, TwinRefusal};

/// A twin that answers for another candidate than the one that was asked about, with all its assurance.
pub(crate) struct Liar<'a> {
    twin: &'a dyn Twin,
    space: &'a DesignSpace,
    lie: Lie,
}

enum Lie {
    /// Every prediction is mirrored about the middle of its range.
    Reversed,
    /// Predictions belong to other candidates.
    Shuffled,
}

/// Middles about which predictions are mirrored, in the units of the campaign: gap in eV, share, log10 of electrons a second.
/// That of the gap is not the wanted 1.68 eV: mirrored there, its distance from the goal would stay true.
const MIDDLES: [(&str, f64); 3] = [("band_gap", 1.60), ("alpha_fraction", 0.5), ("pl_intensity", 4.0)];

impl<'a> Liar<'a> {
    /// Large where the twin says small.
    pub(crate) fn reversed(twin: &'a dyn Twin, space: &'a DesignSpace) -> Liar<'a> {
        Liar { twin, space, lie: Lie::Reversed }
    }

    /// The twin's predictions, dealt out anew.
    pub(crate) fn shuffled(twin: &'a dyn Twin, space: &'a DesignSpace) -> Liar<'a> {
        Liar { twin, space, lie: Lie::Shuffled }
    }

    /// Another candidate, always the same one for the same question: its coordinates are those of a point far away.
    fn another(&self, candidate: &Candidate) -> Option<Candidate> {
        let unit = self.space.to_unit(candidate).ok()?;
        let mixed =
            |k: usize| unit.iter().enumerate().map(|(at, u)| u * (7.0 + ((at * 5 + k * 3) % 11) as f64)).sum::<f64>();
        (0..64).find_map(|shift| {
            let far: Vec<f64> = (0..unit.len()).map(|k| (mixed(k) + f64::from(shift) * 0.618_034).fract()).collect();
            self.space.from_unit(&far)
        })
    }
}

impl Twin for Liar<'_> {
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        match self.lie {
            Lie::Reversed => {
                let mut evaluation = self.twin.evaluate(candidate, fidelity)?;
                for (name, predicted) in &mut evaluation.predictions {
                    if let Some((_, middle)) = MIDDLES.iter().find(|(known, _)| known == name) {
                        predicted.mean = 2.0 * middle - predicted.mean;
                    }
                }
                Ok(evaluation)
            }
            Lie::Shuffled => {
                let told = self.another(candidate).unwrap_or_else(|| candidate.clone());
                self.twin.evaluate(&told, fidelity)
            }
        }
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        self.twin.describe(fidelity)
    }
}
