//! Forecasts, explanations and recommendations.

use std::collections::BTreeMap;

use crate::multi::front;
use crate::space::{Domain, Values};
use crate::study::answer::{Best, Explanation, Forecast, Neighbour, Predicted};
use crate::study::engine::{Acquisition, Engine, Lesson};

/// Designs among which a spread set is chosen.
const SPREAD_AMONG: usize = 4_096;

fn predictions(engine: &Engine<'_>, values: &[f64], row: &[f64]) -> BTreeMap<String, Predicted> {
    let each = engine.record.definition.objectives.iter().enumerate();
    let one = each.filter_map(|(at, wanted)| {
        let (mean, sd) = engine.predict(at, values, row)?;
        Some((wanted.name.clone(), Predicted { mean, sd }))
    });
    one.collect()
}

pub(crate) fn forecast(engine: &Engine<'_>, values: &[f64], row: &[f64]) -> Forecast {
    Forecast { predicted: predictions(engine, values, row), probability_feasible: engine.probability_feasible(row) }
}

pub(crate) fn explain(engine: &Engine<'_>, acquisition: &Acquisition<'_>, values: &[f64], row: &[f64]) -> Explanation {
    let forecast = forecast(engine, values, row);
    let log_improvement = acquisition.full(values, row);
    let sure = acquisition.value(values, row, usize::MAX, 0.1);
    let exploration =
        if log_improvement.is_finite() { (1.0 - (sure - log_improvement).exp()).clamp(0.0, 1.0) } else { 1.0 };
    let mut nearest: Vec<Neighbour> = engine
        .lessons
        .iter()
        .map(|lesson| Neighbour {
            id: engine.record.told[lesson.told].id.clone(),
            distance: crate::space::distance(&lesson.row, row),
            failed: lesson.failed,
        })
        .collect();
    nearest.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    nearest.truncate(3);
    let best = best_lessons(engine);
    let differs_from_best = best.first().map_or_else(BTreeMap::new, |best| {
        let (here, there) = (engine.domain.design(values), engine.domain.design(&best.values));
        let names = here.0.keys().chain(there.0.keys()).cloned();
        let text = |design: &crate::space::Design, name: &String| {
            design.0.get(name).map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        names
            .map(|name| (name.clone(), (text(&here, &name), text(&there, &name))))
            .filter(|(_, (here, there))| here != there)
            .collect()
    });
    let reason = sentence(engine, &forecast, exploration, nearest.first(), best.first().copied());
    Explanation { forecast, log_improvement, exploration, nearest, differs_from_best, reason }
}

fn sentence(
    engine: &Engine<'_>,
    forecast: &Forecast,
    exploration: f64,
    nearest: Option<&Neighbour>,
    best: Option<&Lesson>,
) -> String {
    let expected: Vec<String> = forecast
        .predicted
        .iter()
        .map(|(name, one)| {
            if one.sd > 0.0 {
                format!("{name} {:.4} ± {:.2}", one.mean, one.sd)
            } else {
                format!("{name} {:.4}", one.mean)
            }
        })
        .collect();
    let drive = match exploration {
        share if share > 0.75 => "mostly to learn",
        share if share > 0.4 => "to learn and to gain",
        _ => "mostly to gain",
    };
    let mut text = format!("expects {}; {drive}", expected.join(", "));
    if let (Some(best), 1) = (best, engine.roles().0.len()) {
        let at = engine.roles().0[0];
        if let Some((mean, _)) = engine.predict(at, &best.values, &best.row) {
            text += &format!("; the best so far is {} with {mean:.4}", engine.record.told[best.told].id);
        }
    }
    if let Some(nearest) = nearest {
        text += &format!("; {:.2} away from {}", nearest.distance, nearest.id);
    }
    if forecast.probability_feasible < 0.8 {
        text += &format!("; {:.0} % chance of failure", 100.0 * (1.0 - forecast.probability_feasible));
    }
    text
}

/// Valid results that satisfy the conditions, best first or, with several objectives, the front of them.
fn best_lessons<'e>(engine: &'e Engine<'_>) -> Vec<&'e Lesson> {
    let allowed: Vec<(&Lesson, Vec<f64>)> = engine
        .valid()
        .filter(|lesson| engine.log_conditions(&lesson.values, &lesson.row, 1.0) >= 0.5_f64.ln())
        .filter_map(|lesson| Some((lesson, engine.utilities(&lesson.values, &lesson.row)?)))
        .collect();
    let utilities: Vec<Vec<f64>> = allowed.iter().map(|(_, utilities)| utilities.clone()).collect();
    front(&utilities).into_iter().map(|at| allowed[at].0).collect()
}

pub(crate) fn best(engine: &Engine<'_>) -> Vec<Best> {
    let one = |lesson: &Lesson| Best {
        id: engine.record.told[lesson.told].id.clone(),
        design: engine.record.told[lesson.told].design.clone(),
        predicted: predictions(engine, &lesson.values, &lesson.row),
    };
    best_lessons(engine).into_iter().map(one).collect()
}

/// Greedy k-centre among given designs, beginning near their middle.
pub(crate) fn spread_among(domain: &Domain, choices: &[Values], count: usize, taken: &[Vec<f64>]) -> Vec<Values> {
    let stride = choices.len().div_ceil(SPREAD_AMONG).max(1);
    let choices: Vec<&Values> = choices.iter().step_by(stride).collect();
    let rows: Vec<Vec<f64>> = choices.iter().map(|values| domain.encode_values(values)).collect();
    let Some(width) = rows.first().map(Vec::len) else { return Vec::new() };
    let middle: Vec<f64> = (0..width).map(|k| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64).collect();
    let near =
        |row: &Vec<f64>| taken.iter().map(|other| crate::space::distance(row, other)).fold(f64::INFINITY, f64::min);
    let mut nearest: Vec<f64> = rows.iter().map(near).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let first = taken.is_empty() && chosen.is_empty();
        let score = |at: usize| if first { -crate::space::distance(&rows[at], &middle) } else { nearest[at] };
        let best = (0..rows.len()).reduce(|best, at| if score(at) > score(best) { at } else { best });
        let Some(best) = best.filter(|best| nearest[*best] > 1e-9) else { break };
        chosen.push(choices[best].clone());
        for at in 0..rows.len() {
            nearest[at] = nearest[at].min(crate::space::distance(&rows[at], &rows[best]));
        }
    }
    chosen
}
