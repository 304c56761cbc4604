//! The model of one objective: a Gaussian process on the measured values. Where leave-one-out says that this predicts better,
//! it models their difference from the prior mean, or has the prior means among its inputs.

use crate::belief::{Belief, Look, best_process};
use crate::calibration::calibration;
use crate::contract::{Calibration, CalibrationState, ModelReport, OptimizerError, Prediction};
use crate::gp::{GaussianProcess, GpError};

/// Spread of a prior mean over the observations, in standard deviations, that stands for the width of the unit cube.
const INPUT_WIDTH: f64 = 3.0;

/// A point with what the models need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) unit: Vec<f64>,
    /// Prior mean of every objective.
    pub(crate) prior: Option<Vec<f64>>,
}

/// One observation of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Row<'a> {
    pub(crate) point: &'a Point,
    pub(crate) value: f64,
    pub(crate) variance: f64,
    pub(crate) trial: &'a str,
}

/// How a model uses the prior means.
#[derive(Debug, Clone, PartialEq)]
enum Hint {
    Unused,
    /// It models the difference from the prior mean of its own objective.
    Difference,
    /// It has the prior means of all objectives as inputs beside the parameters: each with its centre and width. What is
    /// wrong in them but goes with the truth, however crookedly, is of use too (Perdikaris et al., Proc. R. Soc. A 473,
    /// 20160751, 2017).
    Inputs(Vec<(f64, f64)>),
}

/// The fitted model of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Surrogate {
    objective: String,
    /// Its place among the objectives.
    at: usize,
    process: GaussianProcess,
    hint: Hint,
    /// Log density of held-out values that the prior means bring, nats.
    gain: f64,
    calibration: Calibration,
    /// Factor on every sd of a model that was too sure.
    inflation: f64,
    /// Factor on the sd of predictions.
    widening: f64,
}

impl Surrogate {
    /// A model of the objective number `at`, with whatever use of the prior means predicts held-out values best.
    pub(crate) fn fit(
        objective: &str,
        at: usize,
        rows: &[Row<'_>],
        widening: f64,
    ) -> Result<Surrogate, OptimizerError> {
        let named = |error: GpError| match error {
            GpError::TooClose { first, second, distance } => OptimizerError::Model {
                objective: objective.into(),
                first: rows[first].trial.to_owned(),
                second: rows[second].trial.to_owned(),
                distance,
            },
            // Values were checked and rows exist, so the remaining errors concern single rows.
            GpError::Shape(at) | GpError::NotFinite(at) => OptimizerError::BadValue {
                trial: rows[at].trial.to_owned(),
                what: objective.into(),
                value: rows[at].value,
            },
            GpError::Empty => OptimizerError::NoObjective,
        };
        let variances: Vec<f64> = rows.iter().map(|row| row.variance).collect();
        let informed = rows.iter().any(|row| row.point.prior.is_some());
        let fitted = |hint: &Hint| {
            let points: Option<Vec<Vec<f64>>> = rows.iter().map(|row| hint.coordinates(row.point)).collect();
            let values: Option<Vec<f64>> =
                rows.iter().map(|row| Some(row.value - hint.shift(at, row.point)?)).collect();
            let known = points.zip(values);
            let of = if informed { GaussianProcess::fit } else { process };
            known.map(|(points, values)| of(&points, &values, &variances).map_err(named)).transpose()
        };
        let mut best = (fitted(&Hint::Unused)?.ok_or(OptimizerError::NoObjective)?, Hint::Unused);
        let alone = best.0.held_out_density();
        let mut gain = 0.0;
        for hint in [Some(Hint::Difference), Hint::inputs(rows)].into_iter().flatten() {
            let Some(process) = fitted(&hint)? else { continue };
            let found = process.held_out_density() - alone;
            if found > gain {
                (best, gain) = ((process, hint), found);
            }
        }
        let (process, hint) = best;
        let mut predictions = process.leave_one_out();
        for (one, row) in predictions.iter_mut().zip(rows) {
            // Back to observables, so that Q² compares with the mean of the observable.
            let shift = hint.shift(at, row.point).unwrap_or(0.0);
            (one.value, one.mean) = (one.value + shift, one.mean + shift);
        }
        let calibration = calibration(&predictions);
        let overconfident = matches!(calibration.state, CalibrationState::Overconfident | CalibrationState::Outliers);
        let inflation = if overconfident { calibration.sd_of_z.max(1.0) } else { 1.0 };
        Ok(Surrogate { objective: objective.into(), at, process, hint, gain, calibration, inflation, widening })
    }

    /// The observable at a point; `None` where the model needs a prior mean and there is none.
    pub(crate) fn look(&self, point: &Point) -> Option<Look> {
        let mut look = self.process.look(&self.hint.coordinates(point)?);
        look.mean += self.hint.shift(self.at, point)?;
        look.variance *= self.inflation.powi(2);
        look.whitened.iter_mut().for_each(|v| *v *= self.inflation);
        Some(look)
    }

    /// Posterior covariance of the observable at two points; `None` as in [`Surrogate::look`].
    pub(crate) fn covariance(&self, (a, at_a): (&Point, &Look), (b, at_b): (&Point, &Look)) -> Option<f64> {
        let explained: f64 = at_a.whitened.iter().zip(&at_b.whitened).map(|(a, b)| a * b).sum();
        let prior = self.process.prior(&self.hint.coordinates(a)?, &self.hint.coordinates(b)?);
        Some(self.inflation.powi(2) * prior - explained)
    }

    pub(crate) fn report(&self) -> ModelReport {
        let hyper = self.process.hyperparameters();
        ModelReport {
            objective: self.objective.clone(),
            observations: self.process.observations(),
            prior_used: self.hint != Hint::Unused,
            prior_inputs: matches!(self.hint, Hint::Inputs(_)),
            length_scales: hyper.log_length.iter().map(|log| log.exp()).collect(),
            noise_sd: self.process.noise_sd(),
            calibration: self.calibration.clone(),
            widening: self.widening,
        }
    }

    /// What a measurement will read: the fitted noise, which is what samples made alike differ by, belongs to it, and how
    /// often earlier predictions were missed.
    pub(crate) fn prediction(&self, (mean, sd): (f64, f64)) -> Prediction {
        let sd = self.widening * sd.hypot(self.inflation * self.process.noise_sd());
        Prediction { objective: self.objective.clone(), mean, sd }
    }

    /// What the prior means bring, nats; 0 where they are left out.
    pub(crate) fn prior_gain(&self) -> f64 {
        self.gain
    }
}

impl Hint {
    /// Prior means as inputs; `None` where an observation has none, or where they do not vary.
    fn inputs(rows: &[Row<'_>]) -> Option<Hint> {
        let priors: Vec<&Vec<f64>> = rows.iter().map(|row| row.point.prior.as_ref()).collect::<Option<_>>()?;
        let count = priors.len() as f64;
        let moments = (0..priors.first()?.len()).map(|objective| {
            let centre = priors.iter().map(|prior| prior[objective]).sum::<f64>() / count;
            let variance = priors.iter().map(|prior| (prior[objective] - centre).powi(2)).sum::<f64>() / count;
            let width = INPUT_WIDTH * variance.sqrt();
            (width > 0.0).then_some((centre, width))
        });
        moments.collect::<Option<_>>().map(Hint::Inputs)
    }

    /// What the process reads of a point.
    fn coordinates(&self, point: &Point) -> Option<Vec<f64>> {
        let mut coordinates = point.unit.clone();
        if let Hint::Inputs(moments) = self {
            let prior = point.prior.as_ref()?;
            coordinates.extend(prior.iter().zip(moments).map(|(mean, (centre, width))| (mean - centre) / width));
        }
        Some(coordinates)
    }

    /// What is added to the process at a point.
    fn shift(&self, at: usize, point: &Point) -> Option<f64> {
        if *self == Hint::Difference { Some(point.prior.as_ref()?[at]) } else { Some(0.0) }
    }
}

/// The process of readings for which there are no prior means. The bolder one, without a prior of its hyperparameters, is tried
/// too once there are more readings than these: with fewer its mode says nothing. Beside prior means it was not better.
fn process(points: &[Vec<f64>], values: &[f64], variances: &[f64]) -> Result<GaussianProcess, GpError> {
    let hyperparameters = points.first().map_or(0, Vec::len) + 2;
    if points.len() > hyperparameters {
        best_process(points, values, variances, false)
    } else {
        GaussianProcess::fit(points, values, variances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen readings of a fast wave without noise.
    fn wave(prior: Option<Vec<f64>>) -> Surrogate {
        let x = |k: usize| k as f64 / 15.0;
        let points: Vec<Point> = (0..16).map(|k| Point { unit: vec![x(k)], prior: prior.clone() }).collect();
        let row = |(k, point)| Row { point, value: (9.0 * x(k)).sin(), variance: 0.0, trial: "t" };
        let rows: Vec<Row<'_>> = points.iter().enumerate().map(row).collect();
        Surrogate::fit("y", 0, &rows, 1.0).unwrap()
    }

    #[test]
    fn without_prior_means_the_bolder_model_is_taken_where_it_predicts_better() {
        let (free, beside) = (wave(None), wave(Some(vec![0.0])));
        assert!(free.process.held_out_density() > beside.process.held_out_density() + 3.0);
        assert!(free.process.noise_sd() < 0.5 * beside.process.noise_sd());
    }
}
