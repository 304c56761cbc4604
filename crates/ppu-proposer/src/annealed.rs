//! The annealed proposer: the prior tilted by the twin, as far as it may be.

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::{Candidate, DesignSpace};
use ppu_twin::{Corrections, Fidelity, Tracking, Twin};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::anneal::InformationBudget;
use crate::contract::{
    BudgetLimit, Condition, Diagnostics, LogDensity, Offer, Offered, ProposalProvenance, ProposeError, Proposer,
    Refusal,
};
use crate::prior::{PriorProposer, draw, key};
use crate::smc::{Energy, Landscape, Population, Schedule, anneal, races, spread, start};
use crate::utility::Utility;

/// How the prior is tilted, and when the result is withheld.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnnealSettings {
    /// Particles in one population.
    pub particles: usize,
    /// Independent populations, at least 2; their spread is what shows a bad run.
    pub populations: usize,
    /// Moves of every particle at every level.
    pub moves: usize,
    /// Conditional effective sample size of a step, as a share.
    pub conditional_ess: f64,
    /// Largest exponent of the score; the budget normally stops first.
    pub max_beta: f64,
    /// Promise gap that is tolerated, nats of U: how much better the twin's picks may look than they are.
    pub tolerance: f64,
    /// Share of the offer that is drawn from the prior all the same.
    pub defence: f64,
    /// Largest standard deviation of ln Z over populations.
    pub most_disagreement: f64,
    /// Smallest acceptance at the last level.
    pub least_acceptance: f64,
    /// Smallest share of distinct ancestors.
    pub least_ancestors: f64,
    /// Largest share of the prior that the twin may refuse.
    pub most_refused: f64,
}

impl Default for AnnealSettings {
    fn default() -> Self {
        AnnealSettings {
            particles: 256,
            populations: 4,
            moves: 5,
            conditional_ess: 0.95,
            max_beta: 200.0,
            tolerance: 0.5,
            defence: 0.1,
            most_disagreement: 0.3,
            least_acceptance: 0.05,
            least_ancestors: 0.1,
            most_refused: 0.2,
        }
    }
}

/// Draws from q(x) · score(x)^β, where the score is the twin's and β follows from an information budget.
pub struct AnnealedProposer<'a> {
    /// The twin.
    pub twin: &'a dyn Twin,
    /// Its level.
    pub fidelity: Fidelity,
    /// What the campaign has taught about it.
    pub corrections: &'a Corrections,
    /// How far it has gone with the laboratory, observable by observable; as declared where nothing is known.
    pub tracking: &'a BTreeMap<String, Tracking>,
    /// How far to go.
    pub settings: AnnealSettings,
}

/// The twin's landscape over a design space, in the unit coordinates of the free parameters.
struct Film<'a> {
    space: &'a DesignSpace,
    utility: &'a Utility<'a>,
}

impl Landscape for Film<'_> {
    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Vec<f64>> {
        draw(self.space, rng).ok()
    }

    fn energy(&self, point: &[f64]) -> Energy {
        if point.iter().any(|u| !(0.0..=1.0).contains(u)) {
            return Energy::Outside;
        }
        let Some(candidate) = self.space.from_unit(point) else { return Energy::Outside };
        match self.utility.energy(&candidate) {
            Ok(energy) => Energy::Value(energy),
            Err(refusal) => Energy::Refused(refusal.kind()),
        }
    }
}

impl Proposer for AnnealedProposer<'_> {
    fn name(&self) -> &str {
        "annealed"
    }

    fn sample(&self, n: usize, condition: &Condition<'_>, rng: &mut ChaCha12Rng) -> Result<Offer, ProposeError> {
        let fall_back = |refusal, diagnostics, rng: &mut ChaCha12Rng| {
            let offer = PriorProposer.sample(n, condition, rng)?;
            Ok(Offer { refusal: Some(refusal), diagnostics, ..offer })
        };
        // Also finds out whether the space has any point at all.
        draw(condition.space, rng)?;
        let Some(utility) = Utility::new(self.twin, self.fidelity, self.corrections, condition.objectives) else {
            return fall_back(Refusal::NothingPredicted, None, rng);
        };
        let landscape = Film { space: condition.space, utility: &utility };
        let limit = self.settings.most_refused;
        let Some(first) = start(&landscape, self.settings.particles.max(2), rng) else {
            return fall_back(Refusal::TwinRefuses { share: 1.0, limit, mostly: "everything".into() }, None, rng);
        };
        let share = first.drawn.1 as f64 / first.drawn.0 as f64;
        if share > limit {
            let mostly = first.refusal.clone().unwrap_or_default();
            return fall_back(Refusal::TwinRefuses { share, limit, mostly }, None, rng);
        }
        let (populations, diagnostics) = self.anneal_all(&landscape, first, rng);
        if let Some(refusal) = self.refuse(&diagnostics) {
            return fall_back(refusal, Some(diagnostics), rng);
        }
        let mut offered = self.choose(n, condition, &utility, &populations, rng);
        let defence = n - offered.len().min(n);
        offered.extend(defend(defence, condition, &offered, rng)?);
        Ok(Offer { offered, diagnostics: Some(diagnostics), refusal: None })
    }
}

impl AnnealedProposer<'_> {
    /// The first population finds β from the budget, the others go to the same β.
    fn anneal_all(
        &self,
        landscape: &Film<'_>,
        first: Population,
        rng: &mut ChaCha12Rng,
    ) -> (Vec<Population>, Diagnostics) {
        let settings = &self.settings;
        let particles = first.points.len();
        let sigma = spread(first.energies.iter().copied());
        let correlation = landscape.utility.correlation(self.tracking);
        let InformationBudget { nats: budget, limit } =
            InformationBudget::new(particles, settings.tolerance, correlation, sigma);
        let schedule = Schedule {
            particles,
            moves: settings.moves,
            conditional_ess: settings.conditional_ess,
            max_beta: settings.max_beta,
            budget,
        };
        let mut populations = vec![anneal(landscape, first, &schedule, rng)];
        let limit = if populations[0].beta >= settings.max_beta { BudgetLimit::Exponent } else { limit };
        let schedule = Schedule { max_beta: populations[0].beta, budget: f64::INFINITY, ..schedule };
        for _ in 1..settings.populations.max(2) {
            let mut own = ChaCha12Rng::seed_from_u64(rng.next_u64());
            if let Some(fresh) = start(landscape, particles, &mut own) {
                populations.push(anneal(landscape, fresh, &schedule, &mut own));
            }
        }
        let of = |value: fn(&Population) -> f64| populations.iter().map(value);
        let least = |value: fn(&Population) -> f64| of(value).fold(f64::INFINITY, f64::min);
        let highest = of(|p| p.ln_z).fold(f64::NEG_INFINITY, f64::max);
        let count = populations.len() as f64;
        let drawn: (u64, u64) = populations.iter().fold((0, 0), |sum, p| (sum.0 + p.drawn.0, sum.1 + p.drawn.1));
        let diagnostics = Diagnostics {
            particles,
            populations: populations.len(),
            levels: populations[0].levels,
            beta: populations[0].beta,
            information: of(|p| p.information).sum::<f64>() / count,
            budget,
            limit,
            correlation,
            spread: sigma,
            ln_z: highest + (of(|p| p.ln_z).map(|ln_z| (ln_z - highest).exp()).sum::<f64>() / count).ln(),
            ln_z_sd: spread(of(|p| p.ln_z)),
            least_ess: least(|p| p.least_ess),
            acceptance: least(|p| p.acceptance),
            ancestors: least(|p| p.ancestors),
            twin_refused: drawn.1 as f64 / drawn.0.max(1) as f64,
            calls: populations.iter().map(|p| p.calls).sum(),
        };
        (populations, diagnostics)
    }

    fn refuse(&self, found: &Diagnostics) -> Option<Refusal> {
        let settings = &self.settings;
        if found.ln_z_sd > settings.most_disagreement {
            Some(Refusal::Disagreement { sd: found.ln_z_sd, limit: settings.most_disagreement })
        } else if found.acceptance < settings.least_acceptance {
            Some(Refusal::Stuck { acceptance: found.acceptance, limit: settings.least_acceptance })
        } else if found.ancestors < settings.least_ancestors {
            Some(Refusal::Impoverished { ancestors: found.ancestors, limit: settings.least_ancestors })
        } else {
            None
        }
    }

    /// Distinct candidates from the union of the populations, each weighted by its Z, drawn without replacement.
    fn choose(
        &self,
        n: usize,
        condition: &Condition<'_>,
        utility: &Utility<'_>,
        populations: &[Population],
        rng: &mut ChaCha12Rng,
    ) -> Vec<Offered> {
        let wanted = n - ((n as f64 * self.settings.defence).round() as usize).min(n);
        let highest = populations.iter().map(|p| p.ln_z).fold(f64::NEG_INFINITY, f64::max);
        let mut weights: BTreeMap<Vec<u64>, (Candidate, f64)> = BTreeMap::new();
        for population in populations {
            for candidate in population.points.iter().filter_map(|point| condition.space.from_unit(point)) {
                weights.entry(key(&candidate)).or_insert((candidate, 0.0)).1 += (population.ln_z - highest).exp();
            }
        }
        let total: f64 = weights.values().map(|(_, weight)| weight).sum();
        let first = races(weights.into_values(), rng).into_iter().take(wanted);
        let beta = populations[0].beta;
        let offered = first.filter_map(|(_, candidate, weight)| {
            let (evaluation, score) = utility.score(&candidate).ok()?;
            let weight = weight / total;
            let provenance = ProposalProvenance {
                proposer: self.name().into(),
                seed: condition.seed,
                round: condition.round,
                temperature: (beta > 0.0).then(|| 1.0 / beta),
                twin: Some(evaluation),
            };
            let log_q = LogDensity::UpToConstant(beta * score.max(1e-9).ln());
            let reason = format!("drawn with score^{beta:.1}; the twin expects a score of {score:.2}");
            Some(Offered { candidate, weight, log_q, provenance, reason })
        });
        offered.collect()
    }
}

/// Points of the prior that are not offered yet, so that a misled twin cannot hide a part of the space.
pub(crate) fn defend(
    count: usize,
    condition: &Condition<'_>,
    offered: &[Offered],
    rng: &mut ChaCha12Rng,
) -> Result<Vec<Offered>, ProposeError> {
    let known: BTreeSet<Vec<u64>> = offered.iter().map(|one| key(&one.candidate)).collect();
    let mut drawn = PriorProposer.sample(count, condition, rng)?.offered;
    drawn.retain(|one| !known.contains(&key(&one.candidate)));
    // These are no members of the tilted population.
    drawn.iter_mut().for_each(|one| one.weight = 0.0);
    Ok(drawn)
}
