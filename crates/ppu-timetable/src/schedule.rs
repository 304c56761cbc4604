//! A timetable by serial schedule generation: a portfolio of priority rules, of which the best answer is kept.

use std::cmp::Reverse;

use crate::place::{Board, ready};
use crate::problem::{Problem, ProblemError, Ticks};
use crate::rank::ranks;

/// When and where one operation takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Index of the machine.
    pub machine: usize,
    /// Start of the move to it; the machine is taken from here on.
    pub move_start: Ticks,
    /// Start of the operation, when the job has arrived.
    pub start: Ticks,
    /// End of the operation.
    pub end: Ticks,
    /// When the job leaves the machine, at or after the end.
    pub leave: Ticks,
}

/// When and where everything takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// `[job][operation]`.
    pub operations: Vec<Vec<Placed>>,
    /// The priority rule that gave it.
    pub rule: &'static str,
}

/// Why there is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The problem makes no sense.
    #[error("the timetable problem is not well formed")]
    Problem(#[from] ProblemError),
    /// A job that stands in its own way: it needs a machine that it holds itself.
    #[error("job `{job}` cannot be placed: it needs a machine while it blocks that machine itself")]
    NoPlacement {
        /// The job.
        job: String,
    },
}

impl Timetable {
    /// When the last operation ends; 0 for nothing to do.
    pub fn makespan(&self) -> Ticks {
        self.operations.iter().flatten().map(|placed| placed.end).max().unwrap_or(0)
    }

    /// When the last operation of a job ends.
    pub fn job_end(&self, job: usize) -> Option<Ticks> {
        self.operations.get(job)?.iter().map(|placed| placed.end).max()
    }

    /// The order on a machine as (job, operation), by start. What the dispatcher follows: order, not minutes.
    pub fn order(&self, machine: usize) -> Vec<(usize, usize)> {
        let mut here: Vec<(Ticks, usize, usize)> = Vec::new();
        for (job, operations) in self.operations.iter().enumerate() {
            let on = operations.iter().enumerate().filter(|(_, placed)| placed.machine == machine);
            here.extend(on.map(|(at, placed)| (placed.start, job, at)));
        }
        here.sort_unstable();
        here.into_iter().map(|(_, job, at)| (job, at)).collect()
    }

    /// Makespan first, then the sum of the ends of all jobs.
    fn cost(&self) -> (Ticks, Ticks) {
        (self.makespan(), (0..self.operations.len()).filter_map(|job| self.job_end(job)).sum())
    }
}

/// The best timetable of a small portfolio: jobs inserted whole in three orders (longest path first, earliest release
/// first, shortest path first), and, where no position blocks, operations inserted one by one with the longest remaining
/// path first and by the conflict sets of Giffler and Thompson, Oper. Res. 8, 487 (1960). Ties go to the rule named first.
pub fn schedule(problem: &Problem) -> Result<Timetable, ScheduleError> {
    let ranks = ranks(problem)?;
    let longest = |job: usize| ranks[job].iter().copied().max().unwrap_or(0);
    let release = |job: usize| problem.jobs[job].release;
    let by = |key: &dyn Fn(usize) -> (Ticks, Reverse<Ticks>)| {
        let mut order: Vec<usize> = (0..problem.jobs.len()).collect();
        order.sort_by_key(|job| (key(*job), *job));
        order
    };
    let orders = [
        ("whole jobs, longest path first", by(&|job| (0, Reverse(longest(job))))),
        ("whole jobs, earliest release first", by(&|job| (release(job), Reverse(longest(job))))),
        ("whole jobs, shortest path first", by(&|job| (longest(job), Reverse(0)))),
    ];
    let mut best: Option<Timetable> = None;
    let mut keep = |candidate: Timetable| {
        if best.as_ref().is_none_or(|best| candidate.cost() < best.cost()) {
            best = Some(candidate);
        }
    };
    for (rule, order) in orders {
        keep(whole_jobs(problem, &ranks, &order, rule)?);
    }
    let blocks = problem.jobs.iter().flat_map(|job| &job.operations).any(|operation| operation.held_until.is_some());
    if !blocks {
        keep(operations(problem, &ranks, false));
        keep(operations(problem, &ranks, true));
    }
    Ok(best.expect("at least one rule was tried"))
}

fn whole_jobs(
    problem: &Problem,
    ranks: &[Vec<Ticks>],
    jobs: &[usize],
    rule: &'static str,
) -> Result<Timetable, ScheduleError> {
    let mut board = Board::new(problem);
    let mut placed = vec![Vec::new(); problem.jobs.len()];
    for &job in jobs {
        let mut order: Vec<usize> = (0..problem.jobs[job].operations.len()).collect();
        // A predecessor has at least the rank of its successor, and the smaller index where the ranks are equal.
        order.sort_by_key(|at| (Reverse(ranks[job][*at]), *at));
        placed[job] = board.insert_job(problem, job, &order)?;
    }
    Ok(Timetable { operations: placed, rule })
}

/// Operation by operation. With `conflict_sets` only operations that compete for the machine of the earliest possible end
/// are considered, otherwise every operation whose predecessors are placed.
fn operations(problem: &Problem, ranks: &[Vec<Ticks>], conflict_sets: bool) -> Timetable {
    let mut board = Board::new(problem);
    let mut placed: Vec<Vec<Option<Placed>>> =
        problem.jobs.iter().map(|job| vec![None; job.operations.len()]).collect();
    let total: usize = placed.iter().map(Vec::len).sum();
    for _ in 0..total {
        let mut open = Vec::new();
        for (job, placed) in placed.iter().enumerate() {
            for (at, operation) in problem.jobs[job].operations.iter().enumerate() {
                if placed[at].is_none() && operation.after.iter().all(|before| placed[*before].is_some()) {
                    let best = board.best(problem, (job, at), ready(problem, job, at, placed), &[]);
                    open.extend(best.map(|(_, here)| (job, at, here)));
                }
            }
        }
        let first = open.iter().map(|(.., here)| (here.end, here.machine)).min();
        let (end, machine) = first.expect("some operation has all its predecessors placed");
        let in_set =
            |here: &Placed| !conflict_sets || (here.machine == machine && here.move_start < end) || here.end == end;
        let competing = open.into_iter().filter(|(.., here)| in_set(here));
        let (job, at, here) = competing
            .min_by_key(|(job, at, _)| (Reverse(ranks[*job][*at]), *job, *at))
            .expect("the first to end is in");
        board.take(problem, &here);
        placed[job][at] = Some(here);
    }
    let operations = placed.into_iter().map(|job| job.into_iter().flatten().collect()).collect();
    let rule = if conflict_sets { "conflict sets, longest path first" } else { "operations, longest path first" };
    Timetable { operations, rule }
}
