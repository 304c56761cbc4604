//! The part of the index that is in memory only: what the last records are about. It is written out in large pieces, because
//! many small ones cost the storage engine far more space and time than the same entries in lists.

use std::collections::HashMap;

use ppu_core::RunId;
use ppu_store::ChainHead;

use super::Applied;
use super::links::{Link, LinkKind};
use crate::subject::Subject;

/// Records after which the part is written out: a list of so many sequences has at most 48 KiB, and values beyond 64 KiB would
/// be files of their own (IDX-3).
const RECORDS_AT_MOST: u64 = 16 * 1024;

/// What some consecutive records are about.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// The last sequence that is written out.
    since: u64,
    /// The last record taken in, and the chain after it; none where there is nothing in memory.
    to: Option<(u64, ChainHead)>,
    lists: HashMap<Subject, Vec<u64>>,
    links: HashMap<(LinkKind, RunId), (u64, String)>,
}

impl Recent {
    /// Nothing, after what is written out.
    pub(crate) fn after(applied: u64) -> Self {
        Self { since: applied, ..Self::default() }
    }

    /// The last sequence that is written out.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// The last sequence taken in.
    pub(crate) fn to(&self) -> u64 {
        self.to.map_or(self.since, |(sequence, _)| sequence)
    }

    /// Takes records in, in order.
    pub(crate) fn take(
        &mut self,
        subjects: impl Iterator<Item = (u64, Subject)>,
        links: impl Iterator<Item = Link>,
        to: (u64, ChainHead),
    ) {
        for (sequence, subject) in subjects {
            self.lists.entry(subject).or_default().push(sequence);
        }
        self.links.extend(links.map(|link| ((link.kind, link.run), (link.since, link.to))));
        self.to = Some(to);
    }

    /// Whether it is time to write it out.
    pub(crate) fn is_full(&self) -> bool {
        self.to() - self.since >= RECORDS_AT_MOST
    }

    /// What to write out, if anything.
    #[expect(clippy::type_complexity, reason = "an iterator that borrows has no shorter name")]
    pub(crate) fn to_write(
        &self,
    ) -> Option<(&HashMap<Subject, Vec<u64>>, impl Iterator<Item = Link>, (u64, ChainHead))> {
        let links = self.links.iter().map(|((kind, run), (since, to))| Link {
            kind: *kind,
            run: run.clone(),
            since: *since,
            to: to.clone(),
        });
        self.to.map(|to| (&self.lists, links, to))
    }

    /// Forgets what is written out now.
    pub(crate) fn written(&mut self, applied: &Applied) {
        *self = Self::after(applied.sequence);
    }

    /// Sequences of a subject that are not written out.
    pub(crate) fn sequences(&self, subject: &Subject) -> &[u64] {
        self.lists.get(subject).map_or(&[], Vec::as_slice)
    }

    /// A link that is not written out.
    pub(crate) fn link(&self, kind: LinkKind, run: &RunId) -> Option<(u64, String)> {
        self.links.get(&(kind, run.clone())).cloned()
    }
}
