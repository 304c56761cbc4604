//! A search from the first question to the last, without a laboratory around it: ask, tell, predict, explain.
//!
//! A [`Study`] is its [`Record`] and nothing else. It can be written down at any time and resumed; the same record gives
//! the same answer, bit for bit on one machine, so a study survives `kill -9` between any two calls.

mod answer;
mod check;
mod committee;
mod definition;
mod engine;
mod known;
mod maximise;
mod reason;

pub use answer::{Answer, Best, Explanation, Forecast, Neighbour, Pick, Predicted, StudyError};
pub use definition::{Aim, Comparison, Definition, Fidelity, Known, Outcome, Pending, Reading, Record, Told, Wanted};

use crate::sequence::{Purpose, stream};
use crate::space::{Design, Domain, Values};
use engine::{Acquisition, Engine};

/// Designs in one batch at most.
const MOST: usize = 1_000;

/// A search. See the module for its promise.
#[derive(Debug, Clone)]
pub struct Study {
    record: Record,
    domain: Domain,
}

impl Study {
    /// A new study. Whatever makes no sense in the definition is named.
    pub fn new(definition: Definition) -> Result<Study, StudyError> {
        let domain = Domain::new(definition.space.clone())?;
        check::definition(&definition, &domain)?;
        let record = Record { definition, told: Vec::new(), comparisons: Vec::new(), pending: Vec::new(), step: 0 };
        Ok(Study { record, domain })
    }

    /// A study from its record, checked as if everything were told anew.
    pub fn resume(record: Record) -> Result<Study, StudyError> {
        let mut study = Study::new(record.definition)?;
        study.record.step = record.step;
        for told in record.told {
            study.tell(told)?;
        }
        for one in record.comparisons {
            study.prefer(one)?;
        }
        for one in record.pending {
            study.expect(one)?;
        }
        Ok(study)
    }

    /// Everything that the study is.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The space of the study.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Takes a result in. It ends the pending time of its id. Results may come in any order.
    pub fn tell(&mut self, told: Told) -> Result<(), StudyError> {
        if self.record.told.iter().any(|other| other.id == told.id) {
            return Err(StudyError::Duplicate(told.id));
        }
        check::told(&self.record.definition, &self.domain, &told)?;
        self.record.pending.retain(|pending| pending.id != told.id);
        self.record.told.push(told);
        Ok(())
    }

    /// Takes a result back, with the comparisons that rest on it.
    pub fn forget(&mut self, id: &str) -> Result<(), StudyError> {
        let place = self.record.told.iter().position(|told| told.id == id);
        let place = place.ok_or_else(|| StudyError::Unknown(id.to_owned()))?;
        self.record.told.remove(place);
        self.record.comparisons.retain(|one| one.better != id && one.worse != id);
        Ok(())
    }

    /// Takes in that somebody found one result better than another.
    pub fn prefer(&mut self, comparison: Comparison) -> Result<(), StudyError> {
        if !self.record.definition.objectives.iter().any(|one| one.aim == Aim::Preferred) {
            return Err(StudyError::Question("no objective of this study is learnt from comparisons".to_owned()));
        }
        for id in [&comparison.better, &comparison.worse] {
            if !self.record.told.iter().any(|told| &told.id == id) {
                return Err(StudyError::Unknown(id.clone()));
            }
        }
        if comparison.better == comparison.worse {
            return Err(StudyError::Question(format!("`{}` cannot be better than itself", comparison.better)));
        }
        self.record.comparisons.push(comparison);
        Ok(())
    }

    /// Notes a design that is being evaluated without having been asked for: it counts as pending.
    pub fn expect(&mut self, pending: Pending) -> Result<(), StudyError> {
        let known = self.record.told.iter().map(|told| &told.id).chain(self.record.pending.iter().map(|one| &one.id));
        if known.into_iter().any(|id| *id == pending.id) {
            return Err(StudyError::Duplicate(pending.id));
        }
        check::design(&self.domain, &pending.id, &pending.design)?;
        self.record.pending.push(pending);
        Ok(())
    }

    /// The next designs. They are pending from now on, until a result of their id is told.
    pub fn ask(&mut self, count: usize) -> Result<Answer, StudyError> {
        let answer = self.suggest(count)?;
        for pick in &answer.picks {
            let (id, design, fidelity) = (pick.id.clone(), pick.design.clone(), pick.fidelity.clone());
            self.record.pending.push(Pending { id, design, fidelity });
        }
        self.record.step += 1;
        Ok(answer)
    }

    /// What [`Study::ask`] would answer; changes nothing.
    pub fn suggest(&self, count: usize) -> Result<Answer, StudyError> {
        if count == 0 || count > MOST {
            return Err(StudyError::Question(format!("{count} designs is not a batch; ask for 1 to {MOST}")));
        }
        let mut engine = Engine::read(&self.record, &self.domain)?;
        let needed = self.needed();
        let valid = engine.valid().count();
        let enough = valid >= needed || (valid >= 3 && engine.lessons.len() >= 2 * needed);
        let plain = committee::direction(&engine).filter(|_| enough);
        if enough && plain.is_none() {
            engine.fit()?;
        }
        let modelled = enough && (plain.is_some() || engine.is_complete());
        let mut remarks = engine.remarks.clone();
        let picks = match plain {
            Some(direction) => self.by_committee(&engine, direction, count, &mut remarks)?,
            None if modelled => self.by_model(&engine, count),
            None => self.by_spreading(&engine, count),
        };
        if !modelled {
            remarks.push(format!("exploring: {valid} of {needed} valid results, so no model chooses yet"));
        }
        if picks.len() < count {
            remarks.push(format!("only {} of {count} designs: no other untried design is left", picks.len()));
        }
        Ok(Answer { step: self.record.step, picks, modelled, remarks })
    }

    /// What is expected of designs. An error where there is no result to learn from.
    pub fn predict(&self, designs: &[Design]) -> Result<Vec<Forecast>, StudyError> {
        let engine = self.fitted()?;
        let one = |(at, design): (usize, &Design)| {
            let values = self.values(&format!("design {at}"), design)?;
            let row = self.domain.encode_values(&values);
            Ok(reason::forecast(&engine, &values, &row))
        };
        designs.iter().enumerate().map(one).collect()
    }

    /// Why a design is, or is not, worth trying next.
    pub fn explain(&self, design: &Design) -> Result<Explanation, StudyError> {
        let engine = self.fitted()?;
        let values = self.values("the design", design)?;
        let row = self.domain.encode_values(&values);
        let acquisition = engine.acquisition(&[], 0);
        Ok(reason::explain(&engine, &acquisition, &values, &row))
    }

    /// The results worth recommending: the best one by its posterior mean, or the front of several objectives. Empty while
    /// nothing valid satisfies the conditions.
    pub fn best(&self) -> Result<Vec<Best>, StudyError> {
        Ok(reason::best(&self.fitted()?))
    }

    /// Valid results that are needed before models choose.
    fn needed(&self) -> usize {
        let usual = (2 * (self.record.definition.space.parameters.len() + 1)).min(14);
        let needed = self.record.definition.start.unwrap_or(usual).max(3);
        // A second model of the last fidelity leans on the cheap results.
        if self.record.definition.fidelities.len() > 1 { (needed / 2).max(4) } else { needed }
    }

    fn values(&self, subject: &str, design: &Design) -> Result<Values, StudyError> {
        self.domain.made(design).map_err(|source| StudyError::Design { subject: subject.to_owned(), source })
    }

    fn fitted(&self) -> Result<Engine<'_>, StudyError> {
        let mut engine = Engine::read(&self.record, &self.domain)?;
        engine.fit()?;
        if engine.is_complete() {
            Ok(engine)
        } else {
            Err(StudyError::Question("there is no valid result yet for every observable".to_owned()))
        }
    }

    fn pick(&self, at: usize, design: Design) -> Pick {
        Pick {
            id: format!("s{}-{at}", self.record.step),
            design,
            fidelity: self.record.definition.fidelities.last().map(|one| one.name.clone()),
            predicted: Default::default(),
            log_improvement: None,
            probability_feasible: 1.0,
            reason: String::new(),
        }
    }

    fn by_committee(
        &self,
        engine: &Engine<'_>,
        direction: crate::engine::Direction,
        count: usize,
        remarks: &mut Vec<String>,
    ) -> Result<Vec<Pick>, StudyError> {
        let choice = match committee::choose(engine, direction, count) {
            Err(crate::engine::EngineError::NoCandidate) => return Ok(Vec::new()),
            choice => choice?,
        };
        remarks.extend(choice.remarks);
        let picks = choice.picks.into_iter().enumerate().map(|(at, chosen)| {
            let mut pick = self.pick(at, self.domain.design(&chosen.values));
            let name = self.record.definition.objectives[0].name.clone();
            pick.predicted = chosen.predicted.map(|(mean, sd)| (name, Predicted { mean, sd })).into_iter().collect();
            pick.log_improvement = chosen.log_improvement;
            if let Some(level) = chosen.cheaper {
                pick.fidelity = Some(self.record.definition.fidelities[level].name.clone());
            }
            pick.probability_feasible = engine.probability_feasible(&self.domain.encode_values(&chosen.values));
            pick.reason = chosen.reason;
            pick
        });
        Ok(picks.collect())
    }

    fn by_model(&self, engine: &Engine<'_>, count: usize) -> Vec<Pick> {
        // A design that was tried at a cheap fidelity may be tried at a better one.
        let last = self.record.definition.fidelities.len().saturating_sub(1);
        let tried = engine.lessons.iter().filter(|lesson| lesson.fidelity == last).map(|lesson| lesson.row.clone());
        let mut taken: Vec<Vec<f64>> = tried.chain(engine.pending.iter().map(|(_, row)| row.clone())).collect();
        let mut chosen: Vec<(Values, Vec<f64>)> = Vec::new();
        let mut picks = Vec::new();
        while picks.len() < count {
            let acquisition: Acquisition<'_> = engine.acquisition(&chosen, picks.len() as u64);
            let Some(found) = maximise::maximise(engine, &acquisition, &taken, picks.len() as u64) else { break };
            let explanation = reason::explain(engine, &acquisition, &found.values, &found.row);
            let mut pick = self.pick(picks.len(), self.domain.design(&found.values));
            pick.predicted = explanation.forecast.predicted;
            pick.probability_feasible = explanation.forecast.probability_feasible;
            pick.log_improvement = Some(found.score);
            pick.reason = explanation.reason;
            if let Some(chain) = &engine.chain {
                let costs: Vec<f64> = self.record.definition.fidelities.iter().map(|one| one.cost).collect();
                let level = chain.choose(&found.row, &costs);
                // A simulation that is asked twice says the same again.
                let tried = engine.lessons.iter().any(|one| one.fidelity == level && one.row == found.row);
                let level = if tried { last } else { level };
                pick.fidelity = Some(self.record.definition.fidelities[level].name.clone());
                if level < last {
                    pick.reason += &format!(
                        "; evaluated cheaply first, correlation {:.2} with the last fidelity",
                        chain.correlation()
                    );
                }
            }
            picks.push(pick);
            taken.push(found.row.clone());
            chosen.push((found.values, found.row));
        }
        picks
    }

    fn by_spreading(&self, engine: &Engine<'_>, count: usize) -> Vec<Pick> {
        let fidelities = &self.record.definition.fidelities;
        let cheap = engine.lessons.iter().filter(|lesson| lesson.fidelity == 0).count()
            + self
                .record
                .pending
                .iter()
                .filter(|one| one.fidelity.as_ref() == fidelities.first().map(|f| &f.name))
                .count();
        // Cheap results first; then the last fidelity where cheap ones lie, so that their correlation shows.
        let cheap_first = fidelities.len() > 1 && cheap < 2 * self.needed();
        let level = if cheap_first { 0 } else { fidelities.len().saturating_sub(1) };
        let same = engine.lessons.iter().filter(|lesson| lesson.fidelity == level || fidelities.len() < 2);
        let taken: Vec<Vec<f64>> =
            same.map(|lesson| lesson.row.clone()).chain(engine.pending.iter().map(|(_, row)| row.clone())).collect();
        // One sequence for the whole start: it goes on where it was left.
        let mut rng = stream(self.record.definition.seed, 0, Purpose::Start);
        let nested: Vec<Values> = if fidelities.len() > 1 && !cheap_first {
            engine
                .lessons
                .iter()
                .filter(|lesson| lesson.fidelity == 0 && !lesson.failed)
                .map(|l| l.values.clone())
                .collect()
        } else {
            Vec::new()
        };
        let spread = if !self.record.definition.pool.is_empty() {
            let pool = self.record.definition.pool.iter().filter_map(|design| self.domain.made(design).ok());
            reason::spread_among(&self.domain, &pool.collect::<Vec<_>>(), count, &taken)
        } else if nested.is_empty() {
            self.domain.spread_values(count, &taken, &mut rng)
        } else {
            reason::spread_among(&self.domain, &nested, count, &taken)
        };
        let picks = spread.into_iter().enumerate().map(|(at, values)| {
            let mut pick = self.pick(at, self.domain.design(&values));
            let row = self.domain.encode_values(&values);
            pick.probability_feasible = engine.probability_feasible(&row);
            pick.fidelity = fidelities.get(level).map(|one| one.name.clone());
            pick.reason = "spread over the space to give the models a start".to_owned();
            pick
        });
        picks.collect()
    }
}
