//! A plausible lab, as of a given time.

use ppu_proto::capability::v1::Manifest;
use ppu_proto::common::v1::{
    Artifact, CommandKey, LevelObservable, LevelReport, NamedNumber, NamedValue, Quantity, Value, value::Kind,
};
use ppu_proto::device::v1::{DeviceState, Reading};
use ppu_proto::lab::v1::*;
use ppu_proto::plan::v1::Plan;

/// The time of everything that must not depend on the clock.
pub const NOW: i64 = 1_790_000_000_000;
pub const FINISHED_RUN: &str = "pv-t007-r1";
pub const ARTIFACT_HASH: [u8; 32] = [0xab; 32];

pub fn event(seq: u64, kind: &str, text: &str) -> WatchResponse {
    WatchResponse {
        seq,
        time_ms: NOW + seq as i64 * 1000,
        kind: kind.into(),
        text: text.into(),
        severity: Severity::Info.into(),
        ..Default::default()
    }
}

/// The lab as of `now`, in Unix milliseconds.
pub fn lab(now: i64) -> GetLabResponse {
    GetLabResponse {
        name: "perovskite-1".into(),
        title: "Halide perovskite thin films".into(),
        simulated: true,
        state: LabState::Running.into(),
        seq: 240,
        devices: devices(now),
        campaigns: vec![earlier(now), campaign(now)],
        active_runs: vec![run(now, 13, "film-13", 4, now - 48_000), run(now, 14, "film-14", 2, now - 9_000), in_doubt(now)],
        samples: samples(),
        doubts: vec![Doubt {
            key: Some(CommandKey { step: "pv-t012-r1/dispense".into(), attempt: 1 }),
            device: "pump-1".into(),
            message: "The driver restarted while the syringe was moving; the plunger stands at 212 µL, which fits neither outcome.".into(),
            sample: "film-12".into(),
            ..Default::default()
        }],
        started_ms: now - 5_400_000,
        clock_rate: 60.0,
        epoch: 3,
        state_reason: String::new(),
    }
}

/// Events that end at the snapshot.
pub fn events(now: i64) -> Vec<WatchResponse> {
    let texts = [
        ("step_started", "film-13: anneal the film at 104 °C on furnace-1", Severity::Info),
        ("trial_completed", "Trial 11: band gap 1.676 ± 0.004 eV, score 0.873", Severity::Info),
        ("device_unreachable", "balance-1 does not answer on its serial line", Severity::Alarm),
        ("trial_proposed", "Trial 16 proposed: cation fraction 0.18, anneal at 108 °C for 12 min", Severity::Info),
        ("step_in_doubt", "pv-t012-r1/dispense: nobody knows whether the liquid was dispensed", Severity::Alarm),
        ("step_done", "film-14: precursor dispensed, 42 µL", Severity::Info),
        ("reading_stale", "uvvis-1: lamp warms up, 4 min left", Severity::Notice),
        ("trial_decided", "Trial 14 accepted by ana", Severity::Info),
    ];
    (0..40u64)
        .map(|index| {
            let (kind, text, severity) = texts[(index as usize * 5) % texts.len()];
            WatchResponse {
                seq: 201 + index,
                time_ms: now - (40 - index as i64) * 7_300,
                kind: kind.into(),
                text: text.into(),
                severity: severity.into(),
                run: if kind == "step_done" { "pv-t014-r1".into() } else { String::new() },
                ..Default::default()
            }
        })
        .collect()
}

pub fn stop_answers(lab: &GetLabResponse) -> Vec<DeviceStop> {
    lab.devices
        .iter()
        .map(|device| match device.id.as_str() {
            "balance-1" => {
                DeviceStop { device: device.id.clone(), message: "no contact for 4 min".into(), ..Default::default() }
            }
            "furnace-1" => DeviceStop {
                device: device.id.clone(),
                reached: true,
                confirmed: false,
                message: "heater off was sent; the controller still reports 104 °C and has not confirmed".into(),
            },
            _ => DeviceStop { device: device.id.clone(), reached: true, confirmed: true, message: "safe".into() },
        })
        .collect()
}

pub fn finished_run() -> Run {
    let mut run = run(NOW, 7, "film-07", 9, NOW - 600_000);
    run.state = RunState::Completed.into();
    run.observation = Some(observation(1.69, 0.82, true));
    run
}

fn quantity(value: f64, unit: &str) -> Option<Value> {
    Some(Value { kind: Some(Kind::Quantity(Quantity { value, unit: unit.into() })) })
}

fn reading(name: &str, value: f64, unit: &str, time_ms: i64) -> Reading {
    Reading { name: name.into(), value: quantity(value, unit), time_ms, good: true }
}

fn device(
    id: &str,
    model: &str,
    state: DeviceState,
    utilisation: f64,
    commands: u64,
    readings: Vec<Reading>,
) -> Device {
    Device {
        id: id.into(),
        manifest: Some(Manifest { driver: id.into(), model: model.into(), ..Default::default() }),
        state: state.into(),
        utilisation,
        commands,
        readings,
        sample_position: format!("{id}-stage"),
        ..Default::default()
    }
}

fn busy(mut device: Device, step: &str, title: &str, since_ms: i64) -> Device {
    device.step = step.into();
    device.step_title = title.into();
    device.since_ms = since_ms;
    device
}

fn devices(now: i64) -> Vec<Device> {
    let fresh = now - 320;
    let furnace = device(
        "furnace-1",
        "Eurotherm 3504",
        DeviceState::Execute,
        0.71,
        44,
        vec![
            reading("temperature", 103.8, "C", fresh),
            reading("setpoint", 104.0, "C", fresh),
            reading("output", 21.4, "%", fresh),
        ],
    );
    let mut pump = device(
        "pump-1",
        "Cavro XLP 6000",
        DeviceState::Held,
        0.34,
        98,
        vec![reading("plunger", 212.0, "uL", fresh), reading("reservoir", 8.42, "mL", fresh)],
    );
    pump.problem = "its ledger cannot be believed (it is an old copy): resolve its doubts, then clear it".into();
    pump.needs_clear = true;
    let mut balance = device(
        "balance-1",
        "Mettler Toledo MS-TS",
        DeviceState::Unreachable,
        0.12,
        31,
        vec![reading("mass", 1.2034, "g", now - 242_000)],
    );
    balance.problem = "no answer on the serial line since 4 min".into();
    let arm = device(
        "arm-1",
        "Six-axis arm",
        DeviceState::Execute,
        0.46,
        211,
        vec![reading("gripper", 12.0, "mg", fresh), reading("speed", 250.0, "rpm", fresh)],
    );
    let coater = device(
        "spincoat-1",
        "Spin coater",
        DeviceState::Idle,
        0.22,
        42,
        vec![reading("speed", 0.0, "rpm", fresh), reading("vacuum", 84.0, "%", fresh)],
    );
    let mut all = vec![
        busy(arm, "pv-t014-r1/carry", "Carry film-14 to the coater", now - 4_000),
        pump,
        coater,
        busy(furnace, "pv-t013-r1/anneal", "Anneal the film", now - 48_000),
    ];
    all.extend(measuring_devices(now, fresh));
    all.push(balance);
    all
}

fn measuring_devices(now: i64, fresh: i64) -> [Device; 2] {
    let mut uvvis = device(
        "uvvis-1",
        "Fibre spectrometer",
        DeviceState::Suspended,
        0.18,
        29,
        vec![reading("lamp_current", 1.21, "1", fresh), reading("integration_time", 120.0, "ms", fresh)],
    );
    uvvis.readings[0].good = false;
    let xrd = device(
        "xrd-1",
        "Powder diffractometer",
        DeviceState::Execute,
        0.83,
        27,
        vec![reading("two_theta", 31.42, "deg", fresh), reading("rate", 2140.0, "cps", fresh)],
    );
    [busy(xrd, "pv-t011-r1/diffract", "Measure the diffractogram", now - 131_000), uvvis]
}

fn objectives() -> Vec<Objective> {
    vec![
        Objective {
            name: "band_gap".into(),
            unit: "eV".into(),
            goal: "1.68 ± 0.01; worthless beyond ± 0.11 (eV)".into(),
            weight: 2.0,
        },
        Objective {
            name: "phase_purity".into(),
            unit: "1".into(),
            goal: "as high as possible: 0.5 is worthless, 0.95 fully satisfying".into(),
            weight: 1.0,
        },
    ]
}

fn measured(name: &str, value: f64, sd: f64) -> Measured {
    Measured { name: name.into(), value, sd, flags: Vec::new() }
}

fn observation(gap: f64, purity: f64, complete: bool) -> Observation {
    let mut values = vec![measured("band_gap", gap, 0.004)];
    let mut invalid = Vec::new();
    if complete {
        values.push(measured("phase_purity", purity, 0.021));
    } else {
        invalid.push(Invalid {
            name: "phase_purity".into(),
            reason: "the pattern has no peaks above the background".into(),
        });
    }
    Observation { values, invalid, raw: Vec::new(), analysis: "quantify 1, tauc 1".into() }
}

/// A number between 0 and 1 that only looks random, so that figures and snapshots stay the same.
fn scatter(index: u32) -> f64 {
    (f64::from(index) * 0.754_877_666).fract()
}

fn candidate(number: u32) -> Vec<NamedNumber> {
    let value = |name: &str, number: f64| NamedNumber { name: name.into(), number };
    vec![
        value("anneal_minutes", (5.0 + 20.0 * scatter(number + 3)).round()),
        value("anneal_temperature_c", (90.0 + 60.0 * scatter(number + 7)).round()),
        value("bromide_fraction", (scatter(number) * 100.0).round() / 100.0),
        value("spin_speed_rpm", (2000.0 + 4000.0 * scatter(number + 11)).round()),
    ]
}

fn trial(number: u32) -> Trial {
    // Later trials come nearer to the goal, as a search that works does.
    let miss = 0.16 * (scatter(number) - 0.45) * (1.0 - f64::from(number) / 18.0).max(0.1);
    let (gap, purity) = (1.682 + miss, (0.97 - 2.6 * miss.abs() - 0.03 * scatter(number + 5)).clamp(0.2, 0.99));
    let id = format!("pv-t{number:03}");
    let state = match number {
        6 => TrialState::Failed,
        1..=10 => TrialState::Completed,
        11 => TrialState::Analysing,
        12..=14 => TrialState::Running,
        _ => TrialState::AwaitingApproval,
    };
    let done = state == TrialState::Completed;
    let complete = number != 3;
    let score = (1.0 - miss.abs() / 0.11).clamp(0.0, 1.0).powf(0.67) * purity.powf(0.33);
    Trial {
        number,
        state: state.into(),
        candidate: candidate(number),
        proposer: if number <= 5 { "sobol".into() } else { "qNEI, Matérn 5/2".into() },
        reason: if number <= 5 {
            "Fills the space before a model is fitted.".into()
        } else {
            "Highest expected improvement: the gap is predicted on target and the annealing time lies where no film was made yet.".into()
        },
        expected: vec![measured("band_gap", 1.682 + miss * 0.6, 0.018), measured("phase_purity", 0.9, 0.06)],
        run: if (1..=14).contains(&number) { format!("{id}-r1") } else { String::new() },
        sample: if (1..=14).contains(&number) { format!("film-{number:02}") } else { String::new() },
        observation: done.then(|| observation(gap, purity, complete)),
        score: (done && complete).then_some(score),
        decision: if number > 5 && number < 15 { "accepted by ana".into() } else { String::new() },
        failure: if number == 6 { "the film peeled off while it was carried".into() } else { String::new() },
        id,
    }
}

pub fn campaign(now: i64) -> Campaign {
    let trials: Vec<Trial> = (1..=16).map(trial).collect();
    let best = trials
        .iter()
        .max_by(|a, b| a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0)))
        .map_or(String::new(), |trial| trial.id.clone());
    Campaign {
        id: "pv".into(),
        title: "Wide-gap absorber for a tandem cell".into(),
        state: CampaignState::Running.into(),
        objectives: objectives(),
        budget_trials: 40,
        completed: 9,
        failed: 1,
        best_trial: best,
        trials,
        asks: true,
        ended: String::new(),
        created_ms: now - 5_000_000,
        eta_ms: now + 4_320_000,
        levels: vec![level()],
        reshaped: vec!["anneal_temperature_c from 80 to 180 C (ana: the substrate softens)".into()],
        parameters: vec![parameter("br", "1", 0.0, 0.5), parameter("anneal_temperature_c", "C", 80.0, 180.0)],
    }
}

fn parameter(name: &str, unit: &str, min: f64, max: f64) -> CampaignParameter {
    CampaignParameter { name: name.into(), unit: unit.into(), min, max, resolution: 0.0 }
}

fn level() -> LevelReport {
    let gap = LevelObservable { name: "band_gap".into(), correlation: 0.83, low: 0.41, high: 0.95, pairs: 9 };
    LevelReport {
        level: "film model".into(),
        evaluations: 5_000,
        refused: 3,
        seconds: 0.25,
        used: true,
        observables: vec![gap],
        note: String::new(),
    }
}

/// Counters of a night.
pub fn counters() -> GetCountersResponse {
    let furnace = DeviceCounters {
        device: "furnace_a".into(),
        succeeded: 20,
        failed: 1,
        in_doubt: 1,
        busy_hours: 7.5,
        utilisation: 0.75,
        bottleneck: true,
        mean_s: 1_286.0,
        ..Default::default()
    };
    let campaign = CampaignCounters {
        campaign: "pv".into(),
        autonomy: "semi-closed loop: people approve each trial".into(),
        trials: 9,
        hours: 10.0,
        trials_per_hour: 0.9,
        most_trials_per_hour: 1.2,
        acceleration: Some(Estimate { median: 4.2, low: 1.3, high: 9.0, at_least: false }),
        nats: Some(31.5),
        model: "one Gaussian process an objective".into(),
        ..Default::default()
    };
    let level = LevelCounters { level: "film model".into(), evaluations: 20_000, refused: 12, seconds: 1.5 };
    GetCountersResponse {
        hours: 12.0,
        working_hours: 10.0,
        unassisted_hours: 6.5,
        interventions: 2,
        trials_completed: 9,
        devices: vec![furnace],
        levels: vec![level],
        campaigns: vec![campaign],
        ..Default::default()
    }
}

fn earlier(now: i64) -> Campaign {
    Campaign {
        id: "solvent".into(),
        title: "Solvent screening".into(),
        state: CampaignState::Completed.into(),
        objectives: objectives(),
        budget_trials: 12,
        completed: 12,
        ended: "every trial has ended".into(),
        created_ms: now - 90_000_000,
        ..Default::default()
    }
}

const STEPS: [(&str, &str, &str); 9] = [
    ("pick", "Take a substrate from the rack", "arm-1"),
    ("dispense", "Dispense the precursor", "pump-1"),
    ("carry", "Carry the film to the coater", "arm-1"),
    ("spin", "Spin the film", "spincoat-1"),
    ("anneal", "Anneal the film", "furnace-1"),
    ("cool", "Let the film cool", ""),
    ("diffract", "Measure the diffractogram", "xrd-1"),
    ("absorb", "Measure the absorption", "uvvis-1"),
    ("store", "Put the film back", "arm-1"),
];

/// A run that has done this many steps.
fn run(now: i64, trial: u32, sample: &str, done: usize, since: i64) -> Run {
    let begin = since - done as i64 * 60_000;
    let step = |(index, (name, title, device)): (usize, &(&str, &str, &str))| {
        let (state, started_ms, ended_ms) = match index {
            index if index < done => {
                (StepState::Done, begin + index as i64 * 60_000, begin + index as i64 * 60_000 + 52_000)
            }
            index if index == done => (StepState::Running, since, 0),
            _ => (StepState::Waiting, 0, 0),
        };
        let measures = *name == "diffract" && state == StepState::Done;
        RunStep {
            name: (*name).into(),
            title: (*title).into(),
            state: state.into(),
            device: (*device).into(),
            attempts: 1,
            started_ms,
            ended_ms,
            results: if *name == "anneal" && state == StepState::Done {
                vec![NamedValue { name: "peak_temperature".into(), value: quantity(104.6, "C") }]
            } else {
                Vec::new()
            },
            artifacts: if measures {
                vec![Artifact {
                    hash: ARTIFACT_HASH.to_vec(),
                    name: "pattern.xrdml".into(),
                    media_type: "application/xml".into(),
                    size: 48_213,
                }]
            } else {
                Vec::new()
            },
            message: if state == StepState::Waiting && index == done + 1 {
                "after the step before".into()
            } else {
                String::new()
            },
        }
    };
    Run {
        id: format!("pv-t{trial:03}-r1"),
        state: RunState::Running.into(),
        trial: format!("pv-t{trial:03}"),
        sample: sample.into(),
        plan: Some(Plan { protocol: "spin-anneal-measure".into(), parameters: candidate(trial), ..Default::default() }),
        steps: STEPS.iter().enumerate().map(step).collect(),
        observation: None,
        message: if now < since { "starts soon".into() } else { String::new() },
    }
}

fn in_doubt(now: i64) -> Run {
    let mut run = run(now, 12, "film-12", 1, now - 264_000);
    run.state = RunState::Held.into();
    run.steps[1].state = StepState::InDoubt.into();
    run.message = "a person must say whether the liquid was dispensed".into();
    run
}

fn samples() -> Vec<Sample> {
    (1..=32)
        .map(|number| {
            let id = format!("film-{number:02}");
            let position = match number {
                12 => "pump-1-stage".into(),
                13 => "furnace-1-stage".into(),
                14 => "arm-1-stage".into(),
                11 => "xrd-1-stage".into(),
                _ => format!("rack-{number:02}"),
            };
            let run = if (11..=14).contains(&number) { format!("pv-t{number:03}-r1") } else { String::new() };
            Sample { id, position, run, in_doubt: number == 12, used: number < 15 }
        })
        .collect()
}
