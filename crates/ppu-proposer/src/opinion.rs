//! Models that run elsewhere beside the twin of this lab: asked about what was offered and what was measured, corrected and
//! tracked in the same way, and heard where they are the more accurate.

use std::collections::{BTreeMap, BTreeSet};

use ppu_core::{Candidate, DesignSpace, Objective, Observation};
use ppu_optimizer::{Trial, TrialOutcome};
use ppu_twin::{Corrections, Evaluation, Fidelity, FidelityDescription, TableTwin, Tracking, Twin, TwinRefusal};

use crate::delta::Delta;
use crate::smc::spread;

/// What a model said of the candidates of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Its name in this lab.
    pub name: String,
    /// Its answers about what is offered and what was measured.
    pub answers: TableTwin,
}

/// What the campaign has taught about a model that runs elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Its name in this lab.
    pub name: String,
    /// Its record, observable by observable.
    pub tracking: BTreeMap<String, Tracking>,
    /// Observables for which it is left out.
    pub dropped: BTreeSet<String>,
    corrections: Corrections,
}

impl Opinion {
    /// Learns from what was measured; `offered` tells how much its predictions vary over what it is asked about.
    pub(crate) fn judge(&self, objectives: &[Objective], trials: &[Trial], offered: &[Candidate]) -> Heard {
        let level = Fidelity::Process;
        let corrections = Corrections::learn(&self.answers, level, measured(trials));
        let population: Vec<Evaluation> =
            offered.iter().filter_map(|candidate| self.answers.evaluate(candidate, level).ok()).collect();
        let declared = self.answers.describe(level).observables.into_iter();
        let wanted = declared.filter(|known| objectives.iter().any(|one| one.name == known.name));
        let tracking: BTreeMap<String, Tracking> = wanted
            .map(|known| {
                let pairs = pairs(&self.answers, level, &known.name, trials);
                let predicted = population.iter().filter_map(|one| Some(one.predictions.get(&known.name)?.mean));
                let record = Tracking::of(known.prior_correlation, &pairs, spread(predicted));
                (known.name, record)
            })
            .collect();
        let dropped = tracking.iter().filter(|(_, record)| !record.informative()).map(|(name, _)| name.clone());
        Heard { name: self.name.clone(), dropped: dropped.collect(), tracking, corrections }
    }
}

/// What was measured: the candidates of valid trials and their observations.
pub(crate) fn measured(trials: &[Trial]) -> impl Iterator<Item = (&Candidate, &Observation)> {
    trials.iter().filter_map(|trial| match &trial.outcome {
        TrialOutcome::Valid(observation) => Some((&trial.candidate, observation)),
        _ => None,
    })
}

/// What a twin had predicted and what was measured, for one observable.
pub(crate) fn pairs(twin: &dyn Twin, fidelity: Fidelity, observable: &str, trials: &[Trial]) -> Vec<(f64, f64)> {
    let pair = |(candidate, observation): (&Candidate, &Observation)| {
        let found = observation.values.get(observable)?;
        let evaluation = twin.evaluate(candidate, fidelity).ok()?;
        Some((evaluation.predictions.get(observable)?.mean, found.value))
    };
    measured(trials).filter_map(pair).collect()
}

/// The twin of this lab and the models beside it as one twin whose predictions are corrected already, their errors over the
/// design too where these are proven: for each observable the one with the smallest error speaks.
pub(crate) struct Panel<'a> {
    space: &'a DesignSpace,
    twin: &'a dyn Twin,
    corrections: &'a Corrections,
    delta: Delta,
    others: Vec<(&'a Opinion, &'a Heard, Delta)>,
}

impl<'a> Panel<'a> {
    pub(crate) fn new(
        (twin, fidelity, corrections): (&'a dyn Twin, Fidelity, &'a Corrections),
        (opinions, heard): (&'a [Opinion], &'a [Heard]),
        space: &'a DesignSpace,
        trials: &[Trial],
    ) -> Panel<'a> {
        let delta = Delta::learn(space, twin, fidelity, corrections, trials);
        let other = |(opinion, heard): (&'a Opinion, &'a Heard)| {
            (opinion, heard, Delta::learn(space, &opinion.answers, fidelity, &heard.corrections, trials))
        };
        Panel { space, twin, corrections, delta, others: opinions.iter().zip(heard).map(other).collect() }
    }
}

impl Twin for Panel<'_> {
    /// Refused where the twin of this lab refuses; a model that does not answer is only not heard.
    fn evaluate(&self, candidate: &Candidate, fidelity: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let mut evaluation = self.corrections.apply(&self.twin.evaluate(candidate, fidelity)?);
        self.delta.add(self.space, candidate, &mut evaluation);
        for (opinion, heard, delta) in &self.others {
            let Ok(said) = opinion.answers.evaluate(candidate, fidelity) else { continue };
            let mut said = heard.corrections.apply(&said);
            delta.add(self.space, candidate, &mut said);
            for (name, predicted) in said.predictions {
                let better = evaluation.predictions.get(&name).is_none_or(|known| predicted.sd < known.sd);
                if better && heard.tracking.contains_key(&name) && !heard.dropped.contains(&name) {
                    evaluation.predictions.insert(name, predicted);
                }
            }
        }
        Ok(evaluation)
    }

    fn describe(&self, fidelity: Fidelity) -> FidelityDescription {
        let mut described = self.twin.describe(fidelity);
        for (opinion, heard, _) in &self.others {
            for observable in opinion.answers.describe(fidelity).observables {
                let known = described.observables.iter().any(|known| known.name == observable.name);
                if !known && heard.tracking.contains_key(&observable.name) && !heard.dropped.contains(&observable.name)
                {
                    described.observables.push(observable);
                }
            }
        }
        described
    }
}
