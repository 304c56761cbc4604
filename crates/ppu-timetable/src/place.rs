//! Where there is room: reservations of machines, and the insertion of one operation or one whole job.

use crate::problem::{Problem, Ticks};
use crate::schedule::{Placed, ScheduleError};

/// Attempts at one job before it is given up. Every attempt passes at least one reservation, so a job that can be placed
/// needs fewer.
const ATTEMPTS: usize = 100_000;

/// Reservations of every machine: disjoint half-open intervals in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    busy: Vec<Vec<(Ticks, Ticks)>>,
}

/// Where and when the operation before this one of the same job ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Machine from which the job is fetched.
    pub(crate) from: Option<usize>,
    /// Earliest start of the move.
    pub(crate) fetch: Ticks,
    /// Earliest start of the operation.
    pub(crate) start: Ticks,
}

impl Board {
    pub(crate) fn new(problem: &Problem) -> Board {
        let until = problem.machines.iter().map(|machine| machine.available_from);
        Board { busy: until.map(|until| if until > 0 { vec![(0, until)] } else { Vec::new() }).collect() }
    }

    /// The first reservation that overlaps `[start, end)`.
    fn conflict(&self, machine: usize, start: Ticks, end: Ticks) -> Option<(Ticks, Ticks)> {
        let busy = &self.busy[machine];
        let first = busy.partition_point(|(_, until)| *until <= start);
        busy.get(first).copied().filter(|(from, _)| *from < end && start < end)
    }

    fn reserve(&mut self, machine: usize, start: Ticks, end: Ticks) {
        if start < end {
            let at = self.busy[machine].partition_point(|(from, _)| *from < start);
            self.busy[machine].insert(at, (start, end));
        }
    }

    /// Earliest placement on one machine: the machine is taken from the start of the move on, the carrier during it.
    fn earliest(&self, problem: &Problem, machine: usize, duration: Ticks, ready: Ready) -> Placed {
        let travel = ready.from.map_or(0, |from| problem.travel(from, machine));
        let mut begin = ready.fetch.max(ready.start.saturating_sub(travel));
        loop {
            let on_machine = self.conflict(machine, begin, begin + travel + duration);
            let on_carrier = problem.carrier.and_then(|carrier| self.conflict(carrier, begin, begin + travel));
            match on_machine.or(on_carrier) {
                Some((_, until)) => begin = until,
                None => break,
            }
        }
        let (start, end) = (begin + travel, begin + travel + duration);
        Placed { machine, move_start: begin, start, end, leave: end }
    }

    /// The placement of an operation that ends first; ties go to the earlier mode. `not_before` has one entry a mode.
    pub(crate) fn best(
        &self,
        problem: &Problem,
        (job, operation): (usize, usize),
        ready: Ready,
        not_before: &[Ticks],
    ) -> Option<(usize, Placed)> {
        let modes = problem.jobs[job].operations[operation].modes.iter().enumerate();
        let placed = modes.map(|(at, mode)| {
            let ready = Ready { fetch: ready.fetch.max(not_before.get(at).copied().unwrap_or(0)), ..ready };
            (at, self.earliest(problem, mode.machine, mode.duration, ready))
        });
        placed.min_by_key(|(at, placed)| (placed.end, *at))
    }

    pub(crate) fn take(&mut self, problem: &Problem, placed: &Placed) {
        self.reserve(placed.machine, placed.move_start, placed.end);
        if let Some(carrier) = problem.carrier {
            self.reserve(carrier, placed.move_start, placed.start);
        }
    }

    /// Places a whole job, with the stays on its machines, and reserves it. `order` lists its operations so that each
    /// stands after its predecessors.
    pub(crate) fn insert_job(
        &mut self,
        problem: &Problem,
        job: usize,
        order: &[usize],
    ) -> Result<Vec<Placed>, ScheduleError> {
        let operations = &problem.jobs[job].operations;
        let mut not_before: Vec<Vec<Ticks>> = operations.iter().map(|o| vec![0; o.modes.len()]).collect();
        for _ in 0..ATTEMPTS {
            let mut trial = self.clone();
            match trial.try_job(problem, job, order, &not_before) {
                Ok(placed) => {
                    *self = trial;
                    return Ok(placed);
                }
                Err((operation, mode, until)) => not_before[operation][mode] = until,
            }
        }
        Err(ScheduleError::NoPlacement { job: problem.jobs[job].name.clone() })
    }

    /// One attempt; on failure the operation and mode that must begin no earlier than the time given, because somebody
    /// else needs the machine before the job can leave it.
    fn try_job(
        &mut self,
        problem: &Problem,
        job: usize,
        order: &[usize],
        not_before: &[Vec<Ticks>],
    ) -> Result<Vec<Placed>, (usize, usize, Ticks)> {
        let count = problem.jobs[job].operations.len();
        let mut placed: Vec<Option<Placed>> = vec![None; count];
        let mut chosen = vec![0; count];
        for &at in order {
            let ready = ready(problem, job, at, &placed);
            let (mode, here) =
                self.best(problem, (job, at), ready, &not_before[at]).expect("a checked operation has a mode");
            self.take(problem, &here);
            (placed[at], chosen[at]) = (Some(here), mode);
            if let Some(before) = problem.jobs[job].source(at)
                && problem.jobs[job].operations[before].held_until == Some(at)
                && let Some(holder) = placed[before].as_mut()
            {
                holder.leave = here.move_start;
                if let Some((_, until)) = self.conflict(holder.machine, holder.end, holder.leave) {
                    return Err((before, chosen[before], until));
                }
                self.reserve(holder.machine, holder.end, holder.leave);
            }
        }
        Ok(placed.into_iter().flatten().collect())
    }
}

/// When an operation may begin, given where its predecessors were placed.
pub(crate) fn ready(problem: &Problem, job: usize, at: usize, placed: &[Option<Placed>]) -> Ready {
    let release = problem.jobs[job].release;
    let source = problem.jobs[job].source(at);
    let end = |index: &usize| placed[*index].map_or(0, |placed| placed.end);
    let start = problem.jobs[job].operations[at].after.iter().map(end).max().unwrap_or(0).max(release);
    let fetch = source.as_ref().map_or(release, end).max(release);
    Ready { from: source.and_then(|source| placed[source].map(|placed| placed.machine)), fetch, start }
}
