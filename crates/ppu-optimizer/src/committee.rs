//! A committee of surrogates whose priors disagree, because no single one is right for every laboratory.
//!
//! Members rank the candidates, so that no scale has to be agreed on, and their votes count by how well they predict what
//! is left out. Weights are pseudo-BMA+ (Yao et al., Bayesian Anal. 13, 917 (2018)): the Bayesian bootstrap keeps a handful
//! of observations from electing a dictator.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::belief::Belief;
use crate::calibration::calibration;
use crate::contract::Calibration;
use crate::engine::LogCost;
use crate::fidelity::{Chain, Level};
use crate::forest::Forest;
use crate::gp::{FitOptions, GaussianProcess, GpError, Hyperparameters, LeaveOneOut, Prior, Readings, Sloped};
use crate::improvement::log_expected_improvement;
use crate::sequence::{Purpose, stream};

/// Draws of the Bayesian bootstrap.
const DRAWS: usize = 100;
/// A member with a smaller share of the votes is not asked: it has lost by the evidence.
const DISMISSED: f64 = 0.02;

/// Coordinates above which a space is sparse at first.
const MANY: usize = 8;
/// Standard deviations that a member adds which votes alone: no others have to agree with its bounds.
const ALONE: f64 = 2.0;

/// Kinds of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Gaussian process with that prior.
    Process(Prior),
    /// A random forest.
    Forest,
    /// A chain of fidelities; it joins a committee wherever there are cheaper results.
    Chain,
}

/// How a committee is made and how it votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Members.
    pub kinds: Vec<Kind>,
    /// Share of the votes that members keep whatever their predictions say, unless they are dismissed.
    pub equal: f64,
    /// Power of the predictive densities, at most 1.
    pub temper: f64,
    /// Standard deviations added to the mean by the optimist's rule.
    pub kappa: f64,
    /// How ranks add up.
    pub rule: Rule,
    /// What is ranked.
    pub score: Score,
    /// In spaces of more than eight coordinates: observations for each hyperparameter below which the smooth and noisy
    /// process votes alone, if there is one.
    pub sparse: f64,
}

/// How ranks add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Plain sum.
    Rank,
    /// Sum of logarithms: the heads of the lists count, their tails do not.
    LogRank,
}

/// What a member ranks candidates by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Upper confidence bound.
    Bound,
    /// Expected improvement.
    Improvement,
    /// Both, as two votes of half the weight.
    Both,
    /// Upper confidence bound of the weighted mixture of the members, without ranks.
    Mixture,
}

/// Three members that disagree by design, one vote each, ranks of the mean plus one standard deviation: what served best on
/// measured pools of materials and reactions taken together. Two standard deviations send a committee to every corner of
/// the space first, because there its members' bounds agree.
impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            kinds: vec![Kind::Process(Prior::Flat), Kind::Process(Prior::SmoothNoisy), Kind::Forest],
            equal: 1.0,
            temper: 1.0,
            kappa: 1.0,
            rule: Rule::Rank,
            score: Score::Bound,
            // With fewer a likelihood of many length scales fits anything and trees split at random: only a strong prior
            // says something. On seven measured pools whose levels or descriptors make 11 to 22 columns it finds the top
            // set a tenth sooner than the three together, and so on direct arylation; on made-up functions of ten free
            // columns it is a little later.
            sparse: 4.0,
        }
    }
}

impl Recipe {
    /// Two processes for a region without a list of candidates, where slopes lead to the optimum: one that believes the data
    /// alone and so follows them down to where only noise is left, and one that doubts a few of them.
    pub fn region() -> Recipe {
        let kinds = vec![Kind::Process(Prior::Flat), Kind::Process(Prior::DimensionScaled)];
        Recipe { kinds, score: Score::Improvement, ..Recipe::default() }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Model {
    Process(Box<GaussianProcess>),
    Forest(Forest),
    Chain(Box<Chain>),
}

/// One member: its model, its share of the votes, and how well it predicts.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) kind: Kind,
    pub(crate) model: Model,
    pub(crate) weight: f64,
    /// Mean log density of left-out observations.
    pub(crate) log_density: f64,
    pub(crate) calibration: Calibration,
    /// Variance of a reading around the noise-free value.
    pub(crate) noise: f64,
    /// Best posterior mean at a measured or pending point.
    pub(crate) best: f64,
}

/// Votes for candidates, and the ranks behind them.
#[derive(Debug, Clone)]
pub(crate) struct Ballot {
    pub(crate) votes: Vec<f64>,
    /// One list for each member that votes, in the order of the members.
    pub(crate) ranks: Vec<Vec<f64>>,
}

/// A fitted committee. It maximises.
#[derive(Debug, Clone)]
pub struct Committee {
    pub(crate) members: Vec<Member>,
    recipe: Recipe,
    /// Distinct points and their values, pending points with what is believed of them.
    pub(crate) readings: Readings,
    seed: (u64, u64),
}

impl Committee {
    /// Fits every member. Points in about the unit cube, one row each; `variances` are known variances of the values, 0 for
    /// none. `key` is (seed, step), `warm` hyperparameters to start from, one a Gaussian process.
    pub fn fit(
        points: &[Vec<f64>],
        values: &[f64],
        variances: &[f64],
        recipe: &Recipe,
        key: (u64, u64),
        warm: &[Hyperparameters],
    ) -> Result<Committee, GpError> {
        Self::fit_above(&[], (points, values, variances), recipe, key, warm)
    }

    /// Like [`Committee::fit`] with results of cheaper fidelities, the cheapest first.
    pub(crate) fn fit_above(
        cheaper: &[Level<'_>],
        (points, values, variances): Level<'_>,
        recipe: &Recipe,
        key: (u64, u64),
        warm: &[Hyperparameters],
    ) -> Result<Committee, GpError> {
        let readings = Readings::new(points, values, variances, true)?;
        let mut recipe = recipe.clone();
        let levels: Vec<Level<'_>> = cheaper.iter().copied().chain([(points, values, variances)]).collect();
        let mut chain = Chain::fit(&levels);
        recipe.kinds.extend(chain.is_some().then_some(Kind::Chain));
        let mut members = Vec::with_capacity(recipe.kinds.len());
        let mut densities = Vec::with_capacity(recipe.kinds.len());
        let scale = readings.moments().1;
        let mut warm = warm.iter();
        for kind in &recipe.kinds {
            let (model, left_out, noise) = match kind {
                Kind::Chain => {
                    let Some(chain) = chain.take() else { continue };
                    let (left_out, noise) = (chain.leave_one_out(), chain.noise_sd().powi(2));
                    (Model::Chain(Box::new(chain)), left_out, noise)
                }
                Kind::Process(prior) => {
                    let process = fit_process(&readings, *prior, warm.next())?;
                    let left_out = process.leave_one_out();
                    let noise = process.noise_sd().powi(2);
                    (Model::Process(Box::new(process)), left_out, noise)
                }
                Kind::Forest => fit_forest(&readings, key),
            };
            let density: Vec<f64> = left_out.iter().map(|one| log_density(one, scale)).collect();
            let log_density = density.iter().sum::<f64>() / density.len() as f64;
            densities.push(density);
            let calibration = calibration(&left_out);
            let best = f64::NEG_INFINITY;
            members.push(Member { kind: *kind, model, weight: 0.0, log_density, calibration, noise, best });
        }
        let few = cheaper.is_empty() && (readings.len() as f64) < recipe.sparse * (readings.dimensions + 2) as f64;
        let cautious = recipe.kinds.iter().filter(|kind| **kind == Kind::Process(Prior::SmoothNoisy)).count();
        let weights = if few && readings.dimensions > MANY && cautious > 0 {
            recipe.kappa = recipe.kappa.max(ALONE);
            let vote =
                |kind: &Kind| if *kind == Kind::Process(Prior::SmoothNoisy) { 1.0 / cautious as f64 } else { 0.0 };
            recipe.kinds.iter().map(vote).collect()
        } else {
            weights(&densities, &recipe, &mut stream(key.0, key.1, Purpose::Weights))
        };
        for (member, weight) in members.iter_mut().zip(weights) {
            member.weight = weight;
            member.best = member.best_at(&readings.x);
        }
        Ok(Committee { members, recipe, readings, seed: key })
    }

    /// Number of coordinates.
    pub(crate) fn dimensions(&self) -> usize {
        self.readings.dimensions
    }

    /// Votes for many points, coordinates one point after the other; more is better. Comparable within one call only. With a
    /// cost, candidates are ranked by improvement a cost.
    pub fn votes(&self, rows: &[f64], log_cost: Option<LogCost<'_>>) -> Vec<f64> {
        self.ballot(rows, log_cost).votes
    }

    /// Like [`Committee::votes`], with the ranks that each member gave.
    pub(crate) fn ballot(&self, rows: &[f64], log_cost: Option<LogCost<'_>>) -> Ballot {
        let count = rows.len() / self.dimensions();
        let mut ballot = Ballot { votes: vec![0.0; count], ranks: Vec::new() };
        let costs: Option<Vec<f64>> =
            log_cost.map(|log_cost| rows.chunks_exact(self.dimensions()).map(log_cost).collect());
        let (mut predicted, mut mixture) = (Vec::new(), vec![(0.0, 0.0); count]);
        for member in self.members.iter().filter(|member| member.weight > 0.0) {
            member.predict_rows(rows, &mut predicted);
            for (sum, (mean, sd)) in mixture.iter_mut().zip(&predicted) {
                sum.0 += member.weight * mean;
                sum.1 += member.weight * (mean * mean + sd * sd);
            }
            if self.recipe.score == Score::Mixture {
                continue;
            }
            let mut given = vec![0.0; count];
            for (score, share) in self.scores(member, &predicted, costs.as_deref()) {
                for (given, rank) in given.iter_mut().zip(ranks(&score)) {
                    *given += share * rank;
                }
            }
            for (vote, rank) in ballot.votes.iter_mut().zip(&given) {
                *vote -= member.weight * if self.recipe.rule == Rule::Rank { *rank } else { rank.ln() };
            }
            ballot.ranks.push(given);
        }
        if self.recipe.score == Score::Mixture {
            let bound = |(mean, square): &(f64, f64)| mean + self.recipe.kappa * (square - mean * mean).max(0.0).sqrt();
            ballot.votes = mixture.iter().map(bound).collect();
        }
        ballot
    }

    /// What a member ranks candidates by, and how much each of the lists counts. With a cost, only improvement has a sense:
    /// a bound in the unit of the values is no amount that could be divided.
    fn scores(&self, member: &Member, predicted: &[(f64, f64)], costs: Option<&[f64]>) -> Vec<(Vec<f64>, f64)> {
        let bound = || predicted.iter().map(|(mean, sd)| mean + self.recipe.kappa * sd).collect();
        let gain = || -> Vec<f64> { predicted.iter().map(|at| member.log_gain(*at)).collect() };
        if let Some(costs) = costs {
            return vec![(gain().iter().zip(costs).map(|(gain, cost)| gain - cost).collect(), 1.0)];
        }
        match self.recipe.score {
            Score::Bound => vec![(bound(), 1.0)],
            Score::Improvement => vec![(gain(), 1.0)],
            Score::Both | Score::Mixture => vec![(bound(), 0.5), (gain(), 0.5)],
        }
    }

    /// Mean and sd of the mixture of the members at a point.
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let (mut mean, mut square) = (0.0, 0.0);
        for member in self.members.iter().filter(|member| member.weight > 0.0) {
            let (at, sd) = member.predict(point);
            mean += member.weight * at;
            square += member.weight * (sd * sd + at * at);
        }
        (mean, (square - mean * mean).max(0.0).sqrt())
    }

    /// Variance of a reading around the noise-free value, as the members see it.
    pub(crate) fn noise_variance(&self) -> f64 {
        self.members.iter().map(|member| member.weight * member.noise).sum()
    }

    /// Σ weight · ln EI of the members' predictions at a point: what picks are compared by where no ranks can be.
    pub fn log_gain(&self, point: &[f64]) -> f64 {
        let active = self.members.iter().filter(|member| member.weight > 0.0);
        active.map(|member| member.weight * member.log_gain(member.predict(point))).sum()
    }

    /// The committee after believing that a point turns out as each member expects.
    pub fn believe(&self, point: &[f64]) -> Committee {
        let mut committee = self.clone();
        let expected = self.predict(point).0;
        committee.readings.push(point, expected, 0.0);
        for member in &mut committee.members {
            let believed = member.predict(point).0;
            match &mut member.model {
                // A point that cannot be appended is one that is known already.
                Model::Process(process) => {
                    if let Ok(appended) = process.believe(point) {
                        **process = appended;
                    }
                }
                Model::Forest(forest) => {
                    let mut values = self.readings.value.clone();
                    values.push(believed);
                    let mut rng = stream(self.seed.0, self.seed.1, Purpose::Forest);
                    *forest = Forest::fit(&committee.readings.x, committee.readings.dimensions, &values, &mut rng);
                }
                Model::Chain(chain) => **chain = chain.believe(point),
            }
            member.best = member.best.max(believed);
        }
        committee
    }

    /// A first look at many candidates: the upper bound of the strongest process, appended to `scores`.
    pub(crate) fn screen(&self, rows: &[f64], scores: &mut Vec<f64>) {
        let Some((process, _)) = self.strongest_process() else {
            scores.extend(rows.chunks_exact(self.dimensions()).map(|row| self.predict(row).0));
            return;
        };
        let mut predicted = Vec::new();
        process.predict_rows(rows, &mut predicted);
        scores.extend(predicted.iter().map(|(mean, sd)| mean + self.recipe.kappa * sd));
    }

    /// The Gaussian process with the most votes and its best posterior mean; a dismissed one where all are.
    pub(crate) fn strongest_process(&self) -> Option<(&GaussianProcess, f64)> {
        let processes = self.members.iter().filter_map(|member| match &member.model {
            Model::Process(process) => Some((member.weight, process.as_ref(), member.best)),
            Model::Forest(_) | Model::Chain(_) => None,
        });
        let strongest = processes.reduce(|best, next| if next.0 > best.0 { next } else { best });
        strongest.map(|(_, process, best)| (process, best))
    }

    /// The chain of fidelities, if it votes.
    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.members.iter().filter(|member| member.weight > 0.0).find_map(|member| match &member.model {
            Model::Chain(chain) => Some(chain.as_ref()),
            Model::Process(_) | Model::Forest(_) => None,
        })
    }

    /// Calibration of the members' left-out predictions, of those that vote; the one with the most votes first.
    pub(crate) fn leader(&self) -> &Member {
        let first = &self.members[0];
        self.members.iter().fold(first, |best, next| if next.weight > best.weight { next } else { best })
    }
}

impl Member {
    pub(crate) fn predict(&self, point: &[f64]) -> (f64, f64) {
        match &self.model {
            Model::Process(process) => {
                let (mean, variance) = process.predict(point);
                (mean, variance.sqrt())
            }
            Model::Forest(forest) => forest.predict(point),
            Model::Chain(chain) => {
                let look = chain.look(point);
                (look.mean, look.variance.sqrt())
            }
        }
    }

    pub(crate) fn predict_rows(&self, rows: &[f64], out: &mut Vec<(f64, f64)>) {
        match &self.model {
            Model::Process(process) => process.predict_rows(rows, out),
            Model::Forest(forest) => forest.predict_rows(rows, out),
            Model::Chain(chain) => chain.look_many(rows, chain.dimensions(), out),
        }
    }

    /// A prediction with its slopes; `None` where the model has none.
    pub(crate) fn predict_with_slopes(&self, point: &[f64]) -> Option<Sloped> {
        match &self.model {
            Model::Process(process) => Some(process.predict_with_slopes(point)),
            Model::Chain(chain) => Some(chain.predict_with_slopes(point)),
            Model::Forest(_) => None,
        }
    }

    fn best_at(&self, rows: &[f64]) -> f64 {
        let mut predicted = Vec::new();
        self.predict_rows(rows, &mut predicted);
        predicted.iter().map(|(mean, _)| *mean).fold(f64::NEG_INFINITY, f64::max)
    }

    /// ln EI over the best posterior mean. The sd of a forest vanishes away from splits, hence the floor.
    pub(crate) fn log_gain(&self, (mean, sd): (f64, f64)) -> f64 {
        log_expected_improvement(mean, sd.max(1e-9 * self.best.abs().max(1e-3)), self.best)
    }
}

fn fit_process(readings: &Readings, prior: Prior, warm: Option<&Hyperparameters>) -> Result<GaussianProcess, GpError> {
    let starts = match (readings.len(), warm) {
        (0..=30, _) => 3,
        (31..=60, _) => 2,
        (_, Some(_)) => 0,
        _ => 1,
    };
    GaussianProcess::fit_readings(readings.clone(), FitOptions { prior, warm, starts, pool: true })
}

/// A forest and its out-of-bag predictions, whose sd counts the scatter that the trees do not explain.
fn fit_forest(readings: &Readings, (seed, step): (u64, u64)) -> (Model, Vec<LeaveOneOut>, f64) {
    let forest =
        Forest::fit(&readings.x, readings.dimensions, &readings.value, &mut stream(seed, step, Purpose::Forest));
    let (centre, scale) = readings.moments();
    let seen = forest.out_of_bag().iter().zip(&readings.value);
    let excess: Vec<f64> = seen.clone().filter_map(|(bag, y)| bag.map(|(mean, v)| (y - mean).powi(2) - v)).collect();
    // Its own errors tell the noise that trees do not show; never below 3 % of the scale.
    let noise = (excess.iter().sum::<f64>() / (excess.len() as f64).max(1.0)).max(1e-3 * scale * scale);
    let left_out = seen.map(|(bag, value)| {
        let (mean, variance) = bag.unwrap_or((centre, scale * scale));
        LeaveOneOut { value: *value, mean, sd: (variance + noise).sqrt() }
    });
    let left_out = left_out.collect();
    (Model::Forest(forest), left_out, noise)
}

/// ln N(value; mean, sd²) in units of `scale`, up to a constant.
fn log_density(one: &LeaveOneOut, scale: f64) -> f64 {
    -0.5 * ((one.value - one.mean) / one.sd).powi(2) - (one.sd / scale).ln()
}

/// Ranks, 1 for the largest score; equal scores share their mean rank.
pub(crate) fn ranks(score: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    let mut rank = vec![0.0; score.len()];
    let mut at = 0;
    while at < order.len() {
        let mut end = at + 1;
        while end < order.len() && score[order[end]] == score[order[at]] {
            end += 1;
        }
        for slot in &order[at..end] {
            rank[*slot] = 0.5 * (at + end + 1) as f64;
        }
        at = end;
    }
    rank
}

/// Shares of the votes: the mean over bootstrap weights of the observations of exp(Σ_i n α_i ln p_i), normalised.
fn weights(densities: &[Vec<f64>], recipe: &Recipe, rng: &mut ChaCha12Rng) -> Vec<f64> {
    let (members, count) = (densities.len(), densities[0].len());
    let mut share = vec![0.0; members];
    for _ in 0..DRAWS {
        // Exponential variates over their sum are Dirichlet(1, …, 1).
        let alpha: Vec<f64> = (0..count).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
        let scale = recipe.temper * count as f64 / alpha.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let sum = |density: &Vec<f64>| density.iter().zip(&alpha).map(|(p, a)| p * a).sum::<f64>() * scale;
        let logs: Vec<f64> = densities.iter().map(sum).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - top).exp()).sum();
        for (share, log) in share.iter_mut().zip(logs) {
            *share += (log - top).exp() / total / DRAWS as f64;
        }
    }
    if share.iter().any(|share| !share.is_finite()) {
        return vec![1.0 / members as f64; members];
    }
    let kept = share.iter().filter(|share| **share >= DISMISSED).count() as f64;
    let lost: f64 = share.iter().filter(|share| **share < DISMISSED).sum();
    let voted = |share: f64| recipe.equal / kept + (1.0 - recipe.equal) * share / (1.0 - lost);
    share.iter().map(|share| if *share < DISMISSED { 0.0 } else { voted(*share) }).collect()
}
