//! Upward ranks, and a lower bound on the makespan.

use crate::problem::{Job, Problem, ProblemError, Ticks};

/// For every operation, `[job][operation]`, the longest path from its start to the end of its job: the durations of the
/// quickest modes plus the shortest moves between machines. The dispatcher serves the largest rank first; `now` plus the
/// rank of what runs next is an optimistic forecast of the end of the job.
pub fn ranks(problem: &Problem) -> Result<Vec<Vec<Ticks>>, ProblemError> {
    problem.check()?;
    Ok(problem.jobs.iter().map(|job| job_ranks(problem, job)).collect())
}

fn job_ranks(problem: &Problem, job: &Job) -> Vec<Ticks> {
    let count = job.operations.len();
    let mut remaining = vec![0; count];
    for at in (0..count).rev() {
        remaining[at] += quickest(job, at);
        let arrival = remaining[at];
        for &before in &job.operations[at].after {
            let travel = if job.source(at) == Some(before) { shortest_move(problem, job, before, at) } else { 0 };
            remaining[before] = remaining[before].max(arrival + travel);
        }
    }
    remaining
}

/// Duration of the quickest mode.
fn quickest(job: &Job, at: usize) -> Ticks {
    job.operations[at].modes.iter().map(|mode| mode.duration).min().unwrap_or(0)
}

fn shortest_move(problem: &Problem, job: &Job, from: usize, to: usize) -> Ticks {
    let pairs = job.operations[from].modes.iter().flat_map(|a| job.operations[to].modes.iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| problem.travel(a.machine, b.machine)).min().unwrap_or(0)
}

/// No timetable ends before this: the longest job path after its release, and for every machine the work that only it
/// can do after it becomes available.
pub fn lower_bound(problem: &Problem) -> Result<Ticks, ProblemError> {
    let ranks = ranks(problem)?;
    let paths = problem.jobs.iter().zip(&ranks).filter_map(|(job, ranks)| {
        let longest = ranks.iter().max()?;
        Some(job.release + longest)
    });
    let loads = problem.machines.iter().enumerate().map(|(at, machine)| {
        let operations = problem.jobs.iter().flat_map(|job| &job.operations);
        let only_here = operations.filter(|operation| operation.modes.iter().all(|mode| mode.machine == at));
        let work: Ticks =
            only_here.filter_map(|operation| operation.modes.iter().map(|mode| mode.duration).min()).sum();
        if work == 0 { 0 } else { machine.available_from + work }
    });
    Ok(paths.chain(loads).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Machine, Mode, Operation};

    #[test]
    fn the_rank_is_the_longest_remaining_path() {
        let operation = |duration, after: &[usize]| Operation {
            name: "o".into(),
            modes: vec![Mode { machine: 0, duration }, Mode { machine: 1, duration: duration + 5 }],
            after: after.to_vec(),
            held_until: None,
        };
        let machine = |name: &str| Machine { name: name.into(), available_from: 0 };
        // A diamond: 0 before 1 and 2, both before 3.
        let operations = vec![operation(2, &[]), operation(7, &[0]), operation(3, &[0]), operation(4, &[1, 2])];
        let jobs = vec![Job { name: "j".into(), release: 10, operations }];
        let problem = Problem { machines: vec![machine("a"), machine("b")], jobs, ..Problem::default() };
        assert_eq!(ranks(&problem).unwrap(), vec![vec![13, 11, 7, 4]]);
        assert_eq!(lower_bound(&problem).unwrap(), 23);
    }
}
