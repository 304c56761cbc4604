//! A person moves a sample by hand and tells nobody: the lab finds out before it does anything to it (REL-15, row 17).

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ppu_proto::lab::v1 as wire;
use ppu_tests::harness::{RunningLab, root, wait_until};

const SOON: Duration = Duration::from_secs(60);
/// How often the race against the weighing may be lost.
const TRIES: usize = 6;

async fn submit(lab: &RunningLab, request_id: &str) -> anyhow::Result<String> {
    let protocol = root().join("config/protocols/weigh_sample.toml");
    let request = wire::SubmitPlanRequest {
        protocol_toml: std::fs::read_to_string(&protocol)?,
        file: protocol.display().to_string(),
        parameters: vec![],
        request_id: request_id.to_owned(),
    };
    Ok(lab.client().await?.submit_plan(request).await?.into_inner().run)
}

fn step<'a>(run: &'a wire::Run, name: &str) -> anyhow::Result<&'a wire::RunStep> {
    run.steps.iter().find(|step| step.name == name).with_context(|| format!("the run has no step {name}"))
}

async fn pause(lab: &RunningLab) -> anyhow::Result<()> {
    lab.client().await?.pause(wire::PauseRequest { who: "test".into(), reason: "a hand is inside".into() }).await?;
    Ok(())
}

async fn resume(lab: &RunningLab) -> anyhow::Result<()> {
    lab.client().await?.resume(wire::ResumeRequest { who: "test".into(), reason: "all clear".into() }).await?;
    Ok(())
}

/// A run whose sample stands on the balance and is not weighed yet, with the lab paused.
async fn sample_on_the_pan(lab: &RunningLab) -> anyhow::Result<(String, String)> {
    for number in 0..TRIES {
        let run = submit(lab, &format!("by hand {number}")).await?;
        wait_until("the transfer is under way", SOON, async || {
            let run = lab.run(&run).await.ok()?;
            (step(&run, "to_balance").ok()?.state() != wire::StepState::Waiting).then_some(())
        })
        .await?;
        pause(lab).await?;
        let stopped = wait_until("the transfer is over", SOON, async || {
            let run = lab.run(&run).await.ok()?;
            (step(&run, "to_balance").ok()?.state() == wire::StepState::Done).then_some(run)
        })
        .await?;
        if step(&stopped, "weigh")?.state() == wire::StepState::Waiting {
            return Ok((run, stopped.sample));
        }
        resume(lab).await?;
    }
    bail!("the weighing began {TRIES} times before the lab was paused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_was_moved_by_hand_is_found_out_by_a_precondition() -> anyhow::Result<()> {
    let lab = RunningLab::start(200.0, 17).await?;
    lab.check(async |lab| {
        let (run, sample) = sample_on_the_pan(lab).await?;
        let (code, _) = lab.command(&["sim", "move", &sample, "coat.stage"])?;
        ensure!(code == 0, "`ppu sim move` ended with {code}");
        resume(lab).await?;
        let ended = wait_until("the run ended", SOON, async || {
            lab.run(&run).await.ok().filter(|run| run.state() == wire::RunState::Failed)
        })
        .await?;
        let weigh = step(&ended, "weigh")?;
        ensure!(weigh.state() == wire::StepState::Failed, "{weigh:?}");
        ensure!(weigh.message.contains("could be a sample"), "{}", weigh.message);
        ensure!(weigh.attempts == 1, "another attempt would meet the same empty pan");
        ensure!(weigh.results.is_empty(), "nothing was weighed: {:?}", weigh.results);
        let state = lab.state().await?;
        let doubted = state.samples.iter().find(|known| known.id == sample).context("the sample is gone")?;
        ensure!(doubted.in_doubt && doubted.position.is_empty(), "{doubted:?}");
        // The lab does not wait for the sample: another one is weighed elsewhere only if the pan is known to be free.
        let located = wire::LocateSampleRequest {
            sample: sample.clone(),
            position: "coat.stage".into(),
            who: "test".into(),
            inspected: "the bench".into(),
        };
        lab.client().await?.locate_sample(located).await?;
        let next = submit(lab, "after the hand").await?;
        wait_until("the next sample is weighed", SOON, async || {
            lab.run(&next).await.ok().filter(|run| run.state() == wire::RunState::Completed)
        })
        .await?;
        Ok(())
    })
    .await
}
