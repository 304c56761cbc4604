//! From the words of a study to the wire.

use std::collections::{BTreeMap, HashMap};

use ppu_optimizer::space::{Design, Setting};
use ppu_optimizer::study::{Answer, Best, Explanation, Forecast, Pending, Pick, Predicted};
use ppu_proto::optimizer::v1 as wire;

pub(crate) fn design(from: &Design) -> wire::Design {
    let value = |setting: &Setting| match setting {
        Setting::Number(number) => wire::setting::Value::Number(*number),
        Setting::Level(level) => wire::setting::Value::Level(level.clone()),
    };
    let one = |(name, setting): (&String, &Setting)| (name.clone(), wire::Setting { value: Some(value(setting)) });
    wire::Design { settings: from.0.iter().map(one).collect() }
}

fn predictions(from: &BTreeMap<String, Predicted>) -> HashMap<String, wire::Prediction> {
    let one = |(name, one): (&String, &Predicted)| (name.clone(), wire::Prediction { mean: one.mean, sd: one.sd });
    from.iter().map(one).collect()
}

pub(crate) fn answer(from: &Answer) -> wire::AskResponse {
    let pick = |one: &Pick| wire::Pick {
        id: one.id.clone(),
        design: Some(design(&one.design)),
        fidelity: one.fidelity.clone().unwrap_or_default(),
        predictions: predictions(&one.predicted),
        log_improvement: one.log_improvement,
        probability_feasible: one.probability_feasible,
        reason: one.reason.clone(),
    };
    wire::AskResponse {
        step: from.step,
        picks: from.picks.iter().map(pick).collect(),
        modelled: from.modelled,
        remarks: from.remarks.clone(),
    }
}

pub(crate) fn pending(from: &Pending) -> wire::Pending {
    wire::Pending {
        id: from.id.clone(),
        design: Some(design(&from.design)),
        fidelity: from.fidelity.clone().unwrap_or_default(),
    }
}

pub(crate) fn forecast(from: &Forecast) -> wire::Forecast {
    wire::Forecast { predictions: predictions(&from.predicted), probability_feasible: from.probability_feasible }
}

pub(crate) fn explanation(from: &Explanation) -> wire::ExplainResponse {
    let neighbour = |one: &ppu_optimizer::study::Neighbour| wire::Neighbour {
        id: one.id.clone(),
        distance: one.distance,
        failed: one.failed,
    };
    let difference = |(parameter, (here, best)): (&String, &(String, String))| wire::Difference {
        parameter: parameter.clone(),
        here: here.clone(),
        best: best.clone(),
    };
    wire::ExplainResponse {
        forecast: Some(forecast(&from.forecast)),
        log_improvement: from.log_improvement,
        exploration: from.exploration,
        nearest: from.nearest.iter().map(neighbour).collect(),
        differences: from.differs_from_best.iter().map(difference).collect(),
        reason: from.reason.clone(),
    }
}

pub(crate) fn best(from: &Best) -> wire::Best {
    wire::Best { id: from.id.clone(), design: Some(design(&from.design)), predictions: predictions(&from.predicted) }
}
