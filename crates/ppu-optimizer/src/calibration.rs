//! Does a model know what it knows? Leave-one-out residuals in units of their predicted sd.

use crate::contract::{Calibration, CalibrationState};
use crate::gp::LeaveOneOut;
use crate::normal::quantile;

/// Calibration from leave-one-out predictions.
pub(crate) fn calibration(predictions: &[LeaveOneOut]) -> Calibration {
    let count = predictions.len() as f64;
    let z: Vec<f64> = predictions.iter().map(|one| (one.value - one.mean) / one.sd).collect();
    let inside = |level: f64| {
        let limit = quantile(0.5 + 0.5 * level);
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

/// Whether a model may choose: it predicts better than a constant, or there are too few data to say that it does not.
pub(crate) fn is_informative(calibration: &Calibration) -> bool {
    calibration.state != CalibrationState::Uninformative
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residuals(sd: f64) -> Vec<LeaveOneOut> {
        (0..20)
            .map(|at| {
                let value = f64::from(at);
                let residual = quantile((f64::from((at * 7) % 20) + 0.5) / 20.0);
                LeaveOneOut { value, mean: value - residual, sd }
            })
            .collect()
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
