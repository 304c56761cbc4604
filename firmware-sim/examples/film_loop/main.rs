//! Lab trials to the goal in the demo's world: the optimizer alone, with twin and proposer, and with a twin made to lie. The
//! world stands in one process with the production proposer, twin, optimizer and analysis; films are made one batch after
//! another.
//!
//! A best score by measured values owes part of itself to luck: films made alike differ. Beside it stands what each campaign would
//! recommend after so many trials, made anew several times.
//!
//! `film_loop [--seeds N] [--trials N] [--first SEED] [--arms NAME,NAME]` (of alone, twin, flow, reversed, shuffled)
//! prints one line of JSON a bar; progress goes to standard error. `cargo xtask bench proposer` builds and runs it.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod lab;
mod liar;

use std::time::Instant;

use firmware_sim::world::WorldConfig;
use ppu_core::campaign::{CampaignSpec, Generator};
use ppu_core::objective::score;
use ppu_core::protocol::Protocol;
use ppu_core::{Candidate, Observation};
use ppu_optimizer::{Trial, TrialOutcome};
use ppu_proposer::Guided;
use ppu_twin::{Fidelity, FilmTwin, Twin};

use lab::{Lab, SLIDES};
use liar::Liar;

/// What went wrong, in a sentence for people.
type Problem = String;

const WORLD: &str = include_str!("../../../config/worlds/perovskite.toml");
const CAMPAIGN: &str = include_str!("../../../config/campaigns/wide_gap_perovskite.toml");
const PROTOCOL: &str = include_str!("../../../config/protocols/drop_cast_film.toml");
/// Films that are made of what a campaign recommends.
const ANEW: u32 = 8;

/// Who guides a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    Alone,
    Twin,
    Flow,
    Flipped,
    Shuffled,
}

/// Arms with their names in `--arms` and in the report.
const ARMS: [(Arm, &str, &str); 5] = [
    (Arm::Alone, "alone", "optimizer alone"),
    (Arm::Twin, "twin", "twin and proposer"),
    (Arm::Flow, "flow", "twin and flow"),
    (Arm::Flipped, "reversed", "a twin that lies: reversed"),
    (Arm::Shuffled, "shuffled", "a twin that lies: shuffled"),
];

struct Settings {
    seeds: u64,
    first: u64,
    trials: usize,
    arms: Vec<(Arm, &'static str)>,
}

/// How a campaign went.
struct Run {
    /// The best score by measured values after every trial. A film without all values counts as none.
    best: Vec<f64>,
    /// By how many standard deviations each prediction was missed.
    errors: Vec<f64>,
    /// Mean score of films made anew of the candidate with the highest expected score, after each of [`budgets`].
    recommended: Vec<f64>,
}

fn main() -> Result<(), Problem> {
    let arms = ARMS.map(|(arm, _, title)| (arm, title)).to_vec();
    let mut settings = Settings { seeds: 20, first: 1, trials: 24, arms };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        if argument == "--arms" {
            settings.arms = chosen(&value)?;
            continue;
        }
        let number = value.parse::<u64>().map_err(|error| format!("{value}: {error}"))?;
        match argument.as_str() {
            "--seeds" => settings.seeds = number.max(1),
            "--first" => settings.first = number,
            "--trials" => settings.trials = number.clamp(8, u64::from(SLIDES)) as usize,
            _ => return Err(format!("{argument} is not known")),
        }
    }
    let world = world()?;
    let protocol = Protocol::parse("drop_cast_film.toml", PROTOCOL).map_err(|error| error.to_string())?;
    let spec =
        CampaignSpec::parse("wide_gap_perovskite.toml", CAMPAIGN, &protocol).map_err(|error| error.to_string())?;
    let mut runs: Vec<Vec<Run>> = settings.arms.iter().map(|_| Vec::new()).collect();
    for seed in settings.first..settings.first + settings.seeds {
        for ((arm, name), all) in settings.arms.iter().zip(&mut runs) {
            let started = Instant::now();
            let run = campaign(*arm, &world, &spec, &settings, seed)?;
            let at = |trials: usize| run.best[trials.min(run.best.len()) - 1];
            eprintln!(
                "seed {seed}, {name}: best {:.3} after 8, {:.3} after 12, {:.3} after 24, {:.3} after {}; recommended {:.3?} ({:.1} s)",
                at(8),
                at(12),
                at(24),
                at(settings.trials),
                settings.trials,
                run.recommended,
                started.elapsed().as_secs_f64()
            );
            all.push(run);
        }
    }
    report(&spec, &settings.arms, &runs);
    recommended(&spec, &settings.arms, &runs);
    calibration(&settings.arms, &runs);
    Ok(())
}

/// The arms of that name; the optimizer alone is always among them, since its scores are the goals.
fn chosen(names: &str) -> Result<Vec<(Arm, &'static str)>, Problem> {
    let wanted: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(wrong) = wanted.iter().find(|name| !ARMS.iter().any(|(_, known, _)| known == *name)) {
        return Err(format!("{wrong:?} is no arm; choose of {}", ARMS.map(|(_, known, _)| known).join(", ")));
    }
    let arms = ARMS.iter().filter(|(arm, name, _)| *arm == Arm::Alone || wanted.contains(name));
    Ok(arms.map(|(arm, _, title)| (*arm, *title)).collect())
}

/// The shipped world with slides enough.
fn world() -> Result<WorldConfig, Problem> {
    let file: toml::Table = WORLD.parse().map_err(|error| format!("perovskite.toml: {error}"))?;
    let table = file.get("world").ok_or("perovskite.toml has no [world]")?.clone();
    let mut world: WorldConfig = table.try_into().map_err(|error| format!("perovskite.toml: {error}"))?;
    world.samples.count = SLIDES;
    world
        .position
        .iter_mut()
        .filter(|place| place.name == world.samples.rack)
        .for_each(|rack| rack.count = Some(SLIDES));
    Ok(world)
}

fn campaign(
    arm: Arm,
    world: &WorldConfig,
    spec: &CampaignSpec,
    settings: &Settings,
    seed: u64,
) -> Result<Run, Problem> {
    let mut lab = Lab::new(world, seed)?;
    let twin = FilmTwin::new(spec.fixed.clone());
    let flipped = Liar::reversed(&twin, &spec.space);
    let shuffled = Liar::shuffled(&twin, &spec.space);
    let twin: Option<&dyn Twin> = match arm {
        Arm::Alone => None,
        Arm::Twin | Arm::Flow => Some(&twin),
        Arm::Flipped => Some(&flipped),
        Arm::Shuffled => Some(&shuffled),
    };
    let guided = Guided {
        space: &spec.space,
        objectives: &spec.objectives,
        seed,
        generator: if arm == Arm::Flow { Generator::Flow } else { Generator::Annealed },
        twin: twin.map(|twin| (twin, Fidelity::Process)),
        opinions: &[],
    };
    let mut run = Run { best: Vec::new(), errors: Vec::new(), recommended: Vec::new() };
    let (mut trials, mut round) = (Vec::<Trial>::new(), 0);
    loop {
        let count = (spec.batch as usize).min(settings.trials - trials.len()).max(1);
        let guidance = guided.suggest(&trials, &[], round, count).map_err(|error| format!("{error:?}"))?;
        if budgets(spec).contains(&trials.len()) {
            let incumbent = guidance.proposal.incumbent.as_ref().map(|incumbent| &incumbent.candidate);
            run.recommended.push(incumbent.map_or(Ok(0.0), |candidate| anew(world, spec, seed, candidate))?);
        }
        if trials.len() >= settings.trials {
            return Ok(run);
        }
        for (pick, expected) in guidance.proposal.picks.iter().zip(guidance.expected) {
            let observation = lab.run(&pick.candidate)?;
            let reached = worth(spec, &observation);
            run.best.push(run.best.last().copied().unwrap_or(0.0_f64).max(reached));
            run.errors.extend(expected.iter().filter_map(|said| {
                let measured = observation.values.get(&said.objective)?;
                Some((measured.value - said.mean) / said.sd.hypot(measured.sd))
            }));
            let id = format!("trial {}", trials.len());
            let (candidate, outcome) = (pick.candidate.clone(), TrialOutcome::Valid(observation));
            trials.push(Trial { id, candidate, expected, outcome });
        }
        round += 1;
    }
}

fn worth(spec: &CampaignSpec, observation: &Observation) -> f64 {
    observation.complete(&spec.objectives).map_or(0.0, |values| score(&spec.objectives, &values))
}

/// Mean score of [`ANEW`] films of a candidate in a world of the same truth.
fn anew(world: &WorldConfig, spec: &CampaignSpec, seed: u64, candidate: &Candidate) -> Result<f64, Problem> {
    let mut lab = Lab::new(world, seed)?;
    let scores = (0..ANEW).map(|_| Ok(worth(spec, &lab.run(candidate)?)));
    Ok(scores.sum::<Result<f64, Problem>>()? / f64::from(ANEW))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}

/// Trials after which the median score of the optimizer alone becomes a goal: a third of the shipped budget, half, and all.
fn budgets(spec: &CampaignSpec) -> [usize; 3] {
    let whole = spec.budget_trials as usize;
    [whole / 3, whole / 2, whole]
}

fn report(spec: &CampaignSpec, arms: &[(Arm, &str)], runs: &[Vec<Run>]) {
    let trials = runs[0][0].best.len();
    for budget in budgets(spec).into_iter().filter(|budget| *budget <= trials) {
        let goal = median(&mut runs[0].iter().map(|run| run.best[budget - 1]).collect::<Vec<_>>());
        // A campaign that never gets there counts as one that would take one trial more than it had.
        let needed =
            |Run { best, .. }: &Run| (best.iter().position(|score| *score >= goal).unwrap_or(best.len()) + 1) as f64;
        let alone = median(&mut runs[0].iter().map(needed).collect::<Vec<_>>());
        for ((which, name), all) in arms.iter().zip(runs) {
            let mut needed: Vec<f64> = all.iter().map(needed).collect();
            let value = median(&mut needed);
            let quartile = |q: f64| needed[((needed.len() - 1) as f64 * q).round() as usize];
            let (target, holds) = match which {
                Arm::Alone => ("a yardstick", true),
                Arm::Twin | Arm::Flow => ("at most half the trials of the optimizer alone", value <= 0.5 * alone),
                Arm::Flipped | Arm::Shuffled => ("not worse than the optimizer alone", value <= alone),
            };
            let bar = format!(
                "demo world, {name}: lab trials to the score {goal:.3}, which the optimizer alone has after {budget} (median of {} seeds, quartiles {:.0} to {:.0})",
                all.len(),
                quartile(0.25),
                quartile(0.75)
            );
            print(&bar, value, target, (*which != Arm::Alone).then_some(alone), holds);
        }
    }
}

/// What the campaigns would recommend, as [`Run::recommended`] says: with a twin after half the trials beside the optimizer alone
/// after all of them.
fn recommended(spec: &CampaignSpec, arms: &[(Arm, &str)], runs: &[Vec<Run>]) {
    let budgets = budgets(spec);
    let reached = runs[0].iter().map(|run| run.recommended.len()).min().unwrap_or(0);
    let after = |all: &[Run], at: usize| median(&mut all.iter().map(|run| run.recommended[at]).collect::<Vec<_>>());
    for ((which, name), all) in arms.iter().zip(runs) {
        for (at, budget) in budgets.iter().enumerate().take(reached) {
            let value = after(all, at);
            let full = (reached == budgets.len()).then(|| after(&runs[0], budgets.len() - 1));
            let halved = matches!(which, Arm::Twin | Arm::Flow) && 2 * budget == budgets[budgets.len() - 1];
            let (target, peer) = match full {
                Some(full) if halved => ("at least that of the optimizer alone after twice as many", Some(full)),
                _ => ("a yardstick", None),
            };
            let bar = format!(
                "demo world, {name}: mean score of {ANEW} films made anew of what it recommends after {budget} trials (median of {} seeds)",
                all.len()
            );
            print(&bar, value, target, peer, peer.is_none_or(|peer| value >= peer));
        }
    }
}

/// Shares of the measurements within the central 50 % and 90 % of what was predicted before each trial.
fn calibration(arms: &[(Arm, &str)], runs: &[Vec<Run>]) {
    for ((_, name), all) in arms.iter().zip(runs) {
        let errors: Vec<f64> = all.iter().flat_map(|run| run.errors.iter().copied()).collect();
        for (percent, limit) in [(50, 0.674), (90, 1.645)] {
            let value = errors.iter().filter(|z| z.abs() <= limit).count() as f64 / errors.len() as f64;
            let wanted = f64::from(percent) / 100.0;
            let bar =
                format!("demo world, {name}: of {} measurements, share within the predicted {percent} %", errors.len());
            let target = format!("{wanted} +- 0.1");
            print(&bar, value, &target, None, (value - wanted).abs() <= 0.1);
        }
    }
}

/// One bar, a line of JSON.
fn print(bar: &str, value: f64, target: &str, alone: Option<f64>, holds: bool) {
    let (peer, peer_value) = alone.map_or(("-", "null".to_owned()), |alone| ("optimizer alone", format!("{alone:.4}")));
    println!(
        "{{\"bar\":{bar:?},\"value\":{value:.4},\"unit\":\"1\",\"target\":{target:?},\"peer\":{peer:?},\"peer_value\":{peer_value},\"holds\":{holds}}}"
    );
}
