//! A closed loop against a replay: propose, look up, learn, propose again.

use std::collections::BTreeSet;

use ppu_optimizer::gp::GpError;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use super::listed::{CrystalProposal, CrystalProvenance, Listed, ReferenceSet, Verdict};
use super::perovskite::Assessment;
use super::replay::{ReplayLab, Target};
use super::steer::{Beliefs, SteerSettings, steer};
use super::surrogate::{Guide, LEAST_OBSERVED, Standing, Surrogate};
use crate::anneal::{AnnealRefusal, FactorTable, Figures, StudyError, stream};
use crate::contract::LogDensity;

/// How candidates are chosen.
#[derive(Debug, Clone, Copy)]
pub enum Policy<'a> {
    /// Drawn from a distribution without replacement.
    Draw(&'a Listed),
    /// By probability, the highest first.
    Rank(&'a Listed),
    /// Annealed from a prior towards what twin and campaign expect: draws with known weights.
    Steer(Guide<'a>),
    /// By the prior times what twin and campaign expect, the highest first, with a share of plain draws. Needs a list that
    /// can be enumerated; the annealing does not.
    Search(Guide<'a>),
}

/// How a campaign is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignSettings {
    /// Evaluations of one round.
    pub batch: usize,
    /// From this many evaluations on, rounds are three times as large, which saves fits and nothing else.
    pub patient_until: usize,
    /// Evaluations that are guided. What is left then is taken in the order of the last beliefs, without learning more.
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
    /// The record of every level of the twin, and whether it is in use.
    pub levels: Vec<String>,
    /// Whether a level was left out because it is no longer informative.
    pub dropped: bool,
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
    let (guide, annealed) = match policy {
        Policy::Draw(listed) => {
            let order = listed.draw(rows, &BTreeSet::new(), &mut rng);
            return Ok(Campaign { order, rounds: Vec::new() });
        }
        Policy::Rank(listed) => return Ok(Campaign { order: listed.ranked(&mut rng), rounds: Vec::new() }),
        Policy::Steer(guide) => (guide, true),
        Policy::Search(guide) => (guide, false),
    };
    let levels = guide.levels.iter().map(|level| level.heat.len());
    let lists = [guide.prior.log_q.len(), guide.features.len(), background.assessed.len()];
    if let Some(listed) = lists.into_iter().chain(levels).find(|listed| *listed != rows || rows == 0) {
        return Err(CampaignError::Lengths { rows, listed });
    }
    let table = FactorTable::new(&lab.factors(), vec![0.0; rows]);
    let table = table.ok_or(CampaignError::Lengths { rows, listed: 0 })?;
    let mut running = Running {
        lab,
        table: annealed.then_some(table),
        guide,
        background,
        settings,
        seed,
        surrogate: Surrogate::new(guide),
        taken: BTreeSet::new(),
        campaign: Campaign { order: Vec::new(), rounds: Vec::new() },
        rng,
    };
    running.finish()?;
    Ok(running.campaign)
}

/// A guided campaign under way.
struct Running<'a> {
    lab: &'a ReplayLab,
    /// Moves of the annealing; `None` where nothing is annealed.
    table: Option<FactorTable>,
    guide: Guide<'a>,
    background: Background<'a>,
    settings: &'a CampaignSettings,
    seed: u64,
    surrogate: Surrogate<'a>,
    taken: BTreeSet<usize>,
    campaign: Campaign,
    rng: ChaCha12Rng,
}

/// What a round chose: places with the share of weight that led to them, none for plain draws.
struct Chosen {
    picks: Vec<(usize, Option<f64>)>,
    beta: f64,
    figures: Option<Figures>,
    refused: Vec<AnnealRefusal>,
}

impl Running<'_> {
    fn finish(&mut self) -> Result<(), CampaignError> {
        let (rows, target) = (self.lab.rows.len(), &self.settings.target);
        let wanted = self.lab.targets(target).len();
        let mut found = 0;
        while found < wanted && self.campaign.order.len() < self.settings.most.min(rows) {
            let evaluated = self.campaign.order.len();
            let calm = if evaluated < self.settings.patient_until { 1 } else { 3 };
            let round = self.round((calm * self.settings.batch).min(rows - evaluated))?;
            if round.proposals.is_empty() {
                break;
            }
            for proposal in &round.proposals {
                self.taken.insert(proposal.index);
                self.campaign.order.push(proposal.index);
                found += usize::from(self.lab.meets(proposal.index, target));
            }
            self.campaign.rounds.push(round);
        }
        if found < wanted {
            let (beliefs, _) = self.learn()?;
            let rest = self.ranked(&beliefs.energies(target));
            self.campaign.order.extend(rest);
        }
        Ok(())
    }

    fn learn(&mut self) -> Result<(Beliefs, Vec<Standing>), GpError> {
        let order = &self.campaign.order;
        let standings = self.surrogate.standings(self.lab, order);
        let beliefs = self.surrogate.learn(self.lab, order, &standings, &self.settings.target)?;
        Ok((beliefs, standings))
    }

    /// What is not taken, by ln q − U.
    fn ranked(&mut self, energies: &[f64]) -> Vec<usize> {
        let score = |row: usize| self.guide.prior.log_q[row] - energies[row];
        // Ties in the order of a draw from the prior.
        let mut rest = self.guide.prior.draw(energies.len(), &self.taken, &mut self.rng);
        rest.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
        rest
    }

    fn round(&mut self, batch: usize) -> Result<Round, CampaignError> {
        let (beliefs, standings) = self.learn()?;
        let ignorant = self.campaign.order.len() < LEAST_OBSERVED && self.guide.levels.is_empty();
        let chosen = if self.table.is_some() && ignorant {
            let picks = self.plain(batch, &[]);
            Chosen { picks, beta: 0.0, figures: None, refused: Vec::new() }
        } else if let Some(table) = &self.table {
            let energies = beliefs.energies(&self.settings.target);
            let own = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.campaign.rounds.len() as u64);
            let ask = (batch, beliefs.correlation, own);
            let steer_settings = &self.settings.steer;
            let found = steer(table, self.guide.prior, energies, ask, &self.taken, steer_settings, &mut self.rng)?;
            Chosen { picks: found.picks, beta: found.beta, figures: Some(found.figures), refused: found.refused }
        } else {
            let energies = beliefs.energies(&self.settings.target);
            let wanted = batch - (self.settings.steer.defence * batch as f64).round() as usize;
            let mut best = self.ranked(&energies);
            best.truncate(wanted);
            let weight = |row: &usize| (self.guide.prior.log_q[*row] - energies[*row]).exp();
            let total: f64 = best.iter().map(weight).sum();
            let mut picks: Vec<_> = best.iter().map(|row| (*row, Some(weight(row) / total))).collect();
            picks.extend(self.plain(batch - picks.len(), &best));
            Chosen { picks, beta: 1.0, figures: None, refused: Vec::new() }
        };
        let records = self.guide.levels.iter().zip(&standings);
        Ok(Round {
            proposals: self.explained(&chosen, &beliefs, &standings),
            figures: chosen.figures,
            refused: chosen.refused,
            levels: records.map(|(level, standing)| standing.tracking.says(&level.name)).collect(),
            dropped: standings.iter().any(|standing| !standing.tracking.informative()),
        })
    }

    /// Draws from the prior alone.
    fn plain(&mut self, count: usize, also: &[usize]) -> Vec<(usize, Option<f64>)> {
        let mut taken = self.taken.clone();
        taken.extend(also);
        self.guide.prior.draw(count, &taken, &mut self.rng).into_iter().map(|at| (at, None)).collect()
    }

    fn explained(&self, chosen: &Chosen, beliefs: &Beliefs, standings: &[Standing]) -> Vec<CrystalProposal> {
        let prior = self.guide.prior;
        let one = |(index, weight): &(usize, Option<f64>)| {
            let (index, candidate) = (*index, self.lab.rows[*index]);
            let formula = candidate.formula();
            let ((heat, heat_sd), (gap, gap_sd)) = (beliefs.heat[index], beliefs.gap[index]);
            let expected =
                format!("heat {heat:.2} ± {heat_sd:.2} eV/atom and gap {gap:.1} ± {gap_sd:.1} eV are expected");
            let (proposer, reason, temperature) = match (weight.is_some(), self.table.is_some()) {
                (false, _) => (prior.name.clone(), format!("drawn from {} alone", prior.name), None),
                (true, true) => {
                    let reason = format!("drawn from {} times P(target)^{:.1}", prior.name, chosen.beta);
                    ("annealed".to_owned(), reason, (chosen.beta > 0.0).then(|| 1.0 / chosen.beta))
                }
                (true, false) => {
                    ("search".to_owned(), format!("among the highest of {} times P(target)", prior.name), Some(1.0))
                }
            };
            CrystalProposal {
                index,
                candidate,
                weight: weight.unwrap_or(0.0),
                log_q: LogDensity::Exact(prior.log_q[index]),
                provenance: CrystalProvenance {
                    proposer,
                    seed: self.seed,
                    round: self.campaign.rounds.len() as u64,
                    prior: prior.name.clone(),
                    temperature,
                    verdicts: self.verdicts(index, beliefs, standings),
                    novelty: self.background.known.iter().map(|set| set.novelty(&formula)).collect(),
                },
                reason: format!("{formula}: {reason}; {expected}"),
            }
        };
        chosen.picks.iter().map(one).collect()
    }

    /// F0, every level that answers, and the surrogate once it has learnt anything.
    fn verdicts(&self, index: usize, beliefs: &Beliefs, standings: &[Standing]) -> Vec<Verdict> {
        let says = self.background.assessed[index].verdict.clone();
        let mut verdicts = vec![Verdict { level: "F0".into(), says, expects: Vec::new() }];
        for (level, standing) in self.guide.levels.iter().zip(standings) {
            let Some(heat) = level.heat[index] else { continue };
            let corrected = standing.correction.apply(heat);
            verdicts.push(Verdict {
                level: level.name.clone(),
                says: standing.tracking.says(&level.name),
                expects: vec![("heat eV/atom".into(), corrected.mean, corrected.sd)],
            });
        }
        if self.campaign.order.len() >= LEAST_OBSERVED {
            let ((heat, heat_sd), (gap, gap_sd)) = (beliefs.heat[index], beliefs.gap[index]);
            verdicts.push(Verdict {
                level: "surrogate of this campaign".into(),
                says: format!("leave-one-out correlation {:.2}", beliefs.correlation),
                expects: vec![("heat eV/atom".into(), heat, heat_sd), ("gap eV".into(), gap, gap_sd)],
            });
        }
        verdicts
    }
}
