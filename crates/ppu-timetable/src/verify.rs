//! An independent check of a timetable. It shares no code with the scheduler.

use crate::problem::{Problem, Ticks};
use crate::schedule::{Placed, Timetable};

/// What is wrong with a timetable. Operations are given as (job, operation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The timetable does not have the shape of the problem.
    Shape,
    /// The operation is not done in one of its modes: wrong machine or wrong duration.
    Mode((usize, usize)),
    /// It begins, or is fetched, before the release of its job or the end of a predecessor.
    TooEarly((usize, usize)),
    /// The move takes longer or shorter than the transport table says.
    Travel((usize, usize)),
    /// The job leaves before its operation ends, or not at the move it must wait for.
    Leave((usize, usize)),
    /// Two operations are on one machine, or one is there before the machine is available.
    Machine(usize, (usize, usize), Option<(usize, usize)>),
    /// Two moves need the carrier at once, or one needs it before it is available.
    Carrier((usize, usize), Option<(usize, usize)>),
}

/// Every violation; an empty list means that the timetable can be carried out.
pub fn verify(problem: &Problem, timetable: &Timetable) -> Vec<Violation> {
    let shape = timetable.operations.iter().map(Vec::len);
    if !shape.eq(problem.jobs.iter().map(|job| job.operations.len())) {
        return vec![Violation::Shape];
    }
    let mut found = Vec::new();
    let mut stays: Vec<Vec<Interval>> = vec![Vec::new(); problem.machines.len()];
    let mut moves = Vec::new();
    for (job, placed) in timetable.operations.iter().enumerate() {
        for (at, here) in placed.iter().enumerate() {
            check_operation(problem, (job, at), placed, &mut found);
            if let Some(stays) = stays.get_mut(here.machine) {
                stays.push((here.move_start, here.leave, (job, at)));
            }
            moves.push((here.move_start, here.start, (job, at)));
        }
    }
    if let Some(carrier) = problem.carrier {
        for (who, other) in overlaps(moves, problem.machines[carrier].available_from) {
            found.push(Violation::Carrier(who, other));
        }
    }
    for (machine, stays) in stays.into_iter().enumerate() {
        for (who, other) in overlaps(stays, problem.machines[machine].available_from) {
            found.push(Violation::Machine(machine, who, other));
        }
    }
    found
}

fn check_operation(problem: &Problem, (job, at): (usize, usize), placed: &[Placed], found: &mut Vec<Violation>) {
    let (here, operation) = (placed[at], &problem.jobs[job].operations[at]);
    let who = (job, at);
    if !operation.modes.iter().any(|mode| mode.machine == here.machine && here.start + mode.duration == here.end) {
        found.push(Violation::Mode(who));
    }
    let early = operation.after.iter().any(|before| here.start < placed[*before].end);
    let source = problem.jobs[job].source(at);
    let fetched_early = source.is_some_and(|source| here.move_start < placed[source].end);
    if early || fetched_early || here.move_start < problem.jobs[job].release {
        found.push(Violation::TooEarly(who));
    }
    let travel = source.map_or(0, |source| problem.travel(placed[source].machine, here.machine));
    if here.move_start + travel != here.start {
        found.push(Violation::Travel(who));
    }
    let leave = operation.held_until.map_or(here.end, |next| placed[next].move_start);
    if here.leave < here.end || here.leave != leave {
        found.push(Violation::Leave(who));
    }
}

/// Start, end, and the operation.
type Interval = (Ticks, Ticks, (usize, usize));
type Overlap = ((usize, usize), Option<(usize, usize)>);

/// Intervals that share time with the one before them, or begin before `available`. Empty intervals share nothing.
fn overlaps(mut intervals: Vec<Interval>, available: Ticks) -> Vec<Overlap> {
    intervals.retain(|(start, end, _)| start < end);
    intervals.sort_unstable();
    let mut found: Vec<Overlap> =
        intervals.iter().filter(|(start, ..)| *start < available).map(|(.., who)| (*who, None)).collect();
    let mut latest: Option<(Ticks, (usize, usize))> = None;
    for (start, end, who) in intervals {
        if let Some((until, other)) = latest
            && start < until
        {
            found.push((who, Some(other)));
        }
        if latest.is_none_or(|(until, _)| end > until) {
            latest = Some((end, who));
        }
    }
    found
}
