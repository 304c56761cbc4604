//! What was planned, held against what happened, device by device and in order.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use ppu_proto::common::v1::value::Kind;
use ppu_proto::lab::v1 as wire;
use ppu_proto::plan::v1::step::Action;
use ppu_proto::plan::v1::{CommandAction, Step};

use super::Line;

/// Physical actions that must happen exactly once a step: (command of the step, actions in the ledger in their order).
const ONCE: [(&str, &[&str]); 5] = [
    ("liquid_handling.aspirate", &["aspirate"]),
    ("liquid_handling.dispense", &["dispense"]),
    ("transfer.move", &["pick", "place"]),
    ("annealing.anneal", &["heat_start"]),
    ("diffraction.scan", &["diffract"]),
];

/// Actions that may repeat without harm and must have happened at least once for each step that is done.
const AT_LEAST_ONCE: [(&str, &str); 5] = [
    ("weighing.weigh", "weigh"),
    ("stirring.stir", "set_stirrer"),
    ("spectroscopy.reference", "expose"),
    ("spectroscopy.absorbance", "expose"),
    ("spectroscopy.photoluminescence", "expose"),
];

/// What goes along with the actions above or happens by itself.
const ACCOMPANIES: [&str; 6] = ["heat_end", "set_plate", "set_lamp", "set_laser", "milestone", "fault"];

/// One planned action and how often the world saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The run; empty where the action belongs to no planned step.
    pub run: String,
    /// The step.
    pub step: String,
    /// The device.
    pub device: String,
    /// The action, as the world names it.
    pub action: String,
    /// What the journal says the step came to.
    pub state: wire::StepState,
    /// How often it should have happened: once for a step that is done, `None` where once and never are both honest.
    pub planned: Option<usize>,
    /// How often it happened.
    pub executed: usize,
}

impl Execution {
    /// One line for people.
    pub fn sentence(&self) -> String {
        let what =
            if self.run.is_empty() { "no planned step".to_owned() } else { format!("{}/{}", self.run, self.step) };
        let wanted = self.planned.map_or_else(|| "at most once".to_owned(), |planned| format!("{planned} ×"));
        format!("{what} on {}: {} happened {} ×, wanted {wanted}", self.device, self.action, self.executed)
    }
}

/// The result of holding plans against the world.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Every planned action with its count, and every action that nobody planned.
    pub executions: Vec<Execution>,
    /// Actions of each kind that were compared one by one.
    pub checked: BTreeMap<String, usize>,
    /// Kinds that may repeat: how often they happened, and how often at least they had to.
    pub repeatable: BTreeMap<String, (usize, usize)>,
}

impl Audit {
    /// Actions that happened more often than planned.
    pub fn repeated(&self) -> impl Iterator<Item = &Execution> {
        self.executions.iter().filter(|found| found.executed > found.planned.unwrap_or(1))
    }

    /// Actions of steps that are done and that did not happen.
    pub fn lost(&self) -> impl Iterator<Item = &Execution> {
        self.executions.iter().filter(|found| found.planned.is_some_and(|planned| found.executed < planned))
    }

    /// One sentence for everything that is wrong.
    pub fn violations(&self) -> Vec<String> {
        let mut found: Vec<String> = self.repeated().map(|wrong| format!("REPEATED {}", wrong.sentence())).collect();
        found.extend(self.lost().map(|wrong| format!("LOST {}", wrong.sentence())));
        for (kind, (happened, wanted)) in self.repeatable.iter().filter(|(_, (happened, wanted))| happened < wanted) {
            found.push(format!("LOST {kind} happened {happened} ×, {wanted} steps are done"));
        }
        found
    }

    /// How often the actions of one step happened, in the order in which it does them.
    pub fn of_step(&self, run: &str, step: &str) -> Vec<usize> {
        self.executions
            .iter()
            .filter(|found| found.run == run && found.step == step)
            .map(|found| found.executed)
            .collect()
    }
}

/// An action that a step wants from the world.
struct Wanted<'a> {
    run: &'a str,
    step: &'a str,
    action: &'static str,
    /// What tells it from others of its kind: the port of a pump, the sample in a gripper.
    mark: String,
    state: wire::StepState,
}

/// When a step began, of which run and at which place in it, and what it asks for.
type Ordered<'a> = (i64, i64, usize, Vec<Wanted<'a>>);

/// Holds the steps of runs against what the world saw. Steps of one device follow one another, so their order is the
/// order of the ledger; what fits nowhere is an action too many, what has no line is one too few.
///
/// # Errors
/// When a run has no plan, a step cannot be judged, or the ledger knows an action that this judge does not.
pub fn audit(lines: &[Line], runs: &[wire::Run]) -> anyhow::Result<Audit> {
    let mut wanted: BTreeMap<&str, Vec<Ordered<'_>>> = BTreeMap::new();
    let mut audit = Audit::default();
    for run in runs {
        let plan = run.plan.as_ref().with_context(|| format!("{} has no plan", run.id))?;
        for (index, (planned, step)) in plan.steps.iter().zip(&run.steps).enumerate() {
            // A sample that stood at its destination already was moved by no device.
            if step.device.is_empty() || step.attempts == 0 {
                continue;
            }
            let command = command_of(planned);
            if let Some((_, action)) = AT_LEAST_ONCE.iter().find(|(known, _)| *known == command) {
                let done = usize::from(step.state() == wire::StepState::Done);
                audit.repeatable.entry(format!("{} {action}", step.device)).or_default().1 += done;
                continue;
            }
            let Some((_, actions)) = ONCE.iter().find(|(known, _)| *known == command) else {
                bail!("{}/{}: nobody told the judge what `{command}` does to the world", run.id, step.name)
            };
            let mark = mark_of(planned, run);
            let actions = actions.iter().map(|action| Wanted {
                run: &run.id,
                step: &step.name,
                action,
                mark: mark.clone(),
                state: step.state(),
            });
            let place = (step.started_ms, step.ended_ms, index, actions.collect());
            wanted.entry(&step.device).or_default().push(place);
        }
    }
    let seen = seen_by_device(lines, &mut audit)?;
    let devices: BTreeSet<&str> = wanted.keys().copied().chain(seen.keys().copied()).collect();
    for device in devices {
        let mut steps = wanted.remove(device).unwrap_or_default();
        steps.sort_by_key(|(started, ended, index, _)| (*started, *ended, *index));
        let wanted: Vec<Wanted<'_>> = steps.into_iter().flat_map(|(_, _, _, actions)| actions).collect();
        let seen = seen.get(device).map_or(&[][..], Vec::as_slice);
        compare(device, &wanted, seen, &mut audit);
    }
    Ok(audit)
}

/// Lines of actions that count, by device, as (action, mark).
fn seen_by_device<'a>(
    lines: &'a [Line],
    audit: &mut Audit,
) -> anyhow::Result<BTreeMap<&'a str, Vec<(&'a str, String)>>> {
    let mut seen: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
    for line in lines {
        let text = |key: &str| line.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (device, action) = (text("device"), text("action"));
        if ONCE.iter().any(|(_, actions)| actions.contains(&action)) {
            // What cannot even be tried has no effect.
            if text("outcome") == "refused" {
                continue;
            }
            seen.entry(device).or_default().push((action, mark_in(line, action)));
        } else if AT_LEAST_ONCE.iter().any(|(_, known)| *known == action) {
            audit.repeatable.entry(format!("{device} {action}")).or_default().0 += 1;
        } else {
            ensure!(
                ACCOMPANIES.contains(&action),
                "the ledger knows the action `{action}`, which nobody told the judge of"
            );
        }
    }
    Ok(seen)
}

fn command_of(step: &Step) -> String {
    match &step.action {
        Some(Action::Command(command)) => format!("{}.{}", command.capability, command.command),
        _ => "transfer.move".to_owned(),
    }
}

fn mark_of(step: &Step, run: &wire::Run) -> String {
    match &step.action {
        Some(Action::Command(command)) if command.capability == "liquid_handling" => port_of(command),
        Some(Action::Command(command)) if command.capability == "diffraction" => String::new(),
        _ => run.sample.clone(),
    }
}

fn port_of(command: &CommandAction) -> String {
    let port = command.arguments.iter().find(|argument| argument.name == "port");
    match port.and_then(|argument| argument.value.as_ref()?.kind.as_ref()) {
        Some(Kind::Integer(port)) => port.to_string(),
        Some(Kind::Quantity(port)) => port.value.to_string(),
        _ => String::new(),
    }
}

fn mark_in(line: &Line, action: &str) -> String {
    let (part, key) = match action {
        "aspirate" | "dispense" => ("requested", "port"),
        "pick" | "place" => ("realised", "object"),
        "heat_start" => ("realised", "sample"),
        _ => return String::new(),
    };
    match &line.get(part).and_then(|part| part.get(key)) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(number @ serde_json::Value::Number(_)) => number.to_string(),
        _ => String::new(),
    }
}

/// Aligns what was wanted with what was seen by the longest common subsequence, so that one action too many shifts
/// nothing after it.
fn compare(device: &str, wanted: &[Wanted<'_>], seen: &[(&str, String)], audit: &mut Audit) {
    let fits = |w: usize, s: usize| wanted[w].action == seen[s].0 && wanted[w].mark == seen[s].1;
    // longest[w][s]: how much of wanted[w..] and seen[s..] fits together. Steps that are done come before those that
    // may or may not have happened.
    let weight = |w: usize| if wanted[w].state == wire::StepState::Done { 1001u32 } else { 1000 };
    let mut longest = vec![vec![0u32; seen.len() + 1]; wanted.len() + 1];
    for w in (0..wanted.len()).rev() {
        for s in (0..seen.len()).rev() {
            let skip = longest[w + 1][s].max(longest[w][s + 1]);
            let take = if fits(w, s) { longest[w + 1][s + 1] + weight(w) } else { 0 };
            longest[w][s] = skip.max(take);
        }
    }
    let (mut w, mut s) = (0, 0);
    let mut rows: Vec<Execution> = Vec::new();
    let row = |wanted: &Wanted<'_>, executed: usize| Execution {
        run: wanted.run.to_owned(),
        step: wanted.step.to_owned(),
        device: device.to_owned(),
        action: wanted.action.to_owned(),
        state: wanted.state,
        planned: (wanted.state == wire::StepState::Done).then_some(1),
        executed,
    };
    while w < wanted.len() || s < seen.len() {
        if w < wanted.len() && s < seen.len() && fits(w, s) && longest[w][s] == longest[w + 1][s + 1] + weight(w) {
            rows.push(row(&wanted[w], 1));
            *audit.checked.entry(wanted[w].action.to_owned()).or_default() += 1;
            (w, s) = (w + 1, s + 1);
        } else if w < wanted.len() && (s == seen.len() || longest[w][s] == longest[w + 1][s]) {
            rows.push(row(&wanted[w], 0));
            w += 1;
        } else {
            add_surplus(device, seen[s].0, &mut rows);
            s += 1;
        }
    }
    audit.executions.append(&mut rows);
}

/// An action that no step accounts for: it repeats the last one of its kind, if there was one.
fn add_surplus(device: &str, action: &str, rows: &mut Vec<Execution>) {
    if let Some(again) = rows.iter_mut().rev().find(|row| row.action == action && row.executed > 0) {
        again.executed += 1;
        return;
    }
    rows.push(Execution {
        run: String::new(),
        step: String::new(),
        device: device.to_owned(),
        action: action.to_owned(),
        state: wire::StepState::Unspecified,
        planned: Some(0),
        executed: 1,
    });
}

#[cfg(test)]
mod tests {
    use ppu_proto::common::v1::{NamedValue, Value};
    use ppu_proto::plan::v1::{Plan, TransferAction};

    use super::*;

    fn run(steps: &[(&str, wire::StepState)]) -> wire::Run {
        let mut plan = Plan::default();
        let mut run = wire::Run { id: "r1".into(), sample: "S01".into(), ..Default::default() };
        for (at, (kind, state)) in steps.iter().enumerate() {
            let (device, action) = match kind.split_once(' ') {
                Some((verb, port)) => {
                    let value = Value { kind: Some(Kind::Integer(port.parse().unwrap())) };
                    let port = NamedValue { name: "port".into(), value: Some(value) };
                    let command = CommandAction {
                        capability: "liquid_handling".into(),
                        command: verb.into(),
                        arguments: vec![port],
                        ..Default::default()
                    };
                    ("pump", Action::Command(command))
                }
                None => ("arm", Action::Transfer(TransferAction::default())),
            };
            plan.steps.push(Step { name: format!("s{at}"), action: Some(action), ..Default::default() });
            run.steps.push(wire::RunStep {
                name: format!("s{at}"),
                device: device.into(),
                attempts: 1,
                started_ms: at as i64 * 10,
                ended_ms: at as i64 * 10 + 5,
                state: (*state).into(),
                ..Default::default()
            });
        }
        run.plan = Some(plan);
        run
    }

    fn stroke(action: &str, port: u64) -> Line {
        let json =
            serde_json::json!({"device": "pump", "action": action, "outcome": "done", "requested": {"port": port}});
        json.as_object().unwrap().clone()
    }

    fn hand(action: &str, object: &str) -> Line {
        let json =
            serde_json::json!({"device": "arm", "action": action, "outcome": "done", "realised": {"object": object}});
        json.as_object().unwrap().clone()
    }

    const DONE: wire::StepState = wire::StepState::Done;

    #[test]
    fn what_happened_once_as_planned_is_no_violation() {
        let run = run(&[("aspirate 7", DONE), ("dispense 8", DONE), ("move", DONE)]);
        let lines = [stroke("aspirate", 7), stroke("dispense", 8), hand("pick", "S01"), hand("place", "S01")];
        let audit = audit(&lines, &[run]).unwrap();
        assert_eq!(audit.violations(), [""; 0]);
        assert_eq!(audit.checked.values().sum::<usize>(), 4);
        assert_eq!(audit.of_step("r1", "s2"), [1, 1]);
    }

    #[test]
    fn a_second_dispense_is_named_with_its_step() {
        let run = run(&[("aspirate 7", DONE), ("dispense 8", DONE), ("aspirate 7", DONE)]);
        let lines = [stroke("aspirate", 7), stroke("dispense", 8), stroke("dispense", 8), stroke("aspirate", 7)];
        let audit = audit(&lines, &[run]).unwrap();
        let repeated: Vec<_> = audit.repeated().collect();
        assert_eq!((repeated.len(), repeated[0].step.as_str(), repeated[0].executed), (1, "s1", 2), "{repeated:?}");
        assert_eq!(audit.lost().count(), 0);
    }

    #[test]
    fn a_step_that_is_said_to_be_done_and_is_not_is_lost() {
        let run = run(&[("aspirate 7", DONE), ("dispense 8", DONE)]);
        let audit = audit(&[stroke("aspirate", 7)], &[run]).unwrap();
        assert_eq!(audit.lost().map(|lost| lost.step.as_str()).collect::<Vec<_>>(), ["s1"]);
    }

    #[test]
    fn another_port_or_sample_is_another_action() {
        let swapped = audit(&[stroke("aspirate", 6)], &[run(&[("aspirate 7", DONE)])]).unwrap();
        assert_eq!((swapped.lost().count(), swapped.repeated().count()), (1, 1));
        let lines = [hand("pick", "S02"), hand("place", "S02")];
        let swapped = audit(&lines, &[run(&[("move", DONE)])]).unwrap();
        assert_eq!((swapped.lost().count(), swapped.repeated().count()), (2, 2));
    }

    #[test]
    fn a_step_in_doubt_may_have_happened_once_but_not_twice() {
        let doubt = || run(&[("aspirate 7", wire::StepState::InDoubt)]);
        assert_eq!(audit(&[], &[doubt()]).unwrap().violations(), [""; 0]);
        let once = audit(&[stroke("aspirate", 7)], &[doubt()]).unwrap();
        assert_eq!((once.violations().len(), once.of_step("r1", "s0")), (0, vec![1]));
        let twice = audit(&[stroke("aspirate", 7), stroke("aspirate", 7)], &[doubt()]).unwrap();
        assert_eq!(twice.repeated().count(), 1);
    }

    #[test]
    fn an_action_of_an_unknown_kind_is_never_overlooked() {
        assert!(audit(&[stroke("sneeze", 1)], &[]).is_err());
    }
}
