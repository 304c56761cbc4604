//! What the correction of a model's offset and scale leaves of the laboratory's answers, learnt over the design: an error that
//! depends on where one is (Kennedy and O'Hagan, Biometrika 87, 1, 2000).

use std::collections::BTreeMap;

use ppu_core::{Candidate, DesignSpace};
use ppu_optimizer::Trial;
use ppu_optimizer::gp::{GaussianProcess, LeaveOneOut};
use ppu_twin::{Corrections, Evaluation, Fidelity, Predicted, Twin};

use crate::opinion::measured;

/// Answers from which on such an error is looked for, and what knowing it must be worth: nats of held-out density, 20 to 1.
const FIRST_ANSWERS: usize = 6;
const PROVEN: f64 = 3.0;

/// Errors of a corrected model over the design, observable by observable; those that are not proven are left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delta {
    processes: BTreeMap<String, GaussianProcess>,
}

/// What is left of the answers about one observable.
#[derive(Default)]
struct Rest {
    points: Vec<Vec<f64>>,
    values: Vec<f64>,
    variances: Vec<f64>,
    /// Σ ln N of the rest by what the correction alone declares.
    declared: f64,
}

impl Delta {
    /// Learns from valid trials of the space.
    pub(crate) fn learn(
        space: &DesignSpace,
        twin: &dyn Twin,
        fidelity: Fidelity,
        corrections: &Corrections,
        trials: &[Trial],
    ) -> Delta {
        let mut rests: BTreeMap<String, Rest> = BTreeMap::new();
        for (candidate, observation) in measured(trials) {
            let (Ok(said), Ok(unit)) = (twin.evaluate(candidate, fidelity), space.to_unit(candidate)) else { continue };
            for (name, predicted) in corrections.apply(&said).predictions {
                let Some(measured) = observation.values.get(&name) else { continue };
                let rest = rests.entry(name).or_default();
                let (mean, value, sd) = (predicted.mean, measured.value, predicted.sd.hypot(measured.sd));
                rest.declared += LeaveOneOut { value, mean, sd }.log_density();
                rest.points.push(unit.clone());
                rest.values.push(value - mean);
                rest.variances.push(measured.sd.powi(2));
            }
        }
        let proven = rests.into_iter().filter_map(|(name, rest)| Some((name, rest.proven()?)));
        Delta { processes: proven.collect() }
    }

    /// Adds the errors that are known at a candidate to a corrected evaluation of it.
    pub(crate) fn add(&self, space: &DesignSpace, candidate: &Candidate, evaluation: &mut Evaluation) {
        let Ok(unit) = space.to_unit(candidate) else { return };
        for (name, process) in &self.processes {
            if let Some(known) = evaluation.predictions.get_mut(name) {
                let (error, variance) = process.predict(&unit);
                *known = Predicted { mean: known.mean + error, sd: variance.sqrt().hypot(process.noise_sd()) };
            }
        }
    }
}

impl Rest {
    fn proven(&self) -> Option<GaussianProcess> {
        if self.values.len() < FIRST_ANSWERS {
            return None;
        }
        let process = GaussianProcess::fit(&self.points, &self.values, &self.variances).ok()?;
        (process.held_out_density() - self.declared >= PROVEN).then_some(process)
    }
}

#[cfg(test)]
mod tests {
    use ppu_core::{Measured, Observation, Parameter, Unit};
    use ppu_optimizer::TrialOutcome;
    use ppu_twin::{FidelityDescription, ObservableDescription, TwinProvenance, TwinRefusal, Work};

    use super::*;

    const FIDELITY: Fidelity = Fidelity::Process;

    /// y = x, without what the laboratory sees of the humidity.
    struct Plain;

    impl Twin for Plain {
        fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
            let said = Predicted { mean: candidate.0["x"], sd: 0.1 };
            let provenance = TwinProvenance { model: "plain".into(), version: 1, fidelity, corrected: false };
            Ok(Evaluation { predictions: [("y".to_owned(), said)].into(), geometry: None, cost: Work(1), provenance })
        }

        fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
            let y = ObservableDescription {
                name: "y".into(),
                unit: Unit::One,
                residual_sd: 0.1,
                offset_sd: 0.1,
                prior_correlation: 0.9,
            };
            FidelityDescription { fidelity, summary: "y = x".into(), observables: vec![y], cost: Work(1) }
        }
    }

    fn space() -> DesignSpace {
        let side = |name: &str| Parameter {
            name: name.into(),
            unit: Unit::One,
            min: 0.0,
            max: 1.0,
            resolution: 0.0,
            log: false,
        };
        DesignSpace { parameters: vec![side("x"), side("humidity")], mixtures: vec![] }
    }

    fn at(k: usize) -> Candidate {
        let part = |by: f64| (0.5 + k as f64 * by).fract();
        Candidate([("x".to_owned(), part(0.754_877_666)), ("humidity".to_owned(), part(0.569_840_291))].into())
    }

    fn noise(k: usize) -> f64 {
        0.01 * ((k as f64 * 0.618_034).fract() - 0.5)
    }

    /// Mean error of the corrected model over candidates that were not tried, without the delta and with it, and how often
    /// the truth lies within two standard deviations of the latter.
    fn errors(count: usize, truth: impl Fn(&Candidate) -> f64) -> (f64, f64, f64) {
        let trial = |k: usize| {
            let measured = Measured { value: truth(&at(k)) + noise(k), sd: 0.005, flags: vec![] };
            let values = [("y".to_owned(), measured)].into();
            let outcome = TrialOutcome::Valid(Observation { values, ..Observation::default() });
            Trial { id: format!("t{k}"), candidate: at(k), expected: vec![], outcome }
        };
        let trials: Vec<Trial> = (0..count).map(trial).collect();
        let corrections = Corrections::learn(&Plain, FIDELITY, measured(&trials));
        let delta = Delta::learn(&space(), &Plain, FIDELITY, &corrections, &trials);
        let (mut plain, mut learnt, mut within) = (0.0, 0.0, 0.0);
        for k in 100..200 {
            let mut said = corrections.apply(&Plain.evaluate(&at(k), FIDELITY).unwrap());
            plain += (said.predictions["y"].mean - truth(&at(k))).abs() / 100.0;
            delta.add(&space(), &at(k), &mut said);
            let Predicted { mean, sd } = said.predictions["y"];
            learnt += (mean - truth(&at(k))).abs() / 100.0;
            within += if (mean - truth(&at(k))).abs() < 2.0 * sd { 0.01 } else { 0.0 };
        }
        (plain, learnt, within)
    }

    #[test]
    fn an_error_that_depends_on_the_place_is_learnt() {
        let (plain, learnt, within) =
            errors(16, |candidate| candidate.0["x"] + 0.4 * (3.0 * candidate.0["humidity"]).sin());
        println!("mean error {plain:.4} by offset and scale, {learnt:.4} with the delta, {within:.2} within 2 sd");
        assert!(learnt < 0.25 * plain && within > 0.85, "{plain} {learnt} {within}");
    }

    #[test]
    fn where_offset_and_scale_say_all_nothing_is_added() {
        let straight = |candidate: &Candidate| 0.1 + 1.1 * candidate.0["x"];
        let (plain, learnt, _) = errors(16, straight);
        assert!((plain - learnt).abs() < 0.005 && learnt < 0.02, "{plain} {learnt}");
        let few = errors(5, |candidate| candidate.0["humidity"]);
        assert!(few.0 == few.1, "five answers say too little: {few:?}");
    }
}
