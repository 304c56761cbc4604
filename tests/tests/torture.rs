//! kill -9 of scheduler, drivers and broker, SIGSTOP, and power losses, all at random moments of campaigns.

use anyhow::ensure;
use ppu_tests::torture::{Sizes, kill};

#[tokio::test(flavor = "multi_thread")]
async fn no_action_is_lost_or_repeated_whatever_dies() -> anyhow::Result<()> {
    let report = kill(&Sizes::ci(), 1, |line| eprintln!("{line}")).await?;
    eprint!("{}", report.table());
    let violations = report.violations();
    ensure!(violations.is_empty(), "{} violation(s):\n{}", violations.len(), violations.join("\n"));
    let sizes = Sizes::ci();
    for (kind, wanted) in [("scheduler", sizes.scheduler), ("drivers", sizes.drivers), ("broker", sizes.broker)] {
        let met = report.kills.get(kind).copied().unwrap_or(0);
        ensure!(met >= wanted as usize, "only {met} of {wanted} kills of {kind} met a living process");
    }
    ensure!(report.power_losses.0 == sizes.power_losses as usize);
    // How many runs fit between the blows depends on the machine; the claim rests on actions that were compared.
    let compared: usize = report.actions.values().sum();
    ensure!(compared >= 100 && report.actions.len() >= 6, "too little was done to prove anything: {report:?}");
    Ok(())
}
