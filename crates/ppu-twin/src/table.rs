//! A level whose predictions were asked for beforehand: a model that runs elsewhere.

use std::collections::BTreeMap;

use ppu_core::Candidate;

use crate::contract::{Evaluation, Fidelity, FidelityDescription, Twin, TwinRefusal};

/// The answers of a model to the candidates that it was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct TableTwin {
    description: FidelityDescription,
    answers: BTreeMap<Vec<(String, u64)>, Result<Evaluation, TwinRefusal>>,
}

fn key(candidate: &Candidate) -> Vec<(String, u64)> {
    candidate.0.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect()
}

impl TableTwin {
    /// A table with these answers. The last answer about a candidate counts.
    pub fn new(
        description: FidelityDescription,
        answers: impl IntoIterator<Item = (Candidate, Result<Evaluation, TwinRefusal>)>,
    ) -> TableTwin {
        let answers = answers.into_iter().map(|(candidate, answer)| (key(&candidate), answer)).collect();
        TableTwin { description, answers }
    }

    /// Candidates in the table.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether it was asked nothing.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Candidates that the model refused.
    pub fn refused(&self) -> usize {
        self.answers.values().filter(|answer| answer.is_err()).count()
    }
}

impl Twin for TableTwin {
    /// The answer of the model; a refusal where it was not asked.
    fn evaluate(&self, candidate: &Candidate, _: Fidelity) -> Result<Evaluation, TwinRefusal> {
        let not_asked = || TwinRefusal::Declined { reason: "it was not asked about this candidate".to_owned() };
        self.answers.get(&key(candidate)).cloned().unwrap_or_else(|| Err(not_asked()))
    }

    fn describe(&self, _: Fidelity) -> FidelityDescription {
        self.description.clone()
    }
}
