//! One round of a campaign: the proposer offers, the twin screens, the optimizer picks. What the laboratory has refuted of a
//! twin neither offers nor screens, observable by observable, and the round says so. The optimizer's models judge for
//! themselves: a prediction that is wrong but goes with the truth may still be among their inputs.

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::campaign::Generator;
use ppu_core::{Candidate, DesignSpace, Objective};
use ppu_optimizer::{Ask, Optimizer, OptimizerError, Prediction, PriorMean, Proposal, Suggestion, Trial, widening};
use ppu_twin::{Corrections, Evaluation, Fidelity, FidelityDescription, Predicted, Tracking, Twin, TwinRefusal};

use crate::annealed::{AnnealSettings, AnnealedProposer};
use crate::contract::{Condition, Offer, Offered, ProposeError, Proposer, rng};
use crate::flow::{FlowRound, TaughtProposer};
use crate::opinion::{Heard, Opinion, Panel, measured, pairs};
use crate::prior::PriorProposer;
use crate::screen::{TwinPrior, screen};

/// Candidates that the proposer offers in a round.
const OFFERED: usize = 400;
/// Candidates that the twin lets through to the optimizer.
const SCREENED: usize = 200;
/// Draws from the space that tell how much the twin's predictions vary over it.
const POPULATION: usize = 128;

/// A campaign whose candidates are wanted.
#[derive(Clone, Copy)]
pub struct Guided<'a> {
    /// Where candidates may lie.
    pub space: &'a DesignSpace,
    /// What is wanted of them.
    pub objectives: &'a [Objective],
    /// Seed of the campaign.
    pub seed: u64,
    /// Who offers candidates.
    pub generator: Generator,
    /// The twin and its level; without one the optimizer is alone.
    pub twin: Option<(&'a dyn Twin, Fidelity)>,
    /// Models that run elsewhere, asked about [`Round::offered`] and about every candidate measured.
    pub opinions: &'a [Opinion],
}

/// What a round suggests.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// The optimizer's picks.
    pub proposal: Proposal,
    /// What was offered; `None` without a twin.
    pub offer: Option<Offer>,
    /// How the flow was taught, where it is the generator.
    pub flow: Option<FlowRound>,
    /// Offered candidates that the twin refused.
    pub refused: usize,
    /// What the campaign has taught about the twin.
    pub corrections: Corrections,
    /// The twin's record, observable by observable.
    pub tracking: BTreeMap<String, Tracking>,
    /// Observables for which the twin is left out.
    pub dropped: BTreeSet<String>,
    /// What the campaign has taught about the models that run elsewhere, in their order.
    pub heard: Vec<Heard>,
    /// What is expected of each pick: what the optimizer predicts, and before its models know enough what the twin does.
    pub expected: Vec<Vec<Prediction>>,
}

/// A round before its candidates are chosen.
#[derive(Debug, Clone)]
pub struct Round {
    number: u32,
    /// Nothing without a twin.
    learnt: Option<Learnt>,
}

/// What is known of the twin in a round, and what the proposer offers with it.
#[derive(Debug, Clone)]
struct Learnt {
    corrections: Corrections,
    tracking: BTreeMap<String, Tracking>,
    dropped: BTreeSet<String>,
    offer: Offer,
    flow: Option<FlowRound>,
}

/// Why a round suggests nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GuidedError {
    /// The proposer has nothing to offer.
    #[error("nothing can be offered")]
    Propose(#[from] ProposeError),
    /// The optimizer refuses.
    #[error("the optimizer refuses")]
    Optimizer(#[from] OptimizerError),
}

impl Guided<'_> {
    /// The next `count` candidates. A pure function of the campaign and its trials.
    ///
    /// # Errors
    /// [`GuidedError`] where the space is empty or the optimizer refuses the question.
    pub fn suggest(
        &self,
        trials: &[Trial],
        pending: &[Candidate],
        round: u32,
        count: usize,
    ) -> Result<Guidance, GuidedError> {
        self.choose(self.begin(trials, round)?, trials, pending, count)
    }

    /// Begins a round: what the trials say of the twin, and what the proposer offers with it. Models that run elsewhere can
    /// then be asked about what is offered.
    ///
    /// # Errors
    /// [`GuidedError`] where the space is empty.
    pub fn begin(&self, trials: &[Trial], round: u32) -> Result<Round, GuidedError> {
        let learnt = self.twin.map(|(twin, fidelity)| self.learn(twin, fidelity, trials, round));
        Ok(Round { number: round, learnt: learnt.transpose()? })
    }

    /// The next `count` candidates of a round that was begun with the same trials.
    ///
    /// # Errors
    /// [`GuidedError`] where the optimizer refuses the question.
    pub fn choose(
        &self,
        begun: Round,
        trials: &[Trial],
        pending: &[Candidate],
        count: usize,
    ) -> Result<Guidance, GuidedError> {
        let optimizer = Optimizer::new(self.space.clone(), self.objectives.to_vec(), self.seed)?;
        let ask = Ask { trials, pending, pool: &[], batch: count, step: u64::from(begun.number), prior: None };
        let (Some((twin, fidelity)), Some(known)) = (self.twin, begun.learnt) else {
            let proposal = optimizer.suggest(&ask)?;
            return Ok(Guidance {
                expected: proposal.picks.iter().map(|pick| pick.predicted.clone()).collect(),
                proposal,
                offer: None,
                flow: None,
                refused: 0,
                corrections: Corrections::none(),
                tracking: BTreeMap::new(),
                dropped: BTreeSet::new(),
                heard: Vec::new(),
            });
        };
        let trusted = Trusted { twin, dropped: &known.dropped };
        let offered: Vec<Candidate> = known.offer.offered.iter().map(|one| one.candidate.clone()).collect();
        let judge = |opinion: &Opinion| opinion.judge(self.objectives, trials, &offered);
        let heard: Vec<Heard> = self.opinions.iter().map(judge).collect();
        let own: (&dyn Twin, Fidelity, &Corrections) = (&trusted, fidelity, &known.corrections);
        let panel = Panel::new(own, (self.opinions, &heard), self.space, trials);
        let none = Corrections::none();
        let screened = screen(&known.offer.offered, &panel, fidelity, &none, self.objectives, SCREENED);
        let prior = TwinPrior { twin, fidelity, objectives: self.objectives };
        let predicts = |twin: &dyn Twin| {
            let observables = twin.describe(fidelity).observables;
            observables.iter().any(|known| self.objectives.iter().any(|objective| objective.name == known.name))
        };
        // Candidates that nobody has judged are none of the proposer's: the optimizer spreads its own.
        let pool = if predicts(&panel) { &screened.pool[..] } else { &[] };
        let prior: Option<&dyn PriorMean> = if predicts(twin) { Some(&prior) } else { None };
        let proposal = optimizer.suggest(&Ask { pool, prior, ..ask })?;
        let expect = |pick: &Suggestion| {
            let said =
                panel.evaluate(&pick.candidate, fidelity).map_or_else(|_| BTreeMap::new(), |said| said.predictions);
            merged(&pick.predicted, &said, trials)
        };
        let expected = proposal.picks.iter().map(expect).collect();
        let refused = screened.refused.values().sum();
        let Learnt { corrections, tracking, dropped, offer, flow } = known;
        Ok(Guidance { proposal, offer: Some(offer), flow, refused, corrections, tracking, dropped, heard, expected })
    }

    /// What the trials say of the twin, and what the proposer offers with it.
    fn learn(&self, twin: &dyn Twin, fidelity: Fidelity, trials: &[Trial], round: u32) -> Result<Learnt, ProposeError> {
        let corrections = Corrections::learn(twin, fidelity, measured(trials));
        let tracking = self.tracking(twin, fidelity, trials)?;
        let dropped: BTreeSet<String> =
            tracking.iter().filter(|(_, record)| !record.informative()).map(|(name, _)| name.clone()).collect();
        let trusted = Trusted { twin, dropped: &dropped };
        let condition =
            Condition { space: self.space, objectives: self.objectives, seed: self.seed, round: u64::from(round) };
        let settings = AnnealSettings::default();
        let annealed =
            AnnealedProposer { twin: &trusted, fidelity, corrections: &corrections, tracking: &tracking, settings };
        let mut rng = rng(self.seed, u64::from(round));
        let (offer, flow) = match self.generator {
            Generator::Annealed => (annealed.sample(OFFERED, &condition, &mut rng)?, None),
            Generator::Flow => {
                let (offer, flow) = TaughtProposer { annealed, trials }.offer(OFFERED, &condition, &mut rng)?;
                (offer, Some(flow))
            }
        };
        Ok(Learnt { corrections, tracking, dropped, offer, flow })
    }

    fn tracking(
        &self,
        twin: &dyn Twin,
        fidelity: Fidelity,
        trials: &[Trial],
    ) -> Result<BTreeMap<String, Tracking>, ProposeError> {
        let condition = Condition { space: self.space, objectives: self.objectives, seed: self.seed, round: 0 };
        // Another stream than that of any round, so that the population is the same in all of them.
        let drawn = PriorProposer.sample(POPULATION, &condition, &mut rng(self.seed, u64::MAX))?.offered;
        let population: Vec<Evaluation> =
            drawn.iter().filter_map(|one| twin.evaluate(&one.candidate, fidelity).ok()).collect();
        let known = twin.describe(fidelity).observables;
        let wanted = known.into_iter().filter(|known| self.objectives.iter().any(|one| one.name == known.name));
        let record = |declared: ppu_twin::ObservableDescription| {
            let pairs = pairs(twin, fidelity, &declared.name, trials);
            let predicted = population.iter().filter_map(|one| Some(one.predictions.get(&declared.name)?.mean));
            let spread = crate::smc::spread(predicted);
            (declared.name.clone(), Tracking::of(declared.prior_correlation, &pairs, spread))
        };
        Ok(wanted.map(record).collect())
    }
}

impl Round {
    /// The candidates that will be screened, for models that run elsewhere to be asked about.
    pub fn offered(&self) -> impl Iterator<Item = &Candidate> {
        self.learnt.iter().flat_map(|known| known.offer.offered.iter().map(|one| &one.candidate))
    }
}

impl Guidance {
    /// Whose offer a candidate was, if it was in the offer.
    pub fn origin(&self, candidate: &Candidate) -> Option<&Offered> {
        self.offer.as_ref()?.offered.iter().find(|one| one.candidate == *candidate)
    }

    /// What people should know about the twin in this round.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.refused > 0 {
            remarks.push(format!("twin refused {}", self.refused));
        }
        let refusal = self.offer.as_ref().and_then(|offer| offer.refusal.as_ref());
        match (&self.flow, refusal) {
            (Some(flow), refusal) => remarks.push(flow.remark(refusal)),
            (None, Some(refusal)) => remarks.push(format!("proposer fell back to the prior: {refusal}")),
            (None, None) => {}
        }
        let left_out = |who: &str, dropped: &BTreeSet<String>, tracking: &BTreeMap<String, Tracking>| {
            let records = dropped.iter().filter_map(|name| Some((name, tracking.get(name)?)));
            records.map(|(name, record)| record.says(&format!("{who}'s {name}"))).collect::<Vec<_>>()
        };
        remarks.extend(left_out("the twin", &self.dropped, &self.tracking));
        for heard in &self.heard {
            remarks.extend(left_out(&heard.name, &heard.dropped, &heard.tracking));
        }
        remarks
    }
}

/// What the optimizer predicts, and what only the twin does, both with the width that their record asks for.
fn merged(predicted: &[Prediction], said: &BTreeMap<String, Predicted>, trials: &[Trial]) -> Vec<Prediction> {
    let missing = said.iter().filter(|(name, _)| predicted.iter().all(|one| &one.objective != *name));
    let twins = missing.map(|(name, said)| {
        let sd = widening(name, trials) * said.sd;
        Prediction { objective: name.clone(), mean: said.mean, sd }
    });
    predicted.iter().cloned().chain(twins).collect()
}

/// The twin without the observables in which it was refuted.
struct Trusted<'a> {
    twin: &'a dyn Twin,
    dropped: &'a BTreeSet<String>,
}

impl Twin for Trusted<'_> {
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let mut evaluation = self.twin.evaluate(candidate, fidelity)?;
        evaluation.predictions.retain(|name, _| !self.dropped.contains(name));
        Ok(evaluation)
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        let mut described = self.twin.describe(fidelity);
        described.observables.retain(|known| !self.dropped.contains(&known.name));
        described
    }
}
