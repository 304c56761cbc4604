//! The question and its answer.

use std::collections::BTreeSet;

use crate::calibration::is_informative;
use crate::committee::{Committee, Kind, Model, Recipe};
use crate::engine::climb::{climb, common_set};
use crate::engine::contract::{Answer, Best, Cheaper, EngineError, Experiment, MemberReport, Mode, Pick, Question};
use crate::engine::{Direction, Region};
use crate::fidelity::Level;
use crate::gp::{GpError, Prior};
use crate::improvement::log_expected_improvement;
use crate::normal::quantile;
use crate::sequence::{Purpose, stream};
use crate::space::pool::{Pool, best_of};

/// Fewer measurements than this do not make a model.
const LEAST: usize = 2;
/// What a chain of fidelities is called in reports.
pub(crate) const CHAIN: &str = "chain of fidelities";
/// In a region without a list of candidates, the space is filled until there are this many times (d + 1) measurements.
const START: usize = 1;
/// Candidates of a pool that the whole committee ranks. Larger pools are read once by the members' processes, and the best
/// by their votes are ranked by all.
pub(crate) const RANKED: usize = 4_096;
/// Points nearer than this in every coordinate are the same point.
const SAME: f64 = 1e-9;
/// Quasi-random points among which a space-filling pick is chosen.
const CHOICES: usize = 256;

/// The numerical mind of one campaign. It holds no state but its seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    seed: u64,
    /// For pools and for regions.
    recipes: [Recipe; 2],
}

impl Engine {
    /// An engine with the default committees.
    pub fn new(seed: u64) -> Engine {
        Engine { seed, recipes: [Recipe::default(), Recipe::region()] }
    }

    /// An engine with a committee of one's own, for comparisons.
    pub fn with_recipe(seed: u64, recipe: Recipe) -> Engine {
        Engine { seed, recipes: [recipe.clone(), recipe] }
    }

    /// The committee that chooses from a pool, for everything measured. `None` below two measurements.
    pub fn committee(&self, question: &Question<'_>) -> Result<Option<Committee>, EngineError> {
        self.fit(question, &self.recipes[0])
    }

    fn fit(&self, question: &Question<'_>, recipe: &Recipe) -> Result<Option<Committee>, EngineError> {
        check(question)?;
        let count = question.experiments.len();
        if count < LEAST {
            return Ok(None);
        }
        let sign = question.direction.sign();
        let (points, values, variances) = columns(question.experiments, sign);
        let cheaper: Vec<Columns> = question.cheaper.iter().map(|one| columns(one.experiments, sign)).collect();
        let cheaper: Vec<Level<'_>> =
            cheaper.iter().map(|(x, y, v)| (x.as_slice(), y.as_slice(), v.as_slice())).collect();
        let key = (self.seed, question.step);
        let fitted = Committee::fit_above(&cheaper, (&points, &values, &variances), recipe, key, &[]);
        let fitted = fitted.map_err(|error| named(error, question.experiments))?;
        Ok(Some(fitted))
    }

    /// The next candidates of a pool. `taken` are the numbers of candidates that must not be proposed, in ascending order:
    /// measured and under way.
    pub fn from_pool(&self, question: &Question<'_>, pool: &dyn Pool, taken: &[usize]) -> Result<Answer, EngineError> {
        let fitted = self.committee(question)?;
        let mut taken: BTreeSet<usize> = taken.iter().copied().collect();
        let mut known = known_points(question);
        let Some(fitted) = fitted else {
            let mut picks = Vec::new();
            while picks.len() < question.batch {
                let Some((number, x)) = farthest(pool, &taken, &known) else { break };
                picks.push(spread_pick(Some(number), x.clone(), question));
                taken.insert(number);
                known.push(x);
            }
            return finish(Mode::SpaceFilling, picks, None, question);
        };
        let exploring = !is_informative(&fitted.leader().calibration);
        let mut committee = question.pending.iter().fold(fitted.clone(), |committee, x| committee.believe(x));
        let mut picks = Vec::new();
        let short = shortlist(&committee, pool, &taken, question);
        while picks.len() < question.batch {
            if exploring && picks.len() % 2 == 1 {
                let Some((number, x)) = farthest(pool, &taken, &known) else { break };
                committee = committee.believe(&x);
                picks.push(spread_pick(Some(number), x.clone(), question));
                taken.insert(number);
                known.push(x);
                continue;
            }
            let left: Vec<usize> = (0..short.numbers.len()).filter(|at| !taken.contains(&short.numbers[*at])).collect();
            let rows: Vec<f64> = left.iter().flat_map(|at| short.row(*at).iter().copied()).collect();
            let ballot = committee.ballot(&rows, question.log_cost);
            let Some(winner) = highest(&ballot.votes, &rows, &known, short.width) else { break };
            let (number, x) = (short.numbers[left[winner]], short.row(left[winner]).to_vec());
            picks.push(pick(
                &committee,
                Some(number),
                &x,
                ballot.ranks.iter().map(|ranks| ranks[winner]).collect(),
                question,
            ));
            taken.insert(number);
            if picks.len() < question.batch {
                committee = committee.believe(&x);
            }
            known.push(x);
        }
        let mode = if exploring { Mode::Exploring } else { Mode::Model };
        finish(mode, picks, Some(&fitted), question)
    }

    /// The next candidates of a region.
    pub fn from_region(&self, question: &Question<'_>, region: &dyn Region) -> Result<Answer, EngineError> {
        let fitted = self.fit(question, &self.recipes[1])?;
        let needed = START * (region.dimensions() + 1);
        let mut known = known_points(question);
        let cheap: usize = question.cheaper.iter().map(|one| one.experiments.len()).sum();
        let enough = question.experiments.len() + cheap >= needed.max(LEAST);
        let Some(fitted) = fitted.filter(|_| enough) else {
            let mut picks = Vec::new();
            for _ in 0..question.batch {
                let x = self.spread(region, &known).ok_or(EngineError::NoCandidate)?;
                picks.push(spread_pick(None, x.clone(), question));
                known.push(x);
            }
            return finish(Mode::SpaceFilling, picks, None, question);
        };
        let exploring = !is_informative(&fitted.leader().calibration);
        let mut committee = question.pending.iter().fold(fitted.clone(), |committee, x| committee.believe(x));
        let mut picks: Vec<Pick> = Vec::new();
        while picks.len() < question.batch {
            let is_known = |x: &[f64]| known.iter().any(|other| is_same(other, x));
            let (x, made) = if exploring && picks.len() % 2 == 1 {
                let Some(x) = self.spread(region, &known) else { break };
                (x.clone(), spread_pick(None, x, question))
            } else {
                let mut rng = stream(self.seed, question.step ^ ((picks.len() as u64) << 48), Purpose::Local);
                let candidates = common_set(&committee, region, &mut rng);
                let Some(x) = climb(&committee, region, &candidates, question.log_cost, &is_known) else { break };
                let made = pick(&committee, None, &x, Vec::new(), question);
                (x, made)
            };
            picks.push(made);
            if picks.len() < question.batch {
                committee = committee.believe(&x);
            }
            known.push(x);
        }
        let mode = if exploring { Mode::Exploring } else { Mode::Model };
        finish(mode, picks, Some(&fitted), question)
    }

    /// A point of the region far from what is known.
    fn spread(&self, region: &dyn Region, known: &[Vec<f64>]) -> Option<Vec<f64>> {
        let mut rng = stream(self.seed, known.len() as u64, Purpose::Start);
        let options = region.sample(CHOICES, &mut rng).into_iter().filter_map(|x| region.repair(&x));
        let far = options.map(|x| (nearest(known, &x), x)).filter(|(distance, _)| *distance > 0.0);
        far.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, x)| x)
    }
}

/// Coordinates, values and variances.
type Columns = (Vec<Vec<f64>>, Vec<f64>, Vec<f64>);

fn columns(experiments: &[Experiment], sign: f64) -> Columns {
    let points = experiments.iter().map(|one| one.x.clone()).collect();
    let values = experiments.iter().map(|one| sign * one.value).collect();
    (points, values, experiments.iter().map(|one| one.variance).collect())
}

/// Rows that the whole committee ranks, with their numbers.
struct Shortlist {
    numbers: Vec<usize>,
    rows: Vec<f64>,
    width: usize,
}

impl Shortlist {
    fn row(&self, at: usize) -> &[f64] {
        &self.rows[at * self.width..(at + 1) * self.width]
    }
}

/// The whole pool where it is small; of a large one, the best by ln EI and by the upper bound of the members' processes, in
/// one pass and bounded memory.
fn shortlist(committee: &Committee, pool: &dyn Pool, taken: &BTreeSet<usize>, question: &Question<'_>) -> Shortlist {
    let width = pool.width();
    let (mut numbers, mut rows) = (Vec::new(), Vec::new());
    if pool.len() <= RANKED {
        for number in (0..pool.len()).filter(|number| !taken.contains(number)) {
            if pool.row(number, &mut rows) {
                numbers.push(number);
            }
        }
        return Shortlist { numbers, rows, width };
    }
    let excluded: Vec<usize> = taken.iter().copied().collect();
    let keep = RANKED / 4 + question.batch;
    let found = best_of(pool, keep, &excluded, |rows, _, scores| committee.screen(rows, scores));
    for scored in found {
        if pool.row(scored.number, &mut rows) {
            numbers.push(scored.number);
        }
    }
    Shortlist { numbers, rows, width }
}

/// The position of the largest vote; ties to 1e-12 go to the candidate farther from what is known, then to the first.
fn highest(votes: &[f64], rows: &[f64], known: &[Vec<f64>], width: usize) -> Option<usize> {
    let top = votes.iter().copied().reduce(f64::max)?;
    let close = |at: &usize| votes[*at] >= top - 1e-12 * top.abs().max(1.0);
    let far = |at: usize| nearest(known, &rows[at * width..(at + 1) * width]);
    (0..votes.len())
        .filter(close)
        .map(|at| (far(at), at))
        .reduce(|a, b| if b.0 > a.0 { b } else { a })
        .map(|(_, at)| at)
}

fn nearest(known: &[Vec<f64>], x: &[f64]) -> f64 {
    known.iter().map(|other| square(other, x)).fold(f64::INFINITY, f64::min).sqrt()
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn is_same(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < SAME)
}

/// The candidate of a pool that is farthest from what is known, the first one nearest to the middle (k-centre).
fn farthest(pool: &dyn Pool, taken: &BTreeSet<usize>, known: &[Vec<f64>]) -> Option<(usize, Vec<f64>)> {
    let excluded: Vec<usize> = taken.iter().copied().collect();
    let (width, middle) = (pool.width(), vec![0.5; pool.width()]);
    let found = best_of(pool, 1, &excluded, |rows, _, scores| {
        scores.extend(
            rows.chunks_exact(width)
                .map(|row| if known.is_empty() { -square(&middle, row) } else { nearest(known, row) }),
        );
    });
    let number = found.first()?.number;
    let mut row = Vec::new();
    pool.row(number, &mut row).then_some((number, row))
}

fn known_points(question: &Question<'_>) -> Vec<Vec<f64>> {
    let measured = question.experiments.iter().map(|one| one.x.clone());
    measured.chain(question.pending.iter().cloned()).collect()
}

fn check(question: &Question<'_>) -> Result<(), EngineError> {
    if question.batch == 0 {
        return Err(EngineError::EmptyBatch);
    }
    if let Some(at) = question.cheaper.iter().position(|one| !(one.cost > 0.0 && one.cost.is_finite())) {
        return Err(EngineError::Cost { at, cost: question.cheaper[at].cost });
    }
    let all = || question.experiments.iter().chain(question.cheaper.iter().flat_map(|one| one.experiments));
    let width = all().next().map(|one| one.x.len());
    let mut ids = BTreeSet::new();
    for one in all() {
        let what = if !ids.insert(one.id.as_str()) {
            return Err(EngineError::Duplicate(one.id.clone()));
        } else if one.x.is_empty() || Some(one.x.len()) != width {
            "it has another number of coordinates than the first one"
        } else if !one.x.iter().all(|x| x.is_finite()) {
            "a coordinate is not a finite number"
        } else if one.x.iter().any(|x| x.abs() > 1e3) {
            "a coordinate is far outside the unit cube"
        } else if !one.value.is_finite() {
            "its value is not a finite number"
        } else if !(one.variance >= 0.0 && one.variance.is_finite()) {
            "its variance is not a finite number of at least 0"
        } else {
            continue;
        };
        return Err(EngineError::Experiment { id: one.id.clone(), what });
    }
    for (at, x) in question.pending.iter().enumerate() {
        if width.is_some_and(|width| width != x.len()) || !x.iter().all(|x| x.is_finite()) {
            let what = "it does not have one finite number for each coordinate";
            return Err(EngineError::Pending { at, what });
        }
    }
    Ok(())
}

fn named(error: GpError, experiments: &[Experiment]) -> EngineError {
    let id = |at: usize| experiments.get(at).map_or_else(String::new, |one| one.id.clone());
    match error {
        GpError::TooClose { first, second, distance } => {
            EngineError::TooClose { first: id(first), second: id(second), distance }
        }
        GpError::Shape(at) | GpError::NotFinite(at) => {
            EngineError::Experiment { id: id(at), what: "it holds a number that makes no sense" }
        }
        GpError::Empty => EngineError::NoCandidate,
    }
}

fn spread_pick(number: Option<usize>, x: Vec<f64>, question: &Question<'_>) -> Pick {
    Pick {
        number,
        nearest: nearest_ids(&x, question.experiments),
        x,
        cheaper: None,
        mean: None,
        sd: None,
        interval_80: None,
        log_improvement: None,
        exploration: None,
        ranks: Vec::new(),
        reason: "spread over the space: the models know too little to choose".into(),
    }
}

fn nearest_ids(x: &[f64], experiments: &[Experiment]) -> Vec<(String, f64)> {
    let mut near: Vec<(f64, &str)> = experiments.iter().map(|one| (square(&one.x, x), one.id.as_str())).collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    near.into_iter().take(3).map(|(square, id)| (id.to_owned(), square.sqrt())).collect()
}

/// A pick with its explanation.
fn pick(committee: &Committee, number: Option<usize>, x: &[f64], ranks: Vec<f64>, question: &Question<'_>) -> Pick {
    let (mean, sd) = committee.predict(x);
    let leader = committee.leader();
    let best = leader.best;
    let log_improvement = log_expected_improvement(mean, sd, best);
    let sure = log_expected_improvement(mean, 0.1 * sd, best);
    let exploration = (1.0 - (sure - log_improvement).exp()).clamp(0.0, 1.0);
    let near = nearest_ids(x, question.experiments);
    let drive = match exploration {
        share if share > 0.75 => "mostly to learn",
        share if share > 0.4 => "to learn and to gain",
        _ => "mostly to gain",
    };
    let value = question.direction.sign() * mean;
    let half = quantile(0.9) * (sd * sd + committee.noise_variance()).sqrt();
    let mut reason = format!("expected {value:.4} ± {sd:.4}, {drive}");
    if let Some((id, distance)) = near.first() {
        reason += &format!(", {distance:.2} away from {id}");
    }
    let cheaper = committee.chain().and_then(|chain| {
        let costs: Vec<f64> = question.cheaper.iter().map(|one| one.cost).chain([1.0]).collect();
        let level = chain.choose(x, &costs);
        reason += &format!("; correlation {:.2} with the fidelity below", chain.correlation());
        // A simulation that is asked twice says the same again.
        let tried = |one: &Cheaper<'_>| one.experiments.iter().any(|experiment| is_same(&experiment.x, x));
        question.cheaper.get(level).filter(|one| !tried(one)).map(|_| level)
    });
    Pick {
        number,
        x: x.to_vec(),
        cheaper,
        mean: Some(value),
        sd: Some(sd),
        interval_80: Some((value - half, value + half)),
        log_improvement: Some(log_improvement),
        exploration: Some(exploration),
        nearest: near,
        ranks,
        reason,
    }
}

/// The answer with its reports, in the direction of the question.
fn finish(
    mode: Mode,
    picks: Vec<Pick>,
    committee: Option<&Committee>,
    question: &Question<'_>,
) -> Result<Answer, EngineError> {
    if picks.is_empty() {
        return Err(EngineError::NoCandidate);
    }
    let best = committee.and_then(|committee| recommend(committee, question));
    let members = committee.map_or_else(Vec::new, reports);
    Ok(Answer { mode, picks, best, members })
}

/// The measured point with the best posterior mean; ties go to the earlier experiment.
fn recommend(committee: &Committee, question: &Question<'_>) -> Option<Best> {
    let sign = question.direction.sign();
    let scored = question.experiments.iter().map(|one| (committee.predict(&one.x), one));
    let ((mean, sd), one) = scored.reduce(|best, next| if next.0.0 > best.0.0 { next } else { best })?;
    Some(Best { id: one.id.clone(), mean: sign * mean, sd })
}

fn reports(committee: &Committee) -> Vec<MemberReport> {
    let report = |member: &crate::committee::Member| {
        let name = match member.kind {
            Kind::Process(Prior::Flat) => "process, flat prior",
            Kind::Process(Prior::DimensionScaled) => "process, dimension-scaled prior",
            Kind::Process(Prior::SmoothNoisy) => "process, smooth and noisy prior",
            Kind::Process(Prior::HalfRange) => "process, prior of half the range",
            Kind::Forest => "random forest",
            Kind::Chain => CHAIN,
        };
        let (noise_sd, length_scales) = match &member.model {
            Model::Process(process) => {
                let lengths = process.hyperparameters().log_length.iter().map(|log| log.exp()).collect();
                (Some(process.noise_sd()), lengths)
            }
            Model::Chain(chain) => (Some(chain.noise_sd()), Vec::new()),
            Model::Forest(_) => (None, Vec::new()),
        };
        MemberReport {
            name: name.into(),
            weight: member.weight,
            log_density: member.log_density,
            noise_sd,
            length_scales,
            calibration: member.calibration.clone(),
        }
    };
    committee.members.iter().map(report).collect()
}

impl Direction {
    /// The better of two values.
    pub fn better(self, a: f64, b: f64) -> f64 {
        if self == Direction::Maximize { a.max(b) } else { a.min(b) }
    }
}
