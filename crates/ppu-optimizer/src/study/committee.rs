//! The plain case, one observable to be maximised or minimised: the committee of surrogates chooses, which
//! is the safest default that is known (see [`crate::engine`]).

use crate::engine::{
    CHAIN, Cheaper, Direction, Engine as Mind, EngineError, Experiment, LogCost, Question, RANKED, Region,
};
use crate::space::pool::{Pool, ProductPool, TablePool};
use crate::space::{Domain, Values};
use crate::study::definition::{Aim, Outcome};
use crate::study::engine::Engine;
use crate::study::maximise::MOST_SCANNED;
use rand_chacha::ChaCha12Rng;

/// A pick of the committee, in values of the domain.
pub(crate) struct Chosen {
    pub(crate) values: Values,
    /// Index of the cheaper fidelity to evaluate it at; `None` for the last one.
    pub(crate) cheaper: Option<usize>,
    /// Mean and sd of the observable; `None` where the pick only spreads.
    pub(crate) predicted: Option<(f64, f64)>,
    pub(crate) log_improvement: Option<f64>,
    pub(crate) reason: String,
}

/// The committee's picks, and remarks for people.
pub(crate) struct Choice {
    pub(crate) picks: Vec<Chosen>,
    pub(crate) remarks: Vec<String>,
}

/// The columns of a domain as a region.
struct Columns<'a> {
    domain: &'a Domain,
}

impl Region for Columns<'_> {
    fn dimensions(&self) -> usize {
        self.domain.features().len()
    }

    fn sample(&self, count: usize, rng: &mut ChaCha12Rng) -> Vec<Vec<f64>> {
        self.domain.fill(count, rng).iter().map(|values| self.domain.encode_values(values)).collect()
    }

    fn repair(&self, x: &[f64]) -> Option<Vec<f64>> {
        if !x.iter().all(|x| x.is_finite()) {
            return None;
        }
        let mut values = self.domain.decode(x);
        self.domain.repair(&mut values);
        self.domain.settle(&values).map(|values| self.domain.encode_values(&values))
    }
}

/// The direction, where the case is plain. Failures are plain where every candidate can be looked at.
pub(crate) fn direction(engine: &Engine<'_>) -> Option<Direction> {
    let definition = &engine.record.definition;
    let [only] = &definition.objectives[..] else { return None };
    let scanned = if definition.pool.is_empty() { engine.domain.size() } else { Some(definition.pool.len() as f64) };
    // With fewer results than columns the engine would spread its picks, whatever failed there.
    let known = engine.valid().count() > engine.domain.features().len();
    let weighed = engine.feasibility.is_none() || (known && scanned.is_none_or(|size| size <= RANKED as f64));
    match only.aim {
        _ if only.known.is_some() || !weighed => None,
        Aim::Maximize => Some(Direction::Maximize),
        Aim::Minimize => Some(Direction::Minimize),
        _ => None,
    }
}

/// The committee's picks.
pub(crate) fn choose(engine: &Engine<'_>, direction: Direction, count: usize) -> Result<Choice, EngineError> {
    let definition = &engine.record.definition;
    let name = &definition.objectives[0].name;
    let last = definition.fidelities.len().saturating_sub(1);
    let levels: Vec<Vec<Experiment>> = (0..=last).map(|level| experiments(engine, name, level)).collect();
    let real = definition.fidelities.last().map_or(1.0, |one| one.cost);
    let cheaper: Vec<Cheaper<'_>> = levels[..last]
        .iter()
        .zip(&definition.fidelities)
        .map(|(experiments, fidelity)| Cheaper { experiments, cost: fidelity.cost / real })
        .collect();
    let pending: Vec<Vec<f64>> = engine.pending.iter().map(|(_, row)| row.clone()).collect();
    // The chance of failure is a price, in logarithms as the improvement is.
    let price = |row: &[f64]| -engine.log_feasible(row);
    let log_cost: Option<LogCost<'_>> = if engine.feasibility.is_some() { Some(&price) } else { None };
    let question = Question {
        experiments: &levels[last],
        pending: &pending,
        batch: count,
        step: engine.record.step,
        direction,
        log_cost,
        cheaper: &cheaper,
    };
    let mind = Mind::new(definition.seed);
    // A design that was tried at a cheap fidelity may be tried at a better one.
    let real = || engine.lessons.iter().filter(|lesson| lesson.fidelity == last);
    let tried = || real().map(|one| &one.values).chain(engine.pending.iter().map(|(values, _)| values));
    if !definition.pool.is_empty() {
        let listed: Vec<Values> = definition.pool.iter().filter_map(|one| engine.domain.made(one).ok()).collect();
        let rows: Vec<Vec<f64>> = listed.iter().map(|values| engine.domain.encode_values(values)).collect();
        let width = engine.domain.features().len();
        let Some(pool) = TablePool::from_rows(rows.concat(), width) else { return Err(EngineError::NoCandidate) };
        let seen: Vec<Vec<f64>> = tried().map(|values| engine.domain.encode_values(values)).collect();
        let taken: Vec<usize> = (0..pool.len()).filter(|at| seen.contains(&rows[*at])).collect();
        let answer = mind.from_pool(&question, &pool, &taken)?;
        return Ok(chosen(answer, |pick| pick.number.map(|number| listed[number].clone())));
    }
    if engine.domain.size().is_some_and(|size| size <= MOST_SCANNED)
        && let Some(pool) = ProductPool::new(engine.domain)
    {
        let mut taken: Vec<usize> = tried().filter_map(|values| pool.number(values)).collect();
        taken.sort_unstable();
        taken.dedup();
        let answer = mind.from_pool(&question, &pool, &taken)?;
        return Ok(chosen(answer, |pick| pick.number.and_then(|number| pool.values(number))));
    }
    let answer = mind.from_region(&question, &Columns { domain: engine.domain })?;
    Ok(chosen(answer, |pick| engine.domain.settle(&engine.domain.decode(&pick.x))))
}

/// Readings of an observable at a fidelity.
fn experiments(engine: &Engine<'_>, name: &str, level: usize) -> Vec<Experiment> {
    let mut experiments = Vec::new();
    for lesson in engine.lessons.iter().filter(|lesson| lesson.fidelity == level) {
        let told = &engine.record.told[lesson.told];
        let Outcome::Valid(readings) = &told.outcome else { continue };
        let Some(reading) = readings.get(name) else { continue };
        for (at, value) in reading.values.iter().enumerate() {
            let id = if at == 0 { told.id.clone() } else { format!("{} replicate {}", told.id, at + 1) };
            experiments.push(Experiment { id, x: lesson.row.clone(), value: *value, variance: reading.variance });
        }
    }
    experiments
}

fn chosen(answer: crate::engine::Answer, values: impl Fn(&crate::engine::Pick) -> Option<Values>) -> Choice {
    let dismissed = answer.members.iter().filter(|member| member.name == CHAIN && member.weight == 0.0);
    let remarks = dismissed.map(|chain| {
        let best = answer.members.iter().map(|member| member.log_density).fold(f64::NEG_INFINITY, f64::max);
        format!(
            "cheap fidelities are left out: with them held-out results are predicted worse ({:.2} against {best:.2} nats)",
            chain.log_density
        )
    });
    let remarks = remarks.collect();
    let one = |pick: crate::engine::Pick| {
        let values = values(&pick)?;
        let predicted = pick.mean.zip(pick.sd);
        Some(Chosen {
            values,
            cheaper: pick.cheaper,
            predicted,
            log_improvement: pick.log_improvement,
            reason: pick.reason,
        })
    };
    Choice { picks: answer.picks.into_iter().filter_map(one).collect(), remarks }
}
