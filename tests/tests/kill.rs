//! kill -9 of every kind of process in the middle of a campaign: it goes on and ends, and the world saw every physical
//! action exactly once.

use std::time::Duration;

use ppu_proto::lab::v1::CampaignState;
use ppu_tests::harness::RunningLab;
use ppu_tests::ledger;

const PER_TRIAL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_the_death_of_every_process() -> anyhow::Result<()> {
    let lab = RunningLab::start(600.0, 11).await?;
    lab.check(async |lab| {
        let campaign = lab.campaign(8, "random", 3).await?;
        // One kind after the other, each in the middle of work: after each the lab must make progress again.
        let victims = [
            "scheduler",
            "driver-pump",
            "driver-arm",
            "broker",
            "driver-furnace_a",
            "driver-furnace_b",
            "driver-mixer",
            "driver-balance",
            "scheduler",
            "driver-aeris",
            "driver-spectrometer",
            "console",
        ];
        for (number, victim) in victims.iter().enumerate() {
            let wanted = (number as u32 * 7) / victims.len() as u32;
            lab.trials_ended(&campaign, wanted, PER_TRIAL).await?;
            lab.kill(victim).await?;
        }
        let ended = lab.trials_ended(&campaign, 8, 4 * PER_TRIAL).await?;
        assert_eq!(ended.state(), CampaignState::Completed);
        let failures: Vec<_> =
            ended.trials.iter().map(|trial| &trial.failure).filter(|failure| !failure.is_empty()).collect();
        assert!(failures.is_empty(), "{failures:?}");
        ledger::exactly_once(lab, &ledger::runs_of(&ended)).await.map(|_| ())
    })
    .await
}
