//! What a record concerns through its run: the trial that the run was submitted for, and the sample that it holds.

use std::collections::{BTreeSet, HashMap};

use ppu_core::{RunId, SampleId, TrialId};
use ppu_engine::Event;

use super::{Index, IndexError};
use crate::subject::{Subject, named};

/// Runs kept in memory; those of long ago are looked up again if a late record concerns them.
const RUNS_KEPT: usize = 10_000;

/// What a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LinkKind {
    Trial,
    Sample,
}

/// A link that a record made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) kind: LinkKind,
    pub(crate) run: RunId,
    /// Sequence of the record.
    pub(crate) since: u64,
    pub(crate) to: String,
}

#[derive(Debug, Clone, Default)]
struct RunLinks {
    trial: Option<(u64, TrialId)>,
    sample: Option<(u64, SampleId)>,
}

/// The links of runs, as far as the index and the records read so far tell.
#[derive(Debug)]
pub(crate) struct Links<'a> {
    /// `None` where the records are read from the beginning.
    index: Option<&'a Index>,
    runs: HashMap<RunId, RunLinks>,
}

impl<'a> Links<'a> {
    pub(crate) fn new(index: Option<&'a Index>) -> Self {
        Self { index, runs: HashMap::new() }
    }

    /// Everything that a record is about, and the link that it makes. Records come in order.
    pub(crate) fn take(
        &mut self,
        sequence: u64,
        event: &Event,
    ) -> Result<(BTreeSet<Subject>, Option<Link>), IndexError> {
        let mut subjects = named(event);
        let link = self.learn(sequence, event)?;
        let runs: Vec<RunId> = subjects
            .iter()
            .filter_map(|subject| if let Subject::Run(run) = subject { Some(run.clone()) } else { None })
            .collect();
        for run in runs {
            let links = self.of(&run)?;
            let holds = |since: u64| since <= sequence;
            let trial = links.trial.as_ref().filter(|(since, _)| holds(*since));
            let sample = links.sample.as_ref().filter(|(since, _)| holds(*since));
            subjects.extend(trial.map(|(_, id)| Subject::Trial(id.clone())));
            subjects.extend(sample.map(|(_, id)| Subject::Sample(id.clone())));
        }
        Ok((subjects, link))
    }

    fn learn(&mut self, sequence: u64, event: &Event) -> Result<Option<Link>, IndexError> {
        let (kind, run, to) = match event {
            Event::RunSubmitted { run, trial: Some(trial), .. } => {
                let known = &mut self.of(run)?.trial;
                if known.is_some() {
                    return Ok(None);
                }
                *known = Some((sequence, trial.clone()));
                (LinkKind::Trial, run, trial.to_string())
            }
            Event::RunStarted { run, sample: Some(sample) } => {
                let known = &mut self.of(run)?.sample;
                if known.is_some() {
                    return Ok(None);
                }
                *known = Some((sequence, sample.clone()));
                (LinkKind::Sample, run, sample.to_string())
            }
            _ => return Ok(None),
        };
        Ok(Some(Link { kind, run: run.clone(), since: sequence, to }))
    }

    fn of(&mut self, run: &RunId) -> Result<&mut RunLinks, IndexError> {
        if self.index.is_some() && self.runs.len() >= RUNS_KEPT && !self.runs.contains_key(run) {
            self.runs.clear();
        }
        if !self.runs.contains_key(run) {
            let links = self.index.map_or(Ok(RunLinks::default()), |index| load(index, run))?;
            self.runs.insert(run.clone(), links);
        }
        Ok(self.runs.get_mut(run).expect("it was put in above"))
    }
}

fn load(index: &Index, run: &RunId) -> Result<RunLinks, IndexError> {
    let trial = index.link(LinkKind::Trial, run)?.map(checked).transpose()?;
    let sample = index.link(LinkKind::Sample, run)?.map(checked).transpose()?;
    Ok(RunLinks { trial, sample })
}

fn checked<T: TryFrom<String>>((since, id): (u64, String)) -> Result<(u64, T), IndexError> {
    T::try_from(id).map(|id| (since, id)).map_err(|_| IndexError::Damaged("a link leads to no id"))
}
