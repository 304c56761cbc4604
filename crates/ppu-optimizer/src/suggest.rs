//! The question and its answer.

use ppu_core::{DesignSpace, Measured, Objective, Observation, objective::score};

use crate::acquisition::Model;
use crate::calibration::widening;
use crate::candidates::{Choice, Maker, distance, is_taken, step};
use crate::check;
use crate::contract::{
    Ask, Incumbent, Nearest, OptimizerError, Phase, Proposal, Source, Suggestion, Trial, TrialOutcome,
};
use crate::explain::{exhausted, explain, remarks};
use crate::feasibility::Feasibility;
use crate::sequence::{Purpose, stream};
use crate::start;
use crate::surrogate::{Point, Row, Surrogate};

/// Quasi-random points of the whole space that compete with the pool, so that a misled pool cannot hide the optimum.
const SPACE_POINTS: usize = 512;
/// Good points whose neighbours are looked at, and how many neighbours each.
const GOOD_POINTS: usize = 5;
const NEIGHBOURS: usize = 48;
/// Choices whose acquisition is computed with all draws after a first look at all of them.
const SECOND_LOOKS: usize = 64;
/// Results after which a prior mean is judged, and what it must be worth: nats of leave-one-out density, 20 to 1.
const FIRST_RESULTS: usize = 4;
const PROVEN: f64 = 3.0;
/// Starts of the final climb.
const CLIMBS: usize = 2;

/// A Bayesian optimizer of one campaign. It holds no state but its definition.
#[derive(Debug, Clone)]
pub struct Optimizer {
    space: DesignSpace,
    objectives: Vec<Objective>,
    seed: u64,
}

/// What the trials say, in the form that the models need.
struct Data<'a> {
    space: &'a DesignSpace,
    /// Trials that teach something: valid or infeasible.
    points: Vec<(&'a Trial, Point)>,
    /// Whether each of them gave all objectives.
    complete: Vec<bool>,
    pending: Vec<Point>,
}

impl Optimizer {
    /// An optimizer for a space and objectives. Refuses a space without room, contradictory limits or goals.
    pub fn new(space: DesignSpace, objectives: Vec<Objective>, seed: u64) -> Result<Optimizer, OptimizerError> {
        check::space(&space)?;
        check::objectives(&objectives)?;
        Ok(Optimizer { space, objectives, seed })
    }

    /// The next candidates and why. A pure function of the optimizer and the question.
    ///
    /// Batches are chosen greedily: what is pending, and each pick in turn, takes part with joint draws of what it may turn out
    /// to be.
    pub fn suggest(&self, ask: &Ask<'_>) -> Result<Proposal, OptimizerError> {
        check::ask(&self.space, ask)?;
        let maker = Maker { space: &self.space, objectives: &self.objectives, prior: ask.prior };
        let data = self.data(ask, &maker)?;
        let valid = data.complete.iter().filter(|complete| **complete).count();
        let needed = (self.space.free().count() + 1).max(4);
        // Where most trials fail, three complete ones among twice the number must do.
        let enough = valid >= needed || (valid >= 3 && data.points.len() >= 2 * needed);
        let units = data.points.iter().map(|(_, point)| point.unit.clone()).collect();
        let feasibility = Feasibility::fit(units, &data.complete);
        // A prior mean has to prove itself on the first results. Where it does, there is no need to wait for more of them.
        let judged = ask.prior.is_some() && valid >= 2 && data.points.len() >= FIRST_RESULTS;
        let surrogates = if enough || judged { Some(self.surrogates(&data, ask.trials)?) } else { None };
        let proven = |all: &Vec<Surrogate>| all.iter().map(Surrogate::prior_gain).sum::<f64>() >= PROVEN;
        match surrogates {
            Some(surrogates) if enough || proven(&surrogates) => {
                self.by_model(ask, &maker, &data, surrogates, feasibility)
            }
            unproven => {
                let pool = if unproven.is_some() { &[] } else { ask.pool };
                let phase = Phase::SpaceFilling { valid, needed };
                self.by_spreading(&Ask { pool, ..*ask }, &maker, &data, feasibility.as_ref(), phase)
            }
        }
    }

    fn surrogates(&self, data: &Data<'_>, trials: &[Trial]) -> Result<Vec<Surrogate>, OptimizerError> {
        let fitted = |(at, objective): (usize, &Objective)| {
            let name = &objective.name;
            Surrogate::fit(name, at, &self.rows(data, objective), widening(name, trials))
        };
        self.objectives.iter().enumerate().map(fitted).collect()
    }

    fn data<'a>(&'a self, ask: &Ask<'a>, maker: &Maker<'_>) -> Result<Data<'a>, OptimizerError> {
        let mut data = Data { space: &self.space, points: Vec::new(), complete: Vec::new(), pending: Vec::new() };
        for trial in ask.trials {
            let complete = match &trial.outcome {
                TrialOutcome::Valid(observation) => observation.complete(&self.objectives).is_some(),
                TrialOutcome::Infeasible { .. } => false,
                TrialOutcome::Void { .. } => continue,
            };
            data.points.push((trial, maker.point(&trial.candidate, &format!("trial `{}`", trial.id))?));
            data.complete.push(complete);
        }
        for (at, candidate) in ask.pending.iter().enumerate() {
            data.pending.push(maker.point(candidate, &format!("pending candidate {at}"))?);
        }
        Ok(data)
    }

    fn by_spreading(
        &self,
        ask: &Ask<'_>,
        maker: &Maker<'_>,
        data: &Data<'_>,
        feasibility: Option<&Feasibility>,
        phase: Phase,
    ) -> Result<Proposal, OptimizerError> {
        let mut taken = data.taken();
        let mut picks = Vec::new();
        while picks.len() < ask.batch {
            let Some(choice) = start::pick(maker, ask.pool, &taken, feasibility, (self.seed, taken.len()))? else {
                break;
            };
            let why = match choice.source {
                Source::Pool => "promising by the twin, and away from what was tried, to give the models a start",
                _ => "spread over the space to give the models a start",
            };
            picks.push(Suggestion {
                source: choice.source,
                predicted: Vec::new(),
                expected_score: None,
                acquisition: None,
                probability_feasible: feasibility.map(|feasibility| feasibility.probability(&choice.point.unit)),
                exploration: None,
                nearest: data.nearest(&choice.point.unit),
                reason: why.into(),
                candidate: choice.candidate,
            });
            taken.push(choice.point.unit);
        }
        let (step, seed, incumbent) = (ask.step, self.seed, self.best_reading(data));
        let flags = exhausted(picks.len(), ask.batch).into_iter().collect();
        Ok(Proposal { step, seed, phase, picks, incumbent, models: Vec::new(), flags })
    }

    /// The best measured score, for want of a model.
    fn best_reading(&self, data: &Data<'_>) -> Option<Incumbent> {
        let scored = data.valid().filter(|(trial, _)| check::is_inside(&self.space, &trial.candidate));
        let scored = scored.filter_map(|(trial, observation)| {
            let values = observation.complete(&self.objectives)?;
            let (id, candidate) = (trial.id.clone(), trial.candidate.clone());
            Some(Incumbent { trial: id, candidate, score: score(&self.objectives, &values) })
        });
        scored.reduce(|best, next| if next.score > best.score { next } else { best })
    }

    fn rows<'b>(&self, data: &'b Data<'_>, objective: &Objective) -> Vec<Row<'b>> {
        let valid = data.points.iter().filter_map(|(trial, point)| match &trial.outcome {
            TrialOutcome::Valid(observation) => Some((trial, point, observation.values.get(&objective.name)?)),
            _ => None,
        });
        let row = |(trial, point, measured): (&&'b Trial, &'b Point, &Measured)| {
            let (value, variance) = objective.lesson(measured);
            Row { point, value, variance, trial: &trial.id }
        };
        valid.map(row).collect()
    }

    fn by_model(
        &self,
        ask: &Ask<'_>,
        maker: &Maker<'_>,
        data: &Data<'_>,
        surrogates: Vec<Surrogate>,
        feasibility: Option<Feasibility>,
    ) -> Result<Proposal, OptimizerError> {
        let mut rng = stream(self.seed, ask.step, Purpose::Normals);
        let fresh = Model::new(&self.objectives, surrogates, feasibility, &mut rng);
        let incumbent = incumbent(&fresh, data);
        let best = best_score(&fresh, data);
        let mut model = fresh.clone().exceeding(best);
        for point in &data.pending {
            model = model.expecting(point, &mut rng);
        }
        let choices = self.choices(ask, maker, data, &fresh)?;
        let mut taken = data.taken();
        let mut picks = Vec::new();
        while picks.len() < ask.batch {
            let Some(choice) = self.climb(maker, &model, &choices, &taken, (ask.step, picks.len()))? else {
                break;
            };
            picks.push(explain(&model, &choice, best, data.nearest(&choice.point.unit), incumbent.as_ref()));
            model = model.expecting(&choice.point, &mut rng);
            taken.push(choice.point.unit);
        }
        let models: Vec<_> = fresh.surrogates.iter().map(Surrogate::report).collect();
        let mut flags: Vec<String> = exhausted(picks.len(), ask.batch).into_iter().collect();
        flags.extend(remarks(&models));
        let (step, seed, phase) = (ask.step, self.seed, Phase::Model);
        Ok(Proposal { step, seed, phase, picks, incumbent, models, flags })
    }

    /// Everything that competes: the pool, the space, and neighbours of the best measured points.
    fn choices(
        &self,
        ask: &Ask<'_>,
        maker: &Maker<'_>,
        data: &Data<'_>,
        model: &Model<'_>,
    ) -> Result<Vec<Choice>, OptimizerError> {
        let mut choices = ask
            .pool
            .iter()
            .map(|scored| maker.option(scored.candidate.clone(), Source::Pool))
            .collect::<Result<Vec<_>, _>>()?;
        choices.extend(maker.fill(SPACE_POINTS, &mut stream(self.seed, ask.step, Purpose::Space), Source::Space)?);
        let mut good: Vec<(f64, &Point)> = data
            .points
            .iter()
            .filter_map(|(_, point)| Some((model.expected_score(&model.predict(point)?), point)))
            .collect();
        good.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut rng = stream(self.seed, ask.step, Purpose::Local);
        for (_, point) in good.into_iter().take(GOOD_POINTS) {
            choices.extend(maker.neighbours(&point.unit, NEIGHBOURS, &mut rng)?);
        }
        Ok(choices)
    }

    /// The choice of the largest acquisition after a climb from the best few; ties go to the earlier choice.
    fn climb(
        &self,
        maker: &Maker<'_>,
        model: &Model<'_>,
        choices: &[Choice],
        taken: &[Vec<f64>],
        (step_number, pick): (u64, usize),
    ) -> Result<Option<Choice>, OptimizerError> {
        let mut ranked: Vec<(f64, &Choice)> = choices
            .iter()
            .filter(|choice| !is_taken(&choice.point.unit, taken))
            .filter_map(|choice| Some((model.rough_acquisition(&choice.point)?, choice)))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.truncate(SECOND_LOOKS);
        for (value, choice) in &mut ranked {
            *value = model.acquisition(&choice.point).unwrap_or(0.0);
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut rng = stream(self.seed, step_number ^ ((pick as u64 + 1) << 48), Purpose::Local);
        let mut winner: Option<(f64, Choice)> = None;
        for (start_value, start) in ranked.into_iter().take(CLIMBS) {
            let (mut value, mut here) = (start_value, start.clone());
            for width in [0.08, 0.03, 0.012, 0.005] {
                for _ in 0..4 + 3 * here.point.unit.len() {
                    let moved = step(&here.point.unit, width, &mut rng);
                    let Some(next) = maker.at(&moved, Source::Polished)? else { continue };
                    if is_taken(&next.point.unit, taken) {
                        continue;
                    }
                    if let Some(found) = model.acquisition(&next.point)
                        && found > value * (1.0 + 1e-9)
                    {
                        (value, here) = (found, next);
                    }
                }
            }
            if winner.as_ref().is_none_or(|(highest, _)| value > *highest) {
                winner = Some((value, here));
            }
        }
        Ok(winner.map(|(_, choice)| choice))
    }
}

impl<'a> Data<'a> {
    /// Unit coordinates that must not be proposed again.
    fn taken(&self) -> Vec<Vec<f64>> {
        let tried = self.points.iter().map(|(_, point)| point.unit.clone());
        tried.chain(self.pending.iter().map(|point| point.unit.clone())).collect()
    }

    fn valid(&self) -> impl Iterator<Item = (&'a Trial, &'a Observation)> {
        self.points.iter().filter_map(|(trial, _)| match &trial.outcome {
            TrialOutcome::Valid(observation) => Some((*trial, observation)),
            _ => None,
        })
    }

    fn nearest(&self, unit: &[f64]) -> Option<Nearest> {
        let distances = self.points.iter().map(|(trial, point)| (distance(&point.unit, unit), &trial.id));
        let (distance, trial) = distances.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Nearest { trial: trial.clone(), distance })
    }

    fn complete(&self) -> impl Iterator<Item = (&'a Trial, &Point)> {
        self.points
            .iter()
            .zip(&self.complete)
            .filter(|(_, complete)| **complete)
            .map(|((trial, point), _)| (*trial, point))
    }

    /// Complete trials that may be called the best.
    fn contenders(&self) -> impl Iterator<Item = (&'a Trial, &Point)> {
        self.complete().filter(|(trial, _)| check::is_inside(self.space, &trial.candidate))
    }
}

/// The measured point of the space with the highest posterior expectation of the score; ties go to the earlier trial.
fn incumbent(model: &Model<'_>, data: &Data<'_>) -> Option<Incumbent> {
    let scored = data.contenders().filter_map(|(trial, point)| {
        let score = model.expected_score(&model.predict(point)?);
        Some(Incumbent { trial: trial.id.clone(), candidate: trial.candidate.clone(), score })
    });
    scored.reduce(|best, next| if next.score > best.score { next } else { best })
}

/// What must be exceeded: the best expected score at measured points.
fn best_score(model: &Model<'_>, data: &Data<'_>) -> f64 {
    data.contenders()
        .map(|(_, point)| point)
        .filter_map(|point| Some(model.expected_score(&model.predict(point)?)))
        .fold(0.0, f64::max)
}
