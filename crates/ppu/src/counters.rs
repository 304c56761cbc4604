//! `ppu counters`: what the lab has done, and what that was worth.

use ppu_proto::lab::v1 as wire;
use serde_json::json;

use crate::cli::CountersArguments;
use crate::client::connect;

#[expect(clippy::print_stdout, reason = "the counters are the data that was asked for")]
pub(crate) async fn counters(arguments: CountersArguments) -> anyhow::Result<u8> {
    let mut client = connect(&arguments.target).await?;
    let counters = client.get_counters(wire::GetCountersRequest {}).await?.into_inner();
    if arguments.prometheus {
        print!("{}", ppu_console::prometheus(&counters));
    } else if arguments.json {
        println!("{}", as_json(&counters));
    } else {
        print!("{}", table(&counters));
    }
    Ok(0)
}

fn table(counters: &wire::GetCountersResponse) -> String {
    let mut lines = vec![
        format!(
            "{:.1} h since the journal was begun, {:.1} h at work, longest {:.1} h without an intervention",
            counters.hours, counters.working_hours, counters.unassisted_hours
        ),
        format!(
            "{} trials completed, {} failed; people: {} submissions, {} decisions, {} interventions",
            counters.trials_completed,
            counters.trials_failed,
            counters.submissions,
            counters.decisions,
            counters.interventions
        ),
        String::new(),
        format!("{:<14} {:>6} {:>7} {:>9} {:>9} {:>6}  ", "device", "done", "failed", "in doubt", "mean s", "busy"),
    ];
    lines.extend(counters.devices.iter().map(|device| {
        let remark = if device.bottleneck { "limits the throughput" } else { "" };
        format!(
            "{:<14} {:>6} {:>7} {:>9} {:>9.1} {:>4.0} %  {remark}",
            device.device,
            device.succeeded,
            device.failed,
            device.in_doubt,
            device.mean_s,
            100.0 * device.utilisation
        )
    }));
    for level in &counters.levels {
        lines.push(format!(
            "twin: {}: {} evaluations, {} refused, {:.2} s",
            level.level, level.evaluations, level.refused, level.seconds
        ));
    }
    for campaign in &counters.campaigns {
        lines.push(String::new());
        lines.extend(campaign_lines(campaign, &counters.currency));
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n") + "\n"
}

fn campaign_lines(campaign: &wire::CampaignCounters, currency: &str) -> Vec<String> {
    let mut lines = vec![
        format!("campaign {} ({})", campaign.campaign, campaign.autonomy),
        format!(
            "  throughput     {:.2} trials/h over {:.1} h; {:.2} if the busiest device never waited",
            campaign.trials_per_hour, campaign.hours, campaign.most_trials_per_hour
        ),
        format!("  material       {:.0} uL dispensed for a trial", campaign.dispensed_ul_per_trial),
    ];
    if campaign.cost_per_trial > 0.0 {
        lines.push(format!("  cost           {:.2} {currency} for a trial", campaign.cost_per_trial));
    }
    let precision =
        |one: &wire::Precision| format!("{} sd {:.3} ({} repeats)", one.observable, one.sd, one.degrees_of_freedom);
    let precision: Vec<String> = campaign.precision.iter().map(precision).collect();
    let precision = if precision.is_empty() { "no candidate was repeated".to_owned() } else { precision.join(", ") };
    lines.push(format!("  precision      {precision}"));
    if let Some(calibration) = &campaign.calibration {
        lines.push(format!(
            "  calibration    {:.0} % within 50 % intervals, {:.0} % within 90 % ({} predictions made before the trial)",
            100.0 * calibration.within_50,
            100.0 * calibration.within_90,
            calibration.predictions
        ));
    }
    let interval = |figure: &wire::Estimate| {
        let at_least = if figure.at_least { "at least " } else { "" };
        format!("{at_least}{:.1} ({:.1} to {:.1})", figure.median, figure.low, figure.high)
    };
    if let Some(acceleration) = &campaign.acceleration {
        lines.push(format!("  acceleration   {} times fewer trials than random search", interval(acceleration)));
    }
    if let Some(enhancement) = &campaign.enhancement {
        lines.push(format!("  enhancement    {} times the best of as many random trials", interval(enhancement)));
    }
    if let Some(nats) = campaign.nats {
        let an_hour = if campaign.hours > 0.0 { nats / campaign.hours } else { 0.0 };
        let spent = campaign.cost_per_trial * f64::from(campaign.trials);
        let a_coin = if spent > 0.0 { format!(", {:.3} a {currency}", nats / spent) } else { String::new() };
        lines.push(format!("  information    {nats:.1} nats about the objectives, {an_hour:.2} an hour{a_coin}"));
    }
    for level in &campaign.levels {
        let buys = match level.seconds_for_a_trial {
            Some(seconds) => format!("{seconds:.2e} s of it buy the nats of a trial"),
            None => "no amount of it buys the nats of a trial".to_owned(),
        };
        lines.push(format!("  {}: at most {:.2} nats an evaluation; {buys}", level.level, level.nats));
    }
    lines.push(format!("  model          {}", campaign.model));
    lines
}

fn as_json(counters: &wire::GetCountersResponse) -> serde_json::Value {
    let estimate = |figure: &Option<wire::Estimate>| {
        figure.map(|figure| json!({"median": figure.median, "low": figure.low, "high": figure.high, "at_least": figure.at_least}))
    };
    let campaign = |one: &wire::CampaignCounters| {
        let precision =
            one.precision.iter().map(|p| (p.observable.clone(), json!({"sd": p.sd, "n": p.degrees_of_freedom})));
        json!({
            "campaign": one.campaign, "autonomy": one.autonomy, "trials": one.trials, "hours": one.hours,
            "trials_per_hour": one.trials_per_hour, "most_trials_per_hour": one.most_trials_per_hour,
            "precision": precision.collect::<serde_json::Map<_, _>>(),
            "calibration": one.calibration.map(|c| json!({
                "predictions": c.predictions, "within_50": c.within_50, "within_90": c.within_90,
            })),
            "acceleration": estimate(&one.acceleration), "enhancement": estimate(&one.enhancement), "nats": one.nats,
            "model": one.model, "dispensed_ul_per_trial": one.dispensed_ul_per_trial,
            "cost_per_trial": one.cost_per_trial,
            "levels": one.levels.iter().map(|level| json!({
                "level": level.level, "nats": level.nats, "seconds_for_a_trial": level.seconds_for_a_trial,
            })).collect::<Vec<_>>(),
        })
    };
    let device = |one: &wire::DeviceCounters| {
        json!({
            "device": one.device, "succeeded": one.succeeded, "failed": one.failed, "in_doubt": one.in_doubt,
            "busy_hours": one.busy_hours, "utilisation": one.utilisation, "bottleneck": one.bottleneck,
            "mean_s": one.mean_s, "dispensed_ul": one.dispensed_ul, "dispensed_mg": one.dispensed_mg,
            "energy_wh": one.energy_wh, "cost": one.cost,
        })
    };
    let level = |one: &wire::LevelCounters| json!({"level": one.level, "evaluations": one.evaluations, "refused": one.refused, "seconds": one.seconds});
    json!({
        "since_ms": counters.since_ms, "hours": counters.hours, "working_hours": counters.working_hours,
        "unassisted_hours": counters.unassisted_hours, "submissions": counters.submissions,
        "decisions": counters.decisions, "interventions": counters.interventions,
        "trials_completed": counters.trials_completed, "trials_failed": counters.trials_failed,
        "currency": counters.currency,
        "devices": counters.devices.iter().map(device).collect::<Vec<_>>(),
        "levels": counters.levels.iter().map(level).collect::<Vec<_>>(),
        "campaigns": counters.campaigns.iter().map(campaign).collect::<Vec<_>>(),
    })
}
