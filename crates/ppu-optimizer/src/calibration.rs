//! Does a model know what it knows? Leave-one-out residuals in units of their predicted sd, and how earlier predictions fared.

use crate::contract::{Calibration, CalibrationState, Trial, TrialOutcome};
use crate::gp::LeaveOneOut;
use crate::normal::quantile;

/// Half the width of the central interval of a normal distribution that holds this share of it, standard deviations.
fn half_width(share: f64) -> f64 {
    quantile(0.5 + 0.5 * share)
}

/// Calibration from leave-one-out predictions.
pub(crate) fn calibration(predictions: &[LeaveOneOut]) -> Calibration {
    let count = predictions.len() as f64;
    let z: Vec<f64> = predictions.iter().map(|one| (one.value - one.mean) / one.sd).collect();
    let inside = |level: f64| {
        let limit = half_width(level);
        z.iter().filter(|z| z.abs() <= limit).count() as f64 / count
    };
    let sd_of_z = (z.iter().map(|z| z * z).sum::<f64>() / count).sqrt();
    let total: f64 = predictions.iter().map(|one| one.value).sum();
    let error: f64 = predictions.iter().map(|one| (one.value - one.mean).powi(2)).sum();
    // The mean of the data without the point itself, which is what the model competes with.
    let plain: f64 =
        predictions.iter().map(|one| (one.value - (total - one.value) / (count - 1.0).max(1.0)).powi(2)).sum();
    let q_squared = if plain > 0.0 { 1.0 - error / plain } else { 0.0 };
    let state = if predictions.len() < 5 {
        CalibrationState::TooFew
    } else if z.iter().any(|z| z.abs() > 4.0) {
        CalibrationState::Outliers
    } else if sd_of_z > 1.0 + 1.39 / count.sqrt() {
        // The 95 % band of sd(z) for a calibrated model.
        CalibrationState::Overconfident
    } else if q_squared <= 0.0 {
        CalibrationState::Uninformative
    } else {
        CalibrationState::Good
    };
    Calibration {
        coverage_50: inside(0.5),
        coverage_80: inside(0.8),
        coverage_95: inside(0.95),
        sd_of_z,
        q_squared,
        state,
    }
}

/// Share of the measurements that the intervals are to hold.
const WANTED: f64 = 0.9;
/// What a miss adds to the logarithm of the factor in all: a quarter, so that nine hits undo it.
const STEP: f64 = 0.25;

/// Factor on the sd of what is expected of the next trials, by how often such expectations were missed: adaptive conformal
/// inference (Gibbs and Candès, NeurIPS 2021) on a logarithmic scale. Whatever is wrong with a model, in the long run 90 % of
/// what is measured lies within 1.64 sd of what was expected. It never narrows what a model says.
///
/// A model cannot find this out from its own data: it was fitted to them, and it picked the points that it thinks best of.
pub fn widening(objective: &str, trials: &[Trial]) -> f64 {
    let limit = half_width(WANTED);
    let hits = trials.iter().filter_map(|trial| {
        let TrialOutcome::Valid(observation) = &trial.outcome else { return None };
        let expected = trial.expected.iter().find(|one| one.objective == objective)?;
        let measured = observation.values.get(objective)?;
        Some((measured.value - expected.mean).abs() <= limit * expected.sd.hypot(measured.sd))
    });
    hits.fold(0.0_f64, |log, hit| (log + STEP * if hit { WANTED - 1.0 } else { WANTED }).max(0.0)).exp()
}

/// Whether a model may choose: it predicts better than a constant, or there are too few data to say that it does not.
pub(crate) fn is_informative(calibration: &Calibration) -> bool {
    calibration.state != CalibrationState::Uninformative
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ppu_core::{Candidate, Measured, Observation};

    use super::*;
    use crate::contract::Prediction;

    fn residuals(sd: f64) -> Vec<LeaveOneOut> {
        (0..20)
            .map(|at| {
                let value = f64::from(at);
                let residual = quantile((f64::from((at * 7) % 20) + 0.5) / 20.0);
                LeaveOneOut { value, mean: value - residual, sd }
            })
            .collect()
    }

    /// Predictions with an sd of `claimed`, widened by their record, of values whose sd is 1; the share of the last half that
    /// held, and the last factor.
    fn predicted(claimed: f64) -> (f64, f64) {
        let mut trials: Vec<Trial> = Vec::new();
        for at in 0..400_u32 {
            // A sequence of the golden ratio: even, and in no order.
            let value = quantile((f64::from(at) + 0.5) * 0.618_033_988_749_895 % 1.0);
            let sd = claimed * widening("gap", &trials);
            let expected = vec![Prediction { objective: "gap".into(), mean: 0.0, sd }];
            let values = BTreeMap::from([("gap".to_owned(), Measured { value, sd: 0.0, flags: vec![] })]);
            let outcome = TrialOutcome::Valid(Observation { values, ..Observation::default() });
            trials.push(Trial { id: at.to_string(), candidate: Candidate(BTreeMap::new()), expected, outcome });
        }
        let held = |trial: &&Trial| {
            let TrialOutcome::Valid(observation) = &trial.outcome else { return false };
            observation.values["gap"].value.abs() <= half_width(WANTED) * trial.expected[0].sd
        };
        (trials[200..].iter().filter(held).count() as f64 / 200.0, widening("gap", &trials))
    }

    #[test]
    fn predictions_that_were_missed_too_often_become_wider_and_good_ones_stay() {
        let (held, factor) = predicted(0.4);
        assert!((held - 0.9).abs() < 0.02 && (1.5..4.5).contains(&factor), "{held} {factor}");
        let (held, factor) = predicted(2.0);
        assert!(held > 0.99 && factor == 1.0, "{held} {factor}");
        // What failed or was never measured says nothing.
        let void = TrialOutcome::Void { reason: "pump".into() };
        let expected = vec![Prediction { objective: "gap".into(), mean: 0.0, sd: 1.0 }];
        let trial = Trial { id: "V".into(), candidate: Candidate(BTreeMap::new()), expected, outcome: void };
        assert_eq!(widening("gap", &[trial]), 1.0);
    }

    #[test]
    fn a_calibrated_model_is_good_and_a_boastful_one_is_found_out() {
        let good = calibration(&residuals(1.0));
        assert_eq!(good.state, CalibrationState::Good);
        assert!((good.coverage_80 - 0.8).abs() < 0.06 && good.q_squared > 0.9, "{good:?}");
        assert_eq!(calibration(&residuals(0.6)).state, CalibrationState::Overconfident);
        assert_eq!(calibration(&residuals(0.2)).state, CalibrationState::Outliers);
        assert_eq!(calibration(&residuals(1.0)[..3]).state, CalibrationState::TooFew);
        let guess: Vec<LeaveOneOut> =
            (0..8).map(|at| LeaveOneOut { value: f64::from(at), mean: f64::from(7 - at), sd: 5.0 }).collect();
        assert_eq!(calibration(&guess).state, CalibrationState::Uninformative);
    }
}
