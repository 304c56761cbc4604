//! The flow in a round of a campaign: what it is taught, and how its draws are tilted.
//!
//! The target is π(x) ∝ q(x) · score(x)^β with q the flow's own density, so that score^β alone is the proper weight of a draw
//! from q. β is the largest whose KL(π ‖ q) stays within the information budget and whose weights keep an effective sample.

use std::collections::BTreeMap;

use ppu_core::objective::score;
use ppu_core::{ArtifactHash, Candidate};
use ppu_optimizer::{Trial, TrialOutcome};
use rand::Rng;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::model::{FlowSettings, LEAST_POINTS};
use super::proposer::FlowProposer;
use crate::anneal::{InformationBudget, effective_sample_size, log_mean_exp};
use crate::annealed::{AnnealSettings, AnnealedProposer, defend};
use crate::contract::{
    BudgetLimit, Condition, LogDensity, Offer, Offered, ProposalProvenance, ProposeError, Proposer, Refusal,
};
use crate::prior::key;
use crate::smc::{races, spread};
use crate::utility::Utility;

/// Draws from the flow in a round: twice what is offered and more, so that the tilt has something to choose from.
const DRAWS: usize = 1024;
/// Width and steps that teach some six parameters and draw from them within 2 s on one core; a few hundred points of a smooth
/// score hold no more than 2,500 parameters can tell.
const SETTINGS: FlowSettings = FlowSettings { width: 32, steps: 400, batch: 64, rate: 3e-3 };
/// Least effective share of weighted draws: below it a few draws speak for all.
const LEAST_ESS: f64 = 0.1;

/// Offers what a flow draws that was taught by the campaign's own observations and by samples of the twin.
pub struct TaughtProposer<'a> {
    /// Gives the samples of the twin; its twin, corrections and record are those of the tilt.
    pub annealed: AnnealedProposer<'a>,
    /// What became of the campaign's trials.
    pub trials: &'a [Trial],
}

/// How the flow of a round was taught and tilted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRound {
    /// Complete observations of the campaign among the lessons.
    pub observations: usize,
    /// Distinct samples of the twin among the lessons; of the prior where the annealing was refused.
    pub samples: usize,
    /// Hash of the flow's weights; `None` where the lessons were too few and it stayed the prior.
    pub weights: Option<ArtifactHash>,
    /// How its draws were tilted.
    pub tilt: Tilt,
    /// Draws that were made, those that the twin refused included.
    pub draws: usize,
}

/// Proper weights score^β of draws from a proposer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tilt {
    /// Exponent of the score.
    pub beta: f64,
    /// KL(tilted ‖ proposer), nats.
    pub information: f64,
    /// Information that was allowed, nats.
    pub budget: f64,
    /// What limited it; the population where the effective sample size did.
    pub limit: BudgetLimit,
    /// Effective sample size of the weights, draws.
    pub ess: f64,
}

impl Tilt {
    /// The strongest tilt of equally weighted draws with these energies U = −ln(score) that the budget allows.
    pub fn within(energies: &[f64], budget: InformationBudget, max_beta: f64) -> Tilt {
        if energies.is_empty() {
            let InformationBudget { nats: budget, limit } = budget;
            return Tilt { beta: 0.0, information: 0.0, budget, limit, ess: 0.0 };
        }
        let least = LEAST_ESS * energies.len() as f64;
        let at = |beta: f64| {
            let ln_z = log_mean_exp(energies.iter().map(|energy| -beta * energy));
            let weight = |energy: f64| (-beta * energy - ln_z).exp() / energies.len() as f64;
            let mean = energies.iter().map(|energy| weight(*energy) * energy).sum::<f64>();
            let ess = effective_sample_size(energies.iter().map(|energy| -beta * energy));
            Tilt { beta, information: (-beta * mean - ln_z).max(0.0), budget: budget.nats, limit: budget.limit, ess }
        };
        let allowed = |tilt: &Tilt| tilt.information <= budget.nats && tilt.ess >= least;
        let whole = at(max_beta);
        if allowed(&whole) {
            return Tilt { limit: BudgetLimit::Exponent, ..whole };
        }
        // Both figures are monotone in β. 60 halvings exhaust the digits.
        let (mut low, mut high) = (0.0, max_beta);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if allowed(&at(middle)) { low = middle } else { high = middle }
        }
        let starved = at(high).ess < least;
        Tilt { limit: if starved { BudgetLimit::Population } else { budget.limit }, ..at(low) }
    }
}

/// What the flow learns from, with its weights, and where it comes from.
struct Lessons {
    weighted: Vec<(Candidate, f64)>,
    observations: usize,
    samples: usize,
}

impl TaughtProposer<'_> {
    /// Up to `n` candidates, and how the flow was taught. Annealing, teaching and drawing follow from the generator alone.
    ///
    /// # Errors
    /// [`ProposeError`] where the space has no candidate.
    pub fn offer(
        &self,
        n: usize,
        condition: &Condition<'_>,
        rng: &mut ChaCha12Rng,
    ) -> Result<(Offer, FlowRound), ProposeError> {
        let annealed = &self.annealed;
        let settings = AnnealSettings { defence: 0.0, ..annealed.settings };
        let all = settings.particles * settings.populations;
        let samples = AnnealedProposer { settings, ..*annealed }.sample(all, condition, rng)?;
        let utility = Utility::new(annealed.twin, annealed.fidelity, annealed.corrections, condition.objectives);
        let lessons = self.lessons(condition, &samples, utility.as_ref());
        let flow = FlowProposer::learn(condition.space, &lessons.weighted, &SETTINGS, rng.next_u64())?;
        let drawn = (0..DRAWS).map(|_| flow.draw(condition.space, rng)).collect::<Result<Vec<_>, _>>()?;
        let pool = Pool::new(&drawn, condition, utility.as_ref());
        let tilt = pool.tilt(utility.as_ref(), annealed);
        let round = FlowRound {
            observations: lessons.observations,
            samples: lessons.samples,
            weights: flow.flow().map(super::Flow::hash),
            tilt,
            draws: drawn.len(),
        };
        let wanted = n - ((n as f64 * annealed.settings.defence).round() as usize).min(n);
        let chosen = without_replacement(pool.weighted(tilt.beta), wanted, rng);
        let mut offered: Vec<Offered> =
            chosen.into_iter().map(|(drawn, weight)| round.offered(drawn, weight, &flow, condition)).collect();
        offered.extend(defend(n - offered.len(), condition, &offered, rng)?);
        Ok((Offer { offered, diagnostics: samples.diagnostics, refusal: samples.refusal }, round))
    }

    /// Observations count by their measured score, samples of the twin by their weight. All of the samples together count as
    /// [`LEAST_POINTS`] observations of their expected score: they keep a young flow from learning a few points by heart,
    /// and what was measured prevails as the campaign goes on.
    fn lessons(&self, condition: &Condition<'_>, samples: &Offer, utility: Option<&Utility<'_>>) -> Lessons {
        let measured = self.trials.iter().filter_map(|trial| {
            let TrialOutcome::Valid(observation) = &trial.outcome else { return None };
            let values = observation.complete(condition.objectives)?;
            // A point from before people narrowed the space teaches nothing about what is left of it.
            condition.space.check(&trial.candidate).ok()?;
            Some((trial.candidate.clone(), score(condition.objectives, &values)))
        });
        let mut weighted: Vec<(Candidate, f64)> = measured.filter(|(_, score)| *score > 0.0).collect();
        let observations = weighted.len();
        // Where the annealing was refused these are draws from the prior; what is known weighs them.
        let tilted = samples.refusal.is_none();
        let known = samples.offered.iter().filter(|one| one.weight > 0.0).filter_map(|one| {
            let expected = match utility {
                Some(utility) => utility.score(&one.candidate).ok()?.1,
                None => 1.0,
            };
            Some((&one.candidate, if tilted { one.weight } else { one.weight * expected }, expected))
        });
        let known: Vec<(&Candidate, f64, f64)> = known.filter(|(_, weight, _)| *weight > 0.0).collect();
        let total: f64 = known.iter().map(|(_, weight, _)| weight).sum();
        let expected: f64 = known.iter().map(|(_, weight, expected)| weight / total * expected).sum();
        let share = LEAST_POINTS as f64 * expected / total;
        weighted.extend(known.iter().map(|(candidate, weight, _)| ((*candidate).clone(), share * weight)));
        Lessons { samples: weighted.len() - observations, observations, weighted }
    }
}

/// A distinct candidate that the flow drew.
#[derive(Debug, Clone)]
struct Drawn {
    candidate: Candidate,
    unit: Vec<f64>,
    learnt: bool,
    times: f64,
    energy: f64,
}

/// What was drawn and not refused: cells of the grid with the number of their draws.
struct Pool(Vec<Drawn>);

impl Pool {
    fn new(drawn: &[(Vec<f64>, bool)], condition: &Condition<'_>, utility: Option<&Utility<'_>>) -> Pool {
        let mut cells: BTreeMap<Vec<u64>, Drawn> = BTreeMap::new();
        for (unit, learnt) in drawn {
            let Some(candidate) = condition.space.from_unit(unit) else { continue };
            let cell = key(&candidate);
            if let Some(known) = cells.get_mut(&cell) {
                known.times += 1.0;
                continue;
            }
            let energy = match utility.map(|utility| utility.energy(&candidate)) {
                Some(Err(_)) => continue,
                Some(Ok(energy)) => energy,
                None => 0.0,
            };
            cells.insert(cell, Drawn { candidate, unit: unit.clone(), learnt: *learnt, times: 1.0, energy });
        }
        Pool(cells.into_values().collect())
    }

    /// Without anybody who could judge, β is 0.
    fn tilt(&self, utility: Option<&Utility<'_>>, annealed: &AnnealedProposer<'_>) -> Tilt {
        let repeated = |one: &Drawn| std::iter::repeat_n(one.energy, one.times as usize);
        let energies: Vec<f64> = self.0.iter().flat_map(repeated).collect();
        let settings = &annealed.settings;
        let correlation = utility.map_or(0.0, |utility| utility.correlation(annealed.tracking));
        let sigma = spread(energies.iter().copied());
        let budget = InformationBudget::new(energies.len().max(2), settings.tolerance, correlation, sigma);
        Tilt::within(&energies, budget, if utility.is_some() { settings.max_beta } else { 0.0 })
    }

    fn weighted(self, beta: f64) -> Vec<(Drawn, f64)> {
        let least = self.0.iter().map(|one| one.energy).fold(f64::INFINITY, f64::min);
        let weight = |one: &Drawn| one.times * (-beta * (one.energy - least)).exp();
        self.0.into_iter().map(|one| (weight(&one), one)).map(|(weight, one)| (one, weight)).collect()
    }
}

/// A weighted sample without replacement whose new weights sum to 1 and still estimate sums over all: in a race whoever rings before the first that is left out, at τ, did so with probability
/// 1 − exp(−wτ), by which its weight is divided (Cohen and Kaplan 2007).
fn without_replacement<T>(weighted: Vec<(T, f64)>, count: usize, rng: &mut ChaCha12Rng) -> Vec<(T, f64)> {
    let mut races = races(weighted.into_iter().filter(|(_, weight)| *weight > 0.0), rng);
    let threshold = races.get(count).map_or(f64::INFINITY, |(rings, _, _)| *rings);
    races.truncate(count);
    let mut chosen: Vec<(T, f64)> =
        races.into_iter().map(|(_, one, weight)| (one, weight / -(-weight * threshold).exp_m1())).collect();
    let total: f64 = chosen.iter().map(|(_, weight)| weight).sum();
    chosen.iter_mut().for_each(|(_, weight)| *weight /= total);
    chosen
}

impl FlowRound {
    fn offered(&self, drawn: Drawn, weight: f64, flow: &FlowProposer, condition: &Condition<'_>) -> Offered {
        let (taught, beta) = (self.taught(), self.tilt.beta);
        let reason = match (self.weights.is_some(), drawn.learnt) {
            (false, _) => format!("drawn uniformly: {taught} are too few to teach a flow"),
            (true, true) => format!("drawn with score^{beta:.1} from a flow taught by {taught}"),
            (true, false) => format!("drawn with score^{beta:.1} beside the flow taught by {taught}"),
        };
        let log_q: LogDensity = flow.log_q(condition.space, &drawn.unit);
        let provenance = ProposalProvenance {
            proposer: if drawn.learnt { flow.name().into() } else { "prior".into() },
            seed: condition.seed,
            round: condition.round,
            temperature: (beta > 0.0).then(|| 1.0 / beta),
            twin: None,
        };
        Offered { candidate: drawn.candidate, weight, log_q, provenance, reason }
    }

    fn taught(&self) -> String {
        format!("{} observations and {} samples of the twin", self.observations, self.samples)
    }

    /// What people should know of the flow in this round; `refusal` is that of the annealing which should have taught it.
    pub fn remark(&self, refusal: Option<&Refusal>) -> String {
        let Tilt { beta, information, ess, .. } = self.tilt;
        let taught = match refusal {
            Some(refusal) => format!("{}, drawn from the prior: {refusal}", self.taught()),
            None => self.taught(),
        };
        match &self.weights {
            Some(hash) => format!(
                "flow {} taught by {taught}; tilted by score^{beta:.1}, {information:.2} nats, effective sample {ess:.0} of {}",
                &hash.to_string()[..8],
                self.draws
            ),
            None => format!("the flow stays the prior: {taught} are too few"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::PriorProposer;
    use ppu_core::{DesignSpace, Parameter, Unit};
    use rand::SeedableRng;

    fn square() -> DesignSpace {
        let side = |name: &str| Parameter {
            name: name.into(),
            unit: Unit::One,
            min: 0.0,
            max: 1.0,
            resolution: 0.0,
            log: false,
        };
        DesignSpace { parameters: vec![side("x"), side("y")], mixtures: vec![] }
    }

    /// A hill at (0.7, 0.3) on a plain.
    fn merit(unit: &[f64]) -> f64 {
        0.05 + 0.95 * (-8.0 * ((unit[0] - 0.7).powi(2) + (unit[1] - 0.3).powi(2))).exp()
    }

    /// A small flow that leans towards the hill without standing on it.
    fn leaning(space: &DesignSpace) -> FlowProposer {
        let condition = Condition { space, objectives: &[], seed: 1, round: 0 };
        let drawn = PriorProposer.sample(150, &condition, &mut ChaCha12Rng::seed_from_u64(1)).unwrap().offered;
        let lesson = |one: Offered| {
            let unit = space.to_unit(&one.candidate).unwrap();
            (one.candidate, 0.2 + unit[0])
        };
        let lessons: Vec<(Candidate, f64)> = drawn.into_iter().map(lesson).collect();
        let settings = FlowSettings { width: 8, steps: 150, batch: 32, rate: 1e-2 };
        FlowProposer::learn(space, &lessons, &settings, 3).unwrap()
    }

    #[test]
    fn the_weighted_mean_of_an_offer_is_the_tilted_expectation() {
        const BETA: f64 = 2.0;
        let space = square();
        let flow = leaning(&space);
        let (mut above, mut below, mut untilted, cells) = (0.0, 0.0, 0.0, 50);
        for cell in 0..cells * cells {
            let unit = [cell / cells, cell % cells].map(|at| (f64::from(at) + 0.5) / f64::from(cells));
            let LogDensity::Exact(log_q) = flow.log_q(&space, &unit) else { panic!("nothing is rounded") };
            let mass = log_q.exp() * merit(&unit).powf(BETA);
            (above, below) = (above + mass * merit(&unit), below + mass);
            untilted += log_q.exp() * merit(&unit) / f64::from(cells * cells);
        }
        let exact = above / below;
        let condition = Condition { space: &space, objectives: &[], seed: 1, round: 0 };
        let estimates: Vec<f64> = (0..12)
            .map(|seed| {
                let mut rng = ChaCha12Rng::seed_from_u64(seed);
                let drawn: Vec<_> = (0..400).map(|_| flow.draw(&space, &mut rng).unwrap()).collect();
                let mut pool = Pool::new(&drawn, &condition, None);
                pool.0.iter_mut().for_each(|one| one.energy = -merit(&one.unit).ln());
                let chosen = without_replacement(pool.weighted(BETA), 150, &mut rng);
                assert!((chosen.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-9);
                chosen.iter().map(|(one, weight)| weight * merit(&one.unit)).sum()
            })
            .collect();
        let mean = estimates.iter().sum::<f64>() / 12.0;
        let error = spread(estimates.iter().copied()) / 12.0_f64.sqrt();
        assert!((mean - exact).abs() < 3.0 * error && error < 0.01, "{mean} +- {error}, exactly {exact}");
        // A weight that is left out would show.
        assert!(exact - untilted > 10.0 * error, "{exact} {untilted} {error}");
    }

    #[test]
    fn the_tilt_keeps_to_its_budget_and_to_an_effective_sample() {
        let energies: Vec<f64> = (0..1000).map(|at| f64::from(at) * 0.005).collect();
        let budget = |nats| InformationBudget { nats, limit: BudgetLimit::Twin };
        let spent = Tilt::within(&energies, budget(0.5), 200.0);
        assert!((spent.information - 0.5).abs() < 1e-6 && spent.limit == BudgetLimit::Twin, "{spent:?}");
        // Uniform energies tilted far are exponential: KL → ln(βR) − 1 with R = 5 nats.
        let starved = Tilt::within(&energies, budget(6.0), 200.0);
        assert!((starved.ess - 100.0).abs() < 0.1 && starved.limit == BudgetLimit::Population, "{starved:?}");
        let free = Tilt::within(&energies, budget(6.0), 0.5);
        assert!(free.beta == 0.5 && free.limit == BudgetLimit::Exponent, "{free:?}");
        assert_eq!(Tilt::within(&[], budget(1.0), 200.0).beta, 0.0);
    }
}
