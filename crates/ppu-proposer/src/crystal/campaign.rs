//! A closed loop against a replay: propose, look up, learn, propose again.

use std::collections::BTreeSet;

use ppu_optimizer::gp::{FitOptions, GaussianProcess, GpError, Hyperparameters};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::listed::{CrystalProposal, CrystalProvenance, Listed, ReferenceSet, Verdict};
use super::perovskite::Assessment;
use super::replay::{ReplayLab, Target};
use super::steer::{Beliefs, SteerSettings, steer};
use crate::anneal::{AnnealRefusal, FactorTable, Figures, StudyError, stream};
use crate::contract::LogDensity;

/// Observations that the surrogate is conditioned on; a factorisation costs O(n³).
const REMEMBERED: usize = 120;
/// Observations before a surrogate is asked at all.
const LEAST_OBSERVED: usize = 10;
/// Gaps above this are all alike to the search, eV.
const WIDE_GAP: f64 = 4.5;

/// How candidates are chosen.
#[derive(Debug, Clone, Copy)]
pub enum Policy<'a> {
    /// Drawn from a distribution without replacement.
    Draw(&'a Listed),
    /// By probability, the highest first.
    Rank(&'a Listed),
    /// Annealed from a prior towards what a surrogate on these features (a row a candidate, 0 to 1) has learnt.
    Steer {
        /// The prior.
        prior: &'a Listed,
        /// Features.
        features: &'a [Vec<f64>],
    },
}

/// How a campaign is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignSettings {
    /// Evaluations of one round.
    pub batch: usize,
    /// From this many evaluations on, rounds are three times as large, which saves fits and nothing else.
    pub patient_until: usize,
    /// Evaluations that are steered. What is left then is taken in the order of the last beliefs, without learning more.
    pub most: usize,
    /// The target.
    pub target: Target,
    /// The annealing.
    pub steer: SteerSettings,
}

impl Default for CampaignSettings {
    fn default() -> Self {
        let (target, steer) = (Target::default(), SteerSettings::default());
        CampaignSettings { batch: 10, patient_until: 200, most: 400, target, steer }
    }
}

/// What is known of the list beside the prior: for provenance alone.
#[derive(Debug, Clone, Copy)]
pub struct Background<'a> {
    /// Verdicts of level F0.
    pub assessed: &'a [Assessment],
    /// Named sets of known compounds.
    pub known: &'a [ReferenceSet],
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// What was proposed, in order.
    pub proposals: Vec<CrystalProposal>,
    /// Figures of the annealing, where there was one.
    pub figures: Option<Figures>,
    /// Why an annealed batch was withheld and the prior's taken.
    pub refused: Vec<AnnealRefusal>,
}

/// A finished campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Rows in the order in which they were evaluated.
    pub order: Vec<usize>,
    /// Its rounds; empty for policies without rounds.
    pub rounds: Vec<Round>,
}

impl Campaign {
    /// Evaluations that it took to find 1, 2, … of the targets.
    pub fn found_at(&self, lab: &ReplayLab, target: &Target) -> Vec<usize> {
        let hits = self.order.iter().enumerate().filter(|(_, row)| lab.meets(**row, target));
        hits.map(|(at, _)| at + 1).collect()
    }
}

/// Why a campaign cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CampaignError {
    /// The surrogate cannot be fitted.
    #[error("the surrogate cannot be fitted")]
    Surrogate(#[from] GpError),
    /// The annealing has no start.
    #[error("the annealing cannot start")]
    Annealing(#[from] StudyError),
    /// Lists of different length, or an empty list.
    #[error("the lab has {rows} rows, a list has {listed}")]
    Lengths {
        /// Rows of the lab.
        rows: usize,
        /// Entries of the other list.
        listed: usize,
    },
}

/// Runs one campaign until all targets are found. Same arguments, same bits.
pub fn run_campaign(
    lab: &ReplayLab,
    policy: Policy<'_>,
    background: Background<'_>,
    settings: &CampaignSettings,
    seed: u64,
) -> Result<Campaign, CampaignError> {
    let rows = lab.rows.len();
    let mut rng = stream(seed, u64::MAX);
    let (prior, features) = match policy {
        Policy::Draw(listed) => {
            let order = listed.draw(rows, &BTreeSet::new(), &mut rng);
            return Ok(Campaign { order, rounds: Vec::new() });
        }
        Policy::Rank(listed) => return Ok(Campaign { order: listed.ranked(&mut rng), rounds: Vec::new() }),
        Policy::Steer { prior, features } => (prior, features),
    };
    for listed in [prior.log_q.len(), features.len(), background.assessed.len()] {
        if listed != rows || rows == 0 {
            return Err(CampaignError::Lengths { rows, listed });
        }
    }
    let table = FactorTable::new(&lab.factors(), vec![0.0; rows]);
    let table = table.ok_or(CampaignError::Lengths { rows, listed: 0 })?;
    let wanted = lab.targets(&settings.target).len();
    let mut surrogate = Surrogate::new(features);
    let mut campaign = Campaign { order: Vec::new(), rounds: Vec::new() };
    let mut taken = BTreeSet::new();
    let mut found = 0;
    while found < wanted && campaign.order.len() < settings.most.min(rows) {
        let calm = if campaign.order.len() < settings.patient_until { 1 } else { 3 };
        let batch = (calm * settings.batch).min(rows - campaign.order.len());
        let at = Asked { seed, round: campaign.rounds.len() as u64, batch };
        let round = next_round(
            lab,
            &table,
            prior,
            background,
            (&mut surrogate, &campaign.order),
            &taken,
            settings,
            at,
            &mut rng,
        )?;
        if round.proposals.is_empty() {
            break;
        }
        for proposal in &round.proposals {
            taken.insert(proposal.index);
            campaign.order.push(proposal.index);
            found += usize::from(lab.meets(proposal.index, &settings.target));
        }
        campaign.rounds.push(round);
    }
    if found < wanted && !campaign.order.is_empty() {
        let energies = surrogate.learn(lab, &campaign.order, &settings.target)?.energies(&settings.target);
        let mut rest: Vec<usize> = (0..rows).filter(|row| !taken.contains(row)).collect();
        rest.sort_by(|a, b| energies[*a].total_cmp(&energies[*b]).then(prior.log_q[*b].total_cmp(&prior.log_q[*a])));
        campaign.order.extend(rest);
    }
    Ok(campaign)
}

/// Which round is asked for.
#[derive(Clone, Copy)]
struct Asked {
    seed: u64,
    round: u64,
    batch: usize,
}

#[expect(clippy::too_many_arguments, reason = "one call site, and every argument is a different thing")]
fn next_round(
    lab: &ReplayLab,
    table: &FactorTable,
    prior: &Listed,
    background: Background<'_>,
    (surrogate, order): (&mut Surrogate<'_>, &[usize]),
    taken: &BTreeSet<usize>,
    settings: &CampaignSettings,
    asked: Asked,
    rng: &mut ChaCha12Rng,
) -> Result<Round, CampaignError> {
    if order.len() < LEAST_OBSERVED {
        let picks: Vec<_> = prior.draw(asked.batch, taken, rng).into_iter().map(|at| (at, None)).collect();
        let proposals = explained(lab, prior, background, &picks, None, 0.0, asked);
        return Ok(Round { proposals, figures: None, refused: Vec::new() });
    }
    let beliefs = surrogate.learn(lab, order, &settings.target)?;
    let energies = beliefs.energies(&settings.target);
    let own = asked.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(asked.round);
    let ask = (asked.batch, beliefs.correlation, own);
    let steered = steer(table, prior, energies, ask, taken, &settings.steer, rng)?;
    let proposals = explained(lab, prior, background, &steered.picks, Some(&beliefs), steered.beta, asked);
    Ok(Round { proposals, figures: Some(steered.figures), refused: steered.refused })
}

fn explained(
    lab: &ReplayLab,
    prior: &Listed,
    background: Background<'_>,
    picks: &[(usize, Option<f64>)],
    beliefs: Option<&Beliefs>,
    beta: f64,
    asked: Asked,
) -> Vec<CrystalProposal> {
    let one = |(index, weight): &(usize, Option<f64>)| {
        let (index, candidate) = (*index, lab.rows[*index]);
        let formula = candidate.formula();
        let mut verdicts =
            vec![Verdict { level: "F0".into(), says: background.assessed[index].verdict.clone(), expects: Vec::new() }];
        let mut expected = String::new();
        if let Some(beliefs) = beliefs {
            let ((heat, heat_sd), (gap, gap_sd)) = (beliefs.heat[index], beliefs.gap[index]);
            expected =
                format!("; heat {heat:.2} ± {heat_sd:.2} eV/atom and gap {gap:.1} ± {gap_sd:.1} eV are expected");
            verdicts.push(Verdict {
                level: "surrogate of this campaign".into(),
                says: format!("leave-one-out correlation {:.2}", beliefs.correlation),
                expects: vec![("heat eV/atom".into(), heat, heat_sd), ("gap eV".into(), gap, gap_sd)],
            });
        }
        let tilted = weight.is_some();
        let reason = if tilted {
            format!("{formula}: drawn from {} times P(target)^{beta:.1}{expected}", prior.name)
        } else {
            format!("{formula}: drawn from {} alone{expected}", prior.name)
        };
        CrystalProposal {
            index,
            candidate,
            weight: weight.unwrap_or(0.0),
            log_q: LogDensity::Exact(prior.log_q[index]),
            provenance: CrystalProvenance {
                proposer: if tilted { "annealed".into() } else { prior.name.clone() },
                seed: asked.seed,
                round: asked.round,
                prior: prior.name.clone(),
                temperature: (tilted && beta > 0.0).then(|| 1.0 / beta),
                verdicts,
                novelty: background.known.iter().map(|set| set.novelty(&formula)).collect(),
            },
            reason,
        }
    };
    picks.iter().map(one).collect()
}

/// Gaussian processes for heat and gap on the features; hyperparameters are found anew when the data have grown by half.
struct Surrogate<'a> {
    features: &'a [Vec<f64>],
    flat: Vec<f64>,
    hyper: Option<(Hyperparameters, Hyperparameters)>,
    fitted_at: usize,
}

impl<'a> Surrogate<'a> {
    fn new(features: &'a [Vec<f64>]) -> Surrogate<'a> {
        Surrogate { features, flat: features.concat(), hyper: None, fitted_at: 0 }
    }

    fn learn(&mut self, lab: &ReplayLab, order: &[usize], target: &Target) -> Result<Beliefs, CampaignError> {
        let rows = remembered(lab, order);
        let points: Vec<Vec<f64>> = rows.iter().map(|row| self.features[*row].clone()).collect();
        let heat: Vec<f64> = rows.iter().map(|row| lab.heat[*row]).collect();
        let gap: Vec<f64> = rows.iter().map(|row| lab.gap[*row].min(WIDE_GAP)).collect();
        let none = vec![0.0; rows.len()];
        let grown = rows.len() * 2 > self.fitted_at * 3;
        let fit = |values: &[f64], known: Option<&Hyperparameters>| match known {
            Some(hyper) if !grown => GaussianProcess::with_hyperparameters(&points, values, &none, hyper.clone()),
            warm => {
                let options = FitOptions { warm, starts: 1, ..FitOptions::default() };
                GaussianProcess::fit_with(&points, values, &none, options)
            }
        };
        let known = self.hyper.as_ref();
        let heat_model = fit(&heat, known.map(|pair| &pair.0))?;
        let gap_model = fit(&gap, known.map(|pair| &pair.1))?;
        if grown {
            self.fitted_at = rows.len();
        }
        let left_out: Vec<(f64, f64)> = heat_model.leave_one_out().iter().map(|one| (one.value, one.mean)).collect();
        let beliefs = |model: &GaussianProcess| {
            let mut out = Vec::new();
            model.predict_rows(&self.flat, &mut out);
            out
        };
        // Half a success is added to each, so that what was never met is not impossible.
        let share = |met: &dyn Fn(usize) -> bool| {
            (0.5 + order.iter().filter(|row| met(**row)).count() as f64) / (1.0 + order.len() as f64)
        };
        let gap_met = |row: usize| (target.gap.0..=target.gap.1).contains(&lab.gap[row]);
        let found = Beliefs {
            heat: beliefs(&heat_model),
            gap: beliefs(&gap_model),
            frequency: (share(&|row| lab.heat[row] < target.heat_below), share(&gap_met)),
            correlation: correlation(&left_out),
        };
        self.hyper = Some((heat_model.hyperparameters().clone(), gap_model.hyperparameters().clone()));
        Ok(found)
    }
}

/// The observations that count: all while they are few, then the half with the lowest heat and the latest others.
fn remembered(lab: &ReplayLab, order: &[usize]) -> Vec<usize> {
    if order.len() <= REMEMBERED {
        return order.to_vec();
    }
    let mut by_heat: Vec<usize> = (0..order.len()).collect();
    by_heat.sort_by(|a, b| lab.heat[order[*a]].total_cmp(&lab.heat[order[*b]]));
    let mut kept: BTreeSet<usize> = by_heat[..REMEMBERED / 2].iter().copied().collect();
    for at in (0..order.len()).rev() {
        if kept.len() == REMEMBERED {
            break;
        }
        kept.insert(at);
    }
    kept.into_iter().map(|at| order[at]).collect()
}

/// Pearson's correlation; 0 where one side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / count, sum.1 + pair.1 / count));
    let product = |f: fn(f64, f64) -> f64| pairs.iter().map(|pair| f(pair.0 - x, pair.1 - y)).sum::<f64>();
    let spread = (product(|a, _| a * a) * product(|_, b| b * b)).sqrt();
    if spread > 0.0 { product(|a, b| a * b) / spread } else { 0.0 }
}
