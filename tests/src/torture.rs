//! A lab of real processes that are killed and stopped at random moments while campaigns run. The judge is the ledger of
//! the simulated world, which counts what physically happened.

pub(crate) mod operator;
mod report;
mod schedule;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

pub use report::Report;
pub use schedule::Sizes;

use crate::harness::{LabOptions, RunningLab, wait_until};
use crate::ledger;
use crate::process::Process;
use operator::{Operator, Sight, Task};
use schedule::{Act, Blow, Strike, schedule};

/// A process that was killed lives again within this time, or the supervisor has failed.
const AGAIN_WITHIN: Duration = Duration::from_secs(30);
/// A lab whose journal does not grow for this long has got stuck.
const STUCK_AFTER: Duration = Duration::from_secs(90);
/// Restarts that the supervisor grants: more than there are kills.
const RESTARTS: usize = 1_000_000;
/// Its longest wait before a restart. The usual doubling would make the lab wait for minutes after so many kills.
const RESTART_WAIT: Duration = Duration::from_millis(400);

type Blows = VecDeque<(Duration, Blow)>;

/// Tortures labs until everything that was asked for was done; each lab then sees its campaigns through and is held
/// against its world.
///
/// # Errors
/// When a lab cannot be brought up or looked at. Violations are no errors: they stand in the report.
pub async fn kill(sizes: &Sizes, seed: u64, tell: impl Fn(&str)) -> anyhow::Result<Report> {
    let began = Instant::now();
    let mut blows: Blows = schedule(sizes, &mut ChaCha8Rng::seed_from_u64(seed)).into();
    let mut report = Report { seed, ..Report::default() };
    while !blows.is_empty() {
        report.labs += 1;
        let lab_seed = seed.wrapping_add(1000 * report.labs as u64);
        let options = LabOptions {
            instruments_outlive: true,
            restarts: Some((RESTARTS, RESTART_WAIT)),
            ..LabOptions::new(sizes.speed, lab_seed)
        };
        let lab = RunningLab::start_with(options).await?;
        let before = report.violations().len();
        lab.check(async |lab| {
            one_lab(lab, lab_seed, &mut blows, &mut report).await?;
            let violations = report.violations();
            anyhow::ensure!(violations.len() == before, "{}", violations[before..].join("\n"));
            Ok(())
        })
        .await
        .or_else(|error| {
            // The evidence is kept and named; what is wrong stands in the report, unless the lab could not be judged.
            tell(&format!("{error:#}"));
            if report.violations().len() == before {
                report.wrong.push(format!("lab {}: {error:#}", report.labs));
            }
            anyhow::Ok(())
        })?;
        tell(&format!(
            "lab {}: kills {:?}, {} pauses, {} power losses, {} runs, {} actions, {} violations, {} blows to go, {:.0} s",
            report.labs,
            report.kills,
            report.pauses,
            report.power_losses.0,
            report.runs,
            report.actions.values().sum::<usize>(),
            report.violations().len(),
            blows.len(),
            began.elapsed().as_secs_f64(),
        ));
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Tortures one lab until its samples are used up or nothing is left to do, lets it finish, and judges it.
async fn one_lab(lab: &mut RunningLab, seed: u64, blows: &mut Blows, report: &mut Report) -> anyhow::Result<()> {
    let (operator, mut sight) = Operator::new(lab.path(), seed);
    let (task, tasks) = watch::channel(Task::Busy);
    let working = tokio::spawn(operator.work(tasks));
    let mut deaths = Deaths::default();
    let mut goes_on = true;
    while goes_on && !sight.borrow_and_update().used_up {
        let Some((wait, blow)) = blows.pop_front() else { break };
        tokio::time::sleep(wait).await;
        match blow {
            Blow::Strikes(strikes) => {
                for problem in strike_all(lab, strikes, report, &mut deaths).await {
                    report.wrong.push(problem);
                    goes_on = false;
                }
            }
            Blow::PowerLoss => {
                deaths.close(lab, report);
                report.power_losses.0 += 1;
                report.power_losses.1 += lab.lose_power()?;
                lab.power_on().await?;
            }
        }
        goes_on = goes_on && sight.borrow().progress_at.elapsed() < STUCK_AFTER;
    }
    task.send_replace(Task::Finish);
    if !sees_it_through(&mut sight).await {
        let why = what_holds(lab).await;
        report
            .wrong
            .push(format!("the lab did not go on for {} s after the faults had stopped: {why}", STUCK_AFTER.as_secs()));
    }
    task.send_replace(Task::Leave);
    let operator = working.await?;
    deaths.close(lab, report);
    report.wrong.extend(operator.wrong);
    report.doubts.extend(operator.resolved);
    judge(lab, report).await
}

/// Waits until every campaign has ended; `false` when the journal has stopped growing before that.
async fn sees_it_through(sight: &mut watch::Receiver<Sight>) -> bool {
    let mut since = Instant::now();
    loop {
        let now = sight.borrow_and_update().clone();
        if now.all_ended {
            return true;
        }
        since = since.max(now.progress_at);
        if since.elapsed() > STUCK_AFTER {
            return false;
        }
        // The sender lives as long as the operator, who leaves only when told.
        let _ = tokio::time::timeout(Duration::from_secs(1), sight.changed()).await;
    }
}

/// What a lab that does not go on says about itself.
async fn what_holds(lab: &RunningLab) -> String {
    let state = match lab.state().await {
        Ok(state) => state,
        Err(error) => return format!("it does not answer: {error:#}"),
    };
    let devices = state.devices.iter().filter(|device| !device.problem.is_empty());
    let mut said: Vec<String> = devices.map(|device| format!("{}: {}", device.id, device.problem)).collect();
    let doubts = state.doubts.iter();
    said.extend(doubts.map(|doubt| format!("in doubt on {}: {:?} {}", doubt.device, doubt.key, doubt.message)));
    let samples = state.samples.iter().filter(|sample| sample.in_doubt);
    said.extend(samples.map(|sample| format!("{} is in doubt", sample.id)));
    for run in &state.active_runs {
        let open = run.steps.iter().filter(|step| step.state() != ppu_proto::lab::v1::StepState::Done);
        said.extend(open.take(1).map(|step| format!("{} waits at {}: {}", run.id, step.name, step.message)));
    }
    said.join("; ")
}

/// Deals out the strikes of one blow and waits until all that were killed live again. Says what went wrong.
async fn strike_all(lab: &RunningLab, strikes: Vec<Strike>, report: &mut Report, deaths: &mut Deaths) -> Vec<String> {
    let began = Instant::now();
    let mut wrong = Vec::new();
    let mut killed = Vec::new();
    for Strike { victim, act, at } in strikes {
        tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
        // A victim that is just being started again is waited for, or the kill would not count.
        let alive = async || lab.pid(&victim).and_then(Process::find);
        let process = match wait_until(&format!("{victim} lives"), AGAIN_WITHIN, alive).await {
            Ok(process) => process,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        match act {
            Act::Kill => match process.kill() {
                Ok(true) => {
                    let kind = if victim.starts_with("driver-") { "drivers" } else { kind_of(&victim) };
                    *report.kills.entry(kind).or_default() += 1;
                    deaths.killed += 1;
                    killed.push((victim, process));
                }
                Ok(false) => wrong.push(format!("{victim} ended by itself just before it was killed")),
                Err(error) => wrong.push(format!("{victim}: {error:#}")),
            },
            Act::Pause(pause) => {
                if process.pause() {
                    report.pauses += 1;
                    tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        process.resume();
                    });
                }
            }
        }
    }
    for (victim, before) in killed {
        let again = async || lab.pid(&victim).and_then(Process::find).filter(|now| *now != before);
        if let Err(error) = wait_until(&format!("{victim} started again"), AGAIN_WITHIN, again).await {
            wrong.push(error.to_string());
        }
    }
    wrong
}

fn kind_of(victim: &str) -> &'static str {
    if victim == "scheduler" { "scheduler" } else { "broker" }
}

/// Deaths that the torture knows of, against those that the supervisor saw.
#[derive(Debug, Default)]
struct Deaths {
    killed: u64,
}

impl Deaths {
    /// Every process that the supervisor started again was killed by us: one that ended by itself has a fault. The
    /// supervisor counts from its own start.
    fn close(&mut self, lab: &RunningLab, report: &mut Report) {
        let listed = lab.processes();
        let restarts = listed["restarts"].as_object().into_iter().flatten();
        let seen: u64 = restarts.filter_map(|(_, count)| count.as_u64()).sum();
        if seen > self.killed {
            report.wrong.push(format!(
                "{} process(es) ended by themselves: {} were killed, the supervisor restarted {}",
                seen - self.killed,
                self.killed,
                listed["restarts"]
            ));
        }
        self.killed = 0;
    }
}

/// Holds what the lab believes against what the world saw.
async fn judge(lab: &RunningLab, report: &mut Report) -> anyhow::Result<()> {
    // The last blow may have met the scheduler, and everything may have ended before it.
    let answers = async || operator::client(lab.path()).await.ok();
    let mut client = wait_until("the scheduler answers", AGAIN_WITHIN, answers).await?;
    let runs = operator::all_runs(&mut client).await?;
    let audit = ledger::audit(&ledger::lines(lab.path())?, &runs)?;
    report.runs += runs.len();
    for (kind, count) in &audit.checked {
        *report.actions.entry(kind.clone()).or_default() += count;
    }
    for violation in audit.violations() {
        let list = if violation.starts_with("REPEATED") { &mut report.repeated } else { &mut report.lost };
        list.push(format!("lab {}: {violation}", report.labs));
    }
    let state = lab.state().await?;
    for campaign in &state.campaigns {
        report.campaigns.1 += 1;
        let completed = campaign.state() == ppu_proto::lab::v1::CampaignState::Completed;
        report.campaigns.0 += usize::from(completed);
        if !completed {
            report.wrong.push(format!("lab {}: {} did not end: {:?}", report.labs, campaign.id, campaign.state()));
        }
        let failed = campaign.trials.iter().filter(|trial| !trial.failure.is_empty());
        report.failed_trials.extend(failed.map(|trial| format!("lab {}: {} {}", report.labs, trial.id, trial.failure)));
    }
    Ok(())
}
