//! `simulation`: tells many stories, and says which seeds must be looked at.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ppu_simulation::story::{Script, tell};
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Parser)]
#[command(about = "The real scheduler and drivers in one process, with simulated network, disk, time and faults.")]
struct Arguments {
    /// Stories to tell.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// Seed of the first one.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Hours of lab time of each.
    #[arg(long, default_value_t = 6)]
    hours: u64,
    /// Threads that tell stories.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

#[derive(Debug, Default)]
struct Sum {
    stories: u64,
    bad: u64,
    executions: usize,
    deaths: u64,
    resolved: u64,
    faults: usize,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder().with_default_directive(LevelFilter::OFF.into()).from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let began = Instant::now();
    let sums: Vec<Sum> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.threads)
            .map(|worker| {
                let arguments = &arguments;
                scope.spawn(move || tell_some(arguments, worker))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a story that panics has said why")).collect()
    });
    let total = |field: fn(&Sum) -> u64| sums.iter().map(field).sum::<u64>();
    report(&format!(
        "{} stories x {} h of lab time in {:.0} s: {} faults, {} deaths of processes, {} physical actions, {} doubts resolved by a \
         person, {} stories with a violation",
        total(|sum| sum.stories),
        arguments.hours,
        began.elapsed().as_secs_f64(),
        total(|sum| sum.faults as u64),
        total(|sum| sum.deaths),
        total(|sum| sum.executions as u64),
        total(|sum| sum.resolved),
        total(|sum| sum.bad)
    ));
    if total(|sum| sum.bad) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_some(arguments: &Arguments, worker: u64) -> Sum {
    let mut sum = Sum::default();
    let hours = Duration::from_secs(arguments.hours * 3600);
    let seeds = arguments.first..arguments.first + arguments.seeds;
    for seed in seeds.filter(|seed| seed % arguments.threads == worker) {
        let script = Script::random(seed, hours);
        sum.stories += 1;
        sum.faults += script.faults.len();
        match tell(&script) {
            Ok(ending) => {
                sum.executions += ending.executions();
                sum.deaths += ending.deaths;
                sum.resolved += ending.resolved;
                if !ending.violations.is_empty() {
                    sum.bad += 1;
                    report(&format!("seed {seed}:\n  {}", ending.violations.join("\n  ")));
                }
            }
            Err(error) => {
                sum.bad += 1;
                report(&format!("seed {seed}: {error:#}"));
            }
        }
    }
    sum
}

#[expect(clippy::print_stdout, reason = "the counts are what was asked for")]
fn report(text: &str) {
    println!("{text}");
}
