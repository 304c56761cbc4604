//! Known answers, and random problems that the independent checker judges.

use ppu_timetable::{
    Job, Machine, Mode, Operation, Problem, ScheduleError, Ticks, Violation, lower_bound, schedule, verify,
};
use proptest::prelude::*;

fn machines(names: &[&str]) -> Vec<Machine> {
    names.iter().map(|name| Machine { name: (*name).into(), available_from: 0 }).collect()
}

fn stay(name: &str, machine: usize, duration: Ticks) -> (String, Vec<Mode>) {
    (name.into(), vec![Mode { machine, duration }])
}

/// Six jobs on six machines, optimum 55: Fisher and Thompson (1963), known as FT06.
fn ft06() -> Problem {
    let table: [[(usize, Ticks); 6]; 6] = [
        [(2, 1), (0, 3), (1, 6), (3, 7), (5, 3), (4, 6)],
        [(1, 8), (2, 5), (4, 10), (5, 10), (0, 10), (3, 4)],
        [(2, 5), (3, 4), (5, 8), (0, 9), (1, 1), (4, 7)],
        [(1, 5), (0, 5), (2, 5), (3, 3), (4, 8), (5, 9)],
        [(2, 9), (1, 3), (4, 5), (5, 4), (0, 3), (3, 1)],
        [(1, 3), (3, 3), (5, 9), (0, 10), (4, 4), (2, 1)],
    ];
    let jobs = table.iter().enumerate().map(|(at, row)| {
        let stays = row.iter().map(|(machine, duration)| stay("o", *machine, *duration)).collect();
        Job::chain(format!("j{at}"), 0, stays, false)
    });
    Problem { jobs: jobs.collect(), machines: machines(&["a", "b", "c", "d", "e", "f"]), ..Problem::default() }
}

#[test]
fn two_samples_overlap_on_two_machines_in_the_shortest_time() {
    // Johnson's rule gives the optimum of a two-machine flow shop: 3+6+2 = 11 with the short coating first.
    let jobs = [("s1", 5, 2), ("s2", 3, 6)]
        .map(|(name, coat, anneal)| Job::chain(name, 0, vec![stay("coat", 0, coat), stay("anneal", 1, anneal)], false));
    let problem = Problem { machines: machines(&["coater", "furnace"]), jobs: jobs.to_vec(), ..Problem::default() };
    let timetable = schedule(&problem).unwrap();
    assert_eq!(verify(&problem, &timetable), vec![]);
    assert_eq!(timetable.makespan(), 11);
    assert_eq!(timetable.order(0), vec![(1, 0), (0, 0)]);
}

#[test]
fn the_six_by_six_benchmark_is_near_its_optimum() {
    let problem = ft06();
    let timetable = schedule(&problem).unwrap();
    assert_eq!(verify(&problem, &timetable), vec![]);
    println!("FT06: makespan {} (optimum 55), {}", timetable.makespan(), timetable.rule);
    assert!((55..=63).contains(&timetable.makespan()), "{}", timetable.makespan());
}

#[test]
fn a_finished_sample_blocks_its_place_until_it_is_fetched() {
    // The diffractometer takes 10, the furnace 4: the second sample waits in the furnace and keeps the third out of it.
    let job = |name: &str| Job::chain(name, 0, vec![stay("anneal", 0, 4), stay("scan", 1, 10)], true);
    let jobs = vec![job("s1"), job("s2"), job("s3")];
    let problem = Problem { machines: machines(&["furnace", "aeris"]), jobs, ..Problem::default() };
    let timetable = schedule(&problem).unwrap();
    assert_eq!(verify(&problem, &timetable), vec![]);
    assert_eq!(timetable.operations[1][0].leave, 14);
    assert_eq!(timetable.operations[2][0].start, 14);
    assert_eq!(timetable.makespan(), 34);
}

#[test]
fn one_arm_makes_one_move_at_a_time() {
    let mut machines = machines(&["coat", "furnace_a", "furnace_b", "arm"]);
    machines[3].available_from = 7;
    let anneal = ("anneal".to_owned(), vec![Mode { machine: 1, duration: 10 }, Mode { machine: 2, duration: 10 }]);
    let job = |name: &str| Job::chain(name, 0, vec![stay("coat", 0, 2), anneal.clone()], true);
    let transport = vec![vec![3; 4]; 4];
    let problem = Problem { machines, jobs: vec![job("s1"), job("s2")], transport, carrier: Some(3) };
    let timetable = schedule(&problem).unwrap();
    assert_eq!(verify(&problem, &timetable), vec![]);
    // The arm comes at 7 and carries for 3, so the second coating takes 7 to 9, and its move waits for the arm until 10.
    assert_eq!(timetable.operations[0][1].move_start, 7);
    assert_eq!(timetable.makespan(), 23);
    assert_ne!(timetable.operations[0][1].machine, timetable.operations[1][1].machine);
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let problem = ft06();
    let good = schedule(&problem).unwrap();
    let mut overlapping = good.clone();
    let first = overlapping.order(0)[0];
    let second = overlapping.order(0)[1];
    let start = overlapping.operations[first.0][first.1].start;
    let placed = &mut overlapping.operations[second.0][second.1];
    let length = placed.end - placed.start;
    (placed.move_start, placed.start, placed.end, placed.leave) = (start, start, start + length, start + length);
    assert!(verify(&problem, &overlapping).iter().any(|violation| matches!(violation, Violation::Machine(0, ..))));
    let mut short = good.clone();
    short.operations[0][0].end += 1;
    assert!(verify(&problem, &short).contains(&Violation::Mode((0, 0))));
    let mut missing = good;
    missing.operations.pop();
    assert_eq!(verify(&problem, &missing), vec![Violation::Shape]);
}

#[test]
fn bad_problems_are_refused_by_name() {
    let mut problem = ft06();
    problem.jobs[2].operations[1].modes.clear();
    let error = schedule(&problem).unwrap_err();
    assert!(matches!(&error, ScheduleError::Problem(cause) if cause.to_string().contains("`j2`")), "{error}");
    let mut problem = ft06();
    problem.jobs[0].operations[0].after = vec![3];
    assert!(schedule(&problem).is_err());
    let mut problem = ft06();
    problem.carrier = Some(9);
    assert!(schedule(&problem).is_err());
}

#[test]
fn nothing_to_do_takes_no_time() {
    let timetable = schedule(&Problem::default()).unwrap();
    assert_eq!((timetable.makespan(), timetable.operations.len()), (0, 0));
}

fn problems() -> impl Strategy<Value = Problem> {
    let operation = (proptest::collection::vec((0..4_usize, 0..20_u64), 1..3), any::<bool>(), any::<bool>());
    let job = (0..30_u64, proptest::collection::vec(operation, 1..6));
    let transport = proptest::collection::vec(0..6_u64, 16);
    (proptest::collection::vec(job, 0..7), transport, any::<bool>(), 0..15_u64).prop_map(
        |(jobs, transport, arm, busy)| {
            let jobs =
                jobs.into_iter().enumerate().map(|(at, (release, operations))| random_job(at, release, &operations));
            let mut machines = machines(&["a", "b", "c", "d"]);
            machines[3].available_from = busy;
            let transport = transport.chunks(4).map(<[u64]>::to_vec).collect();
            // Machine d is the arm in half of the problems; operations are on it, too, which is harder than life.
            Problem { machines, jobs: jobs.collect(), transport, carrier: arm.then_some(3) }
        },
    )
}

type RandomOperation = (Vec<(usize, Ticks)>, bool, bool);

fn random_job(at: usize, release: Ticks, operations: &[RandomOperation]) -> Job {
    let count = operations.len();
    let operations = operations.iter().enumerate().map(|(o, (modes, blocking, fork))| Operation {
        name: format!("o{o}"),
        modes: modes.iter().map(|(machine, duration)| Mode { machine: *machine, duration: *duration }).collect(),
        after: if o == 0 {
            vec![]
        } else if *fork && o > 1 {
            vec![o - 2, o - 1]
        } else {
            vec![o - 1]
        },
        held_until: (*blocking && o + 1 < count).then_some(o + 1),
    });
    Job { name: format!("j{at}"), release, operations: operations.collect() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_timetable_can_be_carried_out(problem in problems()) {
        let timetable = schedule(&problem).unwrap();
        prop_assert_eq!(verify(&problem, &timetable), vec![]);
        prop_assert!(timetable.makespan() >= lower_bound(&problem).unwrap());
        prop_assert_eq!(schedule(&problem).unwrap(), timetable);
    }
}
