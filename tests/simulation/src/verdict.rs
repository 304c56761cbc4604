//! The judgement on a story: the world's ledger against what the journal says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use ppu_core::ActionClass;
use ppu_engine::Engine;
use ppu_engine::lifecycle::StepState;
use ppu_journal::Journal;

use crate::faults::SCHEDULER;
use crate::lab::STATIONS;
use crate::person::Office;
use crate::story::{Computer, Ending, Script, journal_options};
use crate::world::World;

/// Judges a story that has been told.
pub(crate) fn of(script: &Script, computers: &[Computer], world: &World, office: &Office) -> anyhow::Result<Ending> {
    let mut violations = world.nature().violations.clone();
    for computer in computers {
        let log = if computer.name == SCHEDULER { "journal" } else { "ledger" };
        // A process that died while its log was being made has none yet.
        if let Ok(report) = ppu_store::verify(&computer.disk(), computer.directory().join(log))
            && !report.can_be_opened()
        {
            violations.push(format!("the log of {} is damaged: {}", computer.name, report.verdict));
        }
    }
    let scheduler = computers.iter().find(|computer| computer.name == SCHEDULER).context("there is a scheduler")?;
    let (journal, recovery) = Journal::open_with(&scheduler.directory(), &journal_options(scheduler))?;
    let mut engine = Engine::new();
    for fact in recovery.facts {
        engine.evolve(&fact?.1)?;
    }
    compare(&engine, world, &mut violations);
    let mut effects = BTreeMap::new();
    for execution in &world.nature().ledger {
        *effects.entry(execution.step().to_owned()).or_default() += 1;
    }
    let desk = office.desk();
    if desk.ended < script.plans.len() {
        violations.push(format!(
            "{} of {} plans ended; the lab waits for: {}",
            desk.ended,
            script.plans.len(),
            desk.waiting_for.join("; ")
        ));
    }
    Ok(Ending {
        violations,
        effects,
        doubted_samples: engine.state().samples.values().filter(|sample| sample.in_doubt).count(),
        ended: desk.ended,
        resolved: desk.resolved,
        chain_head: journal.status().chain_head.to_string(),
        ..Ending::default()
    })
}

/// At most one effect for each step, exactly one for each that is done, none for what was never intended, and every sample
/// where it is thought to be.
fn compare(engine: &Engine, world: &World, violations: &mut Vec<String>) {
    let state = engine.state();
    let nature = world.nature();
    let mut effects: BTreeMap<&str, usize> = BTreeMap::new();
    for execution in &nature.ledger {
        *effects.entry(execution.step()).or_default() += 1;
    }
    for (id, run) in &state.runs {
        for (plan, step) in run.plan.steps.iter().zip(&run.steps) {
            let name = format!("{id}/{}", plan.name);
            let count = effects.remove(name.as_str()).unwrap_or(0);
            let class = step.device.as_ref().and_then(|device| class_of(device.as_str()));
            let repeatable = matches!(class, Some(ActionClass::Idempotent | ActionClass::Safety));
            if count > 1 && !repeatable {
                violations.push(format!("{name} was carried out {count} times"));
            }
            // A sample that stands where it is to go needs no transfer.
            if step.state == StepState::Done && step.attempts > 0 && count == 0 {
                violations.push(format!("{name} is taken for done and was never carried out"));
            }
            if step.attempts == 0 && count > 0 {
                violations.push(format!("{name} was carried out and never intended"));
            }
        }
    }
    for (step, count) in effects {
        violations.push(format!("{step} was carried out {count} times and is in no plan"));
    }
    for (id, sample) in &state.samples {
        let really = nature.place_of(id.as_str());
        if let Some(position) = &sample.position
            && !sample.in_doubt
            && sample.run.is_none()
            && really != Some(position.as_str())
        {
            violations.push(format!("{id} is thought to stand in {position} and stands in {really:?}"));
        }
    }
}

fn class_of(device: &str) -> Option<ActionClass> {
    STATIONS.iter().find(|station| station.device == device).map(|station| station.class)
}
