//! What the campaign's own measurements say about the twin: offset, scale, remaining error.

use std::collections::BTreeMap;

use ppu_core::{Candidate, Observation};
use serde::{Deserialize, Serialize};

use crate::contract::{Evaluation, Fidelity, ObservableDescription, Predicted, Twin};

/// Declared sd of the scale around 1: a published relation is seldom wrong by more than a third in its slope.
const SCALE_SD: f64 = 0.3;
/// Weight of the declared error, in measurements.
const PRIOR_WEIGHT: f64 = 4.0;

/// One candidate seen by both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Uncorrected mean of the twin.
    pub twin: f64,
    /// What was measured.
    pub measured: f64,
    /// Standard uncertainty of the measurement.
    pub sd: f64,
}

/// The learnt correction of one observable: laboratory ≈ twin + offset + (scale − 1)(twin − centre).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Laboratory minus twin at the centre, shrunk towards 0.
    pub offset: f64,
    /// Slope of the laboratory against the twin, shrunk towards 1.
    pub scale: f64,
    /// Mean of the twin's predictions for the pairs.
    pub centre: f64,
    /// Standard deviation of the offset.
    pub offset_sd: f64,
    /// Standard deviation of the scale.
    pub scale_sd: f64,
    /// Error that remains after the correction, standard deviation.
    pub sd: f64,
    /// Pairs that were used.
    pub pairs: usize,
}

/// The corrections of one level, observable → correction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Corrections(pub BTreeMap<String, Correction>);

impl Correction {
    /// Bayesian linear regression with the declared errors as prior: offset ~ N(0, offset_sd²), scale ~ N(1, 0.3²). The
    /// remaining variance is the declared one, pooled with the residuals as if it rested on four measurements. Pairs with
    /// a value that is not finite are left out.
    pub fn learn(declared: &ObservableDescription, pairs: &[Pair]) -> Correction {
        let usable: Vec<Pair> = pairs
            .iter()
            .filter(|pair| pair.twin.is_finite() && pair.measured.is_finite() && pair.sd.is_finite() && pair.sd >= 0.0)
            .copied()
            .collect();
        let count = usable.len() as f64;
        let centre = if usable.is_empty() { 0.0 } else { usable.iter().map(|pair| pair.twin).sum::<f64>() / count };
        let prior_variance = declared.residual_sd.powi(2);
        let mut correction = Correction {
            offset: 0.0,
            scale: 1.0,
            centre,
            offset_sd: declared.offset_sd,
            scale_sd: SCALE_SD,
            sd: declared.residual_sd,
            pairs: usable.len(),
        };
        if usable.is_empty() {
            return correction;
        }
        // The remaining variance weights the regression and follows from it; the fixed point is reached in a few rounds.
        for _ in 0..8 {
            correction.regress(declared, &usable);
            let excess: f64 =
                usable.iter().map(|pair| (pair.measured - correction.mean(pair.twin)).powi(2) - pair.sd.powi(2)).sum();
            let variance = (PRIOR_WEIGHT * prior_variance + excess) / (PRIOR_WEIGHT + count);
            // Never below a tenth of the declared error: few residuals can be small by luck.
            correction.sd = variance.max(0.01 * prior_variance).sqrt();
        }
        correction
    }

    fn regress(&mut self, declared: &ObservableDescription, pairs: &[Pair]) {
        let mut normal = [1.0 / declared.offset_sd.powi(2), 0.0, 1.0 / SCALE_SD.powi(2)];
        let mut right = [0.0, 0.0];
        for pair in pairs {
            let weight = 1.0 / (self.sd.powi(2) + pair.sd.powi(2));
            let (at, residual) = (pair.twin - self.centre, pair.measured - pair.twin);
            normal[0] += weight;
            normal[1] += weight * at;
            normal[2] += weight * at * at;
            right[0] += weight * residual;
            right[1] += weight * at * residual;
        }
        let determinant = normal[0] * normal[2] - normal[1] * normal[1];
        self.offset = (normal[2] * right[0] - normal[1] * right[1]) / determinant;
        self.scale = 1.0 + (normal[0] * right[1] - normal[1] * right[0]) / determinant;
        self.offset_sd = (normal[2] / determinant).sqrt();
        self.scale_sd = (normal[0] / determinant).sqrt();
    }

    /// Corrected mean.
    pub fn mean(&self, twin: f64) -> f64 {
        twin + self.offset + (self.scale - 1.0) * (twin - self.centre)
    }

    /// Corrected prediction; its sd contains what is not yet known of offset and scale.
    pub fn apply(&self, twin: f64) -> Predicted {
        if self.pairs == 0 {
            return Predicted { mean: twin, sd: self.sd.hypot(self.offset_sd) };
        }
        let sd = self.sd.hypot(self.offset_sd).hypot(self.scale_sd * (twin - self.centre));
        Predicted { mean: self.mean(twin), sd }
    }
}

impl Corrections {
    /// No corrections: predictions stay as declared.
    pub fn none() -> Corrections {
        Corrections::default()
    }

    /// Learns every observable of a level from valid trials. Trials that the twin refuses and observables that were not
    /// measured are left out.
    pub fn learn<'a>(
        twin: &dyn Twin,
        fidelity: Fidelity,
        trials: impl IntoIterator<Item = (&'a Candidate, &'a Observation)>,
    ) -> Corrections {
        let mut pairs: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
        for (candidate, observation) in trials {
            let Ok(evaluation) = twin.evaluate(candidate, fidelity) else { continue };
            for (name, predicted) in &evaluation.predictions {
                if let Some(measured) = observation.values.get(name) {
                    let pair = Pair { twin: predicted.mean, measured: measured.value, sd: measured.sd };
                    pairs.entry(name.clone()).or_default().push(pair);
                }
            }
        }
        let learnt = twin.describe(fidelity).observables.into_iter().map(|declared| {
            let found = pairs.get(&declared.name).map_or(&[][..], Vec::as_slice);
            (declared.name.clone(), Correction::learn(&declared, found))
        });
        Corrections(learnt.collect())
    }

    /// The evaluation with corrected predictions; observables without a correction stay as they are.
    pub fn apply(&self, evaluation: &Evaluation) -> Evaluation {
        let mut corrected = evaluation.clone();
        for (name, predicted) in &mut corrected.predictions {
            if let Some(correction) = self.0.get(name) {
                *predicted = correction.apply(predicted.mean);
            }
        }
        corrected.provenance.corrected = !self.0.is_empty();
        corrected
    }
}
