//! The model of one objective: a Gaussian process on the measured values, or on their difference from the prior mean where
//! leave-one-out says that this predicts better.

use crate::calibration::calibration;
use crate::contract::{Calibration, CalibrationState, ModelReport, OptimizerError, Prediction};
use crate::gp::{GaussianProcess, GpError, LeaveOneOut};

/// One observation of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) unit: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) variance: f64,
    pub(crate) prior: Option<f64>,
    pub(crate) trial: String,
}

/// The fitted model of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Surrogate {
    objective: String,
    process: GaussianProcess,
    prior_used: bool,
    calibration: Calibration,
}

impl Surrogate {
    pub(crate) fn fit(objective: &str, rows: &[Row]) -> Result<Surrogate, OptimizerError> {
        let named = |error: GpError| match error {
            GpError::TooClose { first, second, distance } => OptimizerError::Model {
                objective: objective.into(),
                first: rows[first].trial.clone(),
                second: rows[second].trial.clone(),
                distance,
            },
            // Values were checked and rows exist, so the remaining errors concern single rows.
            GpError::Shape(at) | GpError::NotFinite(at) => OptimizerError::BadValue {
                trial: rows[at].trial.clone(),
                what: objective.into(),
                value: rows[at].value,
            },
            GpError::Empty => OptimizerError::NoObjective,
        };
        let points: Vec<Vec<f64>> = rows.iter().map(|row| row.unit.clone()).collect();
        let variances: Vec<f64> = rows.iter().map(|row| row.variance).collect();
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let mut process = GaussianProcess::fit(&points, &values, &variances).map_err(named)?;
        let residuals: Option<Vec<f64>> = rows.iter().map(|row| row.prior.map(|prior| row.value - prior)).collect();
        let mut prior_used = false;
        if let Some(residuals) = residuals {
            let residual = GaussianProcess::fit(&points, &residuals, &variances).map_err(named)?;
            if log_density(&residual.leave_one_out()) > log_density(&process.leave_one_out()) {
                (process, prior_used) = (residual, true);
            }
        }
        let mut predictions = process.leave_one_out();
        if prior_used {
            // Back to observables, so that Q² compares with the mean of the observable.
            for (one, row) in predictions.iter_mut().zip(rows) {
                let prior = row.prior.unwrap_or(0.0);
                (one.value, one.mean) = (one.value + prior, one.mean + prior);
            }
        }
        let calibration = calibration(&predictions);
        Ok(Surrogate { objective: objective.into(), process, prior_used, calibration })
    }

    /// Mean and sd of the observable; `None` where the model needs a prior mean and there is none.
    pub(crate) fn predict(&self, unit: &[f64], prior: Option<f64>) -> Option<(f64, f64)> {
        let shift = if self.prior_used { prior? } else { 0.0 };
        let (mean, variance) = self.process.predict(unit);
        let overconfident =
            matches!(self.calibration.state, CalibrationState::Overconfident | CalibrationState::Outliers);
        let inflation = if overconfident { self.calibration.sd_of_z.max(1.0) } else { 1.0 };
        Some((mean + shift, variance.sqrt() * inflation))
    }

    /// The model after believing that a point will turn out as expected; unchanged where that cannot be factored.
    pub(crate) fn believe(&self, unit: &[f64]) -> Surrogate {
        let process = self.process.believe(unit).unwrap_or_else(|_| self.process.clone());
        Surrogate { process, ..self.clone() }
    }

    pub(crate) fn report(&self) -> ModelReport {
        let hyper = self.process.hyperparameters();
        ModelReport {
            objective: self.objective.clone(),
            observations: self.process.observations(),
            prior_used: self.prior_used,
            length_scales: hyper.log_length.iter().map(|log| log.exp()).collect(),
            noise_sd: self.process.noise_sd(),
            calibration: self.calibration.clone(),
        }
    }

    pub(crate) fn prediction(&self, (mean, sd): (f64, f64)) -> Prediction {
        Prediction { objective: self.objective.clone(), mean, sd }
    }

    /// Whether predictions need a prior mean.
    pub(crate) fn prior_used(&self) -> bool {
        self.prior_used
    }
}

/// Σ ln N(value; mean, sd²), up to a constant.
fn log_density(predictions: &[LeaveOneOut]) -> f64 {
    predictions.iter().map(|one| -0.5 * ((one.value - one.mean) / one.sd).powi(2) - one.sd.ln()).sum()
}
