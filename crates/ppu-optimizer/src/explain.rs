//! Why a pick, and what to think of the models.

use crate::acquisition::Model;
use crate::candidates::Choice;
use crate::contract::{CalibrationState, Incumbent, ModelReport, Nearest, Suggestion};

/// Factor on intervals that people are told of.
const TOLD: f64 = 1.2;

/// One pick with its predictions, its improvement over `best`, and the sentence that says why.
pub(crate) fn explain(
    model: &Model<'_>,
    choice: &Choice,
    best: f64,
    nearest: Option<Nearest>,
    incumbent: Option<&Incumbent>,
) -> Suggestion {
    let predicted = model.predict(&choice.point).unwrap_or_default();
    let exploration = model.exploration(&predicted, best);
    let probability = model.probability_feasible(&choice.point.unit);
    let expected = model.expected_score(&predicted);
    let drive = match exploration {
        share if share > 0.75 => "mostly to learn",
        share if share > 0.4 => "to learn and to gain",
        _ => "mostly to gain",
    };
    let mut reason = format!("expected score {expected:.3}");
    if let Some(incumbent) = incumbent {
        reason += &format!(" against {:.3} of {}", incumbent.score, incumbent.trial);
    }
    if let Some(nearest) = &nearest {
        reason += &format!(", {drive}, {:.2} away from {}", nearest.distance, nearest.trial);
    }
    if probability < 0.8 {
        reason += &format!(", with a {:.0} % chance of failure", 100.0 * (1.0 - probability));
    }
    let named = model.surrogates.iter().zip(&predicted).map(|(surrogate, predicted)| surrogate.prediction(*predicted));
    Suggestion {
        candidate: choice.candidate.clone(),
        source: choice.source,
        predicted: named.collect(),
        expected_score: Some(expected),
        acquisition: model.acquisition(&choice.point),
        probability_feasible: Some(probability),
        exploration: Some(exploration),
        nearest,
        reason,
    }
}

/// A remark where fewer candidates were found than wanted.
pub(crate) fn exhausted(found: usize, wanted: usize) -> Option<String> {
    (found < wanted).then(|| format!("only {found} of {wanted} candidates: no other untried candidate is left"))
}

/// What the operator should know of the models.
pub(crate) fn remarks(reports: &[ModelReport]) -> Vec<String> {
    let mut flags = Vec::new();
    for report in reports {
        let name = &report.objective;
        match (report.prior_used, report.prior_inputs) {
            (true, false) => flags.push(format!("{name}: modelled as the difference from the prior mean")),
            (true, true) => flags.push(format!("{name}: the prior means are read as inputs, not believed")),
            (false, _) => {}
        }
        if report.widening >= TOLD {
            let factor = report.widening;
            flags.push(format!(
                "{name}: earlier predictions were missed too often, intervals are {factor:.1} times as wide"
            ));
        }
        match report.calibration.state {
            CalibrationState::Overconfident => {
                flags.push(format!("{name}: the model was too sure, its intervals are widened"));
            }
            CalibrationState::Uninformative => {
                flags.push(format!("{name}: the model is no better than a constant so far"))
            }
            CalibrationState::Outliers => {
                flags.push(format!("{name}: an observation is far from its prediction, repeat it"))
            }
            CalibrationState::Good | CalibrationState::TooFew => {}
        }
    }
    flags
}
