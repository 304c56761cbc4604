//! Protocols: templates of steps with parameters, read from `config/protocols/*.toml`, and their filling in.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::expression::evaluate;
use crate::ids::{DeviceId, PositionId};
use crate::lab::check_version;
use crate::plan::{LeaseSpec, Place, Plan, Step, StepAction};
use crate::problem::{Problem, Problems, Source, nearest};
use crate::unit::Unit;
use crate::value::{Arguments, Value};

/// Suffixes that say the unit in a key, longest first so that `_k_per_min` is not read as minutes.
const SUFFIXES: [(&str, Unit); 17] = [
    ("_k_per_min", Unit::KelvinPerMinute),
    ("_percent", Unit::Percent),
    ("_rpm", Unit::Rpm),
    ("_deg", Unit::Degree),
    ("_min", Unit::Minute),
    ("_ul", Unit::Microlitre),
    ("_ml", Unit::Millilitre),
    ("_mg", Unit::Milligram),
    ("_nm", Unit::Nanometre),
    ("_ev", Unit::Electronvolt),
    ("_ry", Unit::Rydberg),
    ("_ms", Unit::Millisecond),
    ("_c", Unit::Celsius),
    ("_k", Unit::Kelvin),
    ("_s", Unit::Second),
    ("_h", Unit::Hour),
    ("_g", Unit::Gram),
];

/// A parameter that a protocol needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ProtocolParameter {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Taken when the parameter is left out.
    pub default: Option<f64>,
}

/// A protocol, read but not yet filled in.
#[derive(Debug, Clone)]
pub struct Protocol {
    file: String,
    text: String,
    raw: RawProtocol,
    parameters: Vec<ProtocolParameter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProtocol {
    version: Spanned<u32>,
    protocol: String,
    title: String,
    #[serde(default)]
    parameter: Vec<RawParameter>,
    #[serde(default)]
    lease: Vec<RawLease>,
    #[serde(default)]
    step: Vec<RawStep>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    name: Spanned<String>,
    unit: Spanned<String>,
    min: f64,
    max: f64,
    default: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLease {
    name: Spanned<String>,
    #[serde(default)]
    devices: Vec<String>,
    capability: Option<String>,
    #[serde(default)]
    positions: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    name: Spanned<String>,
    title: Option<String>,
    command: Option<Spanned<String>>,
    transfer_to: Option<Spanned<String>>,
    device: Option<String>,
    #[serde(default)]
    args: toml::Table,
    after: Option<Vec<String>>,
    #[serde(default)]
    leases: Vec<String>,
    when: Option<Spanned<String>>,
    #[serde(default)]
    cleanup: bool,
}

impl Protocol {
    /// Reads a protocol file.
    pub fn parse(file: &str, text: &str) -> Result<Protocol, Problems> {
        let source = Source { file, text };
        let raw: RawProtocol = source.parse()?;
        let mut found = Vec::new();
        check_version(&source, &raw.version, &mut found);
        if raw.step.is_empty() {
            found.push(source.problem(None, "", "step", "the protocol has no step", "add at least one [[step]]"));
        }
        let mut parameters = Vec::new();
        for parameter in &raw.parameter {
            let subject = format!("parameter \"{}\"", parameter.name.get_ref());
            let at = Some(parameter.name.span().start);
            if parameters.iter().any(|known: &ProtocolParameter| &known.name == parameter.name.get_ref()) {
                found.push(source.problem(at, subject, "name", "it is declared twice", "remove one of the two"));
                continue;
            }
            let unit = match Unit::try_from(parameter.unit.get_ref().clone()) {
                Ok(unit) => unit,
                Err(error) => {
                    let at = Some(parameter.unit.span().start);
                    found.push(source.problem(at, subject, "unit", error, "write `unit = \"1\"` for a pure number"));
                    continue;
                }
            };
            if !(parameter.min < parameter.max && parameter.min.is_finite() && parameter.max.is_finite()) {
                let message = format!("{} to {} is not a range", parameter.min, parameter.max);
                found.push(source.problem(at, subject, "min", message, "`min` must be smaller than `max`"));
            }
            parameters.push(ProtocolParameter {
                name: parameter.name.get_ref().clone(),
                unit,
                min: parameter.min,
                max: parameter.max,
                default: parameter.default,
            });
        }
        Problems::or(found, Protocol { file: file.to_owned(), text: text.to_owned(), raw, parameters })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.raw.protocol
    }

    /// One line for people.
    pub fn title(&self) -> &str {
        &self.raw.title
    }

    /// The parameters that it needs.
    pub fn parameters(&self) -> &[ProtocolParameter] {
        &self.parameters
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file it was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Fills the protocol in. Parameters that it does not declare, lack of one, and values out of range are refused.
    pub fn fill_in(&self, given: &BTreeMap<String, f64>) -> Result<Plan, Problems> {
        let source = Source { file: &self.file, text: &self.text };
        let mut found = Vec::new();
        let names = self.values(&source, given, &mut found);
        if !found.is_empty() {
            return Err(Problems(found));
        }
        let mut plan = Plan {
            protocol: self.raw.protocol.clone(),
            file: self.file.clone(),
            parameters: names.clone(),
            needs_sample: self.raw.step.iter().any(|step| step.transfer_to.is_some()),
            leases: Vec::new(),
            steps: Vec::new(),
        };
        for lease in &self.raw.lease {
            self.fill_lease(&source, lease, &mut plan, &mut found);
        }
        // A step that is left out hands its own predecessors on to those that wait for it.
        let mut omitted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut previous: Option<&str> = None;
        for raw in &self.raw.step {
            let mut after = match &raw.after {
                Some(names) => names.clone(),
                None => previous.map(str::to_owned).into_iter().collect(),
            };
            while let Some(at) = after.iter().position(|name| omitted.contains_key(name.as_str())) {
                let name = after.remove(at);
                for inherited in &omitted[name.as_str()] {
                    if !after.contains(inherited) {
                        after.push(inherited.clone());
                    }
                }
            }
            previous = Some(raw.name.get_ref());
            if self.is_wanted(&source, raw, &names, &mut found) {
                self.fill_step(&source, raw, after, &names, &mut plan, &mut found);
            } else {
                omitted.insert(raw.name.get_ref(), after);
            }
        }
        Problems::or(found, plan)
    }

    fn values(
        &self,
        source: &Source<'_>,
        given: &BTreeMap<String, f64>,
        found: &mut Vec<Problem>,
    ) -> BTreeMap<String, f64> {
        for name in given.keys().filter(|name| !self.parameters.iter().any(|parameter| &parameter.name == *name)) {
            let known: Vec<_> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let cure = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it has: {}", known.join(", ")),
            };
            found.push(source.problem(
                None,
                format!("parameter \"{name}\""),
                "",
                "the protocol has no such parameter",
                cure,
            ));
        }
        let mut names = BTreeMap::new();
        for parameter in &self.parameters {
            let subject = format!("parameter \"{}\"", parameter.name);
            let declared = self.raw.parameter.iter().find(|raw| raw.name.get_ref() == &parameter.name);
            let at = declared.map(|raw| raw.name.span().start);
            let Some(value) = given.get(&parameter.name).copied().or(parameter.default) else {
                let cure = format!("give a value from {} to {} {}", parameter.min, parameter.max, parameter.unit);
                found.push(source.problem(at, subject, "", "no value was given", cure.trim_end()));
                continue;
            };
            // One part in 10^9 forgives the rounding of a computed value that sits on its limit.
            let slack = 1e-9 * (parameter.max - parameter.min);
            if !(value >= parameter.min - slack && value <= parameter.max + slack) {
                let message = format!("{value} is out of range");
                let cure = format!("give a value from {} to {} {}", parameter.min, parameter.max, parameter.unit);
                found.push(source.problem(at, subject, "", message, cure.trim_end()));
                continue;
            }
            names.insert(parameter.name.clone(), value);
        }
        names
    }

    fn fill_lease(&self, source: &Source<'_>, raw: &RawLease, plan: &mut Plan, found: &mut Vec<Problem>) {
        let subject = || format!("lease \"{}\"", raw.name.get_ref());
        let at = raw.name.span().start;
        let mut devices = Vec::new();
        let mut positions = Vec::new();
        for name in &raw.devices {
            match DeviceId::new(name.clone()) {
                Ok(id) => devices.push(id),
                Err(error) => {
                    found.push(source.problem(Some(at), subject(), "devices", error.to_string(), "name a device"))
                }
            }
        }
        for name in &raw.positions {
            match PositionId::new(name.clone()) {
                Ok(id) => positions.push(id),
                Err(error) => {
                    found.push(source.problem(Some(at), subject(), "positions", error.to_string(), "name a position"))
                }
            }
        }
        let (name, capability) = (raw.name.get_ref().clone(), raw.capability.clone());
        plan.leases.push(LeaseSpec { name, devices, capability, positions, line: Some(source.line(at)) });
    }

    fn is_wanted(
        &self,
        source: &Source<'_>,
        raw: &RawStep,
        names: &BTreeMap<String, f64>,
        found: &mut Vec<Problem>,
    ) -> bool {
        let Some(when) = &raw.when else { return true };
        let text = when.get_ref().trim_start_matches('=').trim();
        evaluate(text, names).map(|value| value > 0.0).unwrap_or_else(|error| {
            let subject = format!("step \"{}\"", raw.name.get_ref());
            let cure = "write a condition such as `when = \"cs > 0\"`";
            found.push(source.problem(Some(when.span().start), subject, "when", error.to_string(), cure));
            true
        })
    }

    fn fill_step(
        &self,
        source: &Source<'_>,
        raw: &RawStep,
        after: Vec<String>,
        names: &BTreeMap<String, f64>,
        plan: &mut Plan,
        found: &mut Vec<Problem>,
    ) {
        let name = raw.name.get_ref();
        let at = raw.name.span().start;
        let subject = || format!("step \"{name}\"");
        let action = match (&raw.command, &raw.transfer_to) {
            (Some(command), None) => self.command(source, raw, command, names, found),
            (None, Some(to)) => place(to.get_ref()).map(|to| StepAction::Transfer { to }).map_err(|message| {
                let cure = "write a position, `lease:<name>`, or `home`";
                found.push(source.problem(Some(to.span().start), subject(), "transfer_to", message, cure));
            }),
            _ => {
                let cure = "give either `command = \"capability.verb\"` or `transfer_to = \"position\"`";
                found.push(source.problem(Some(at), subject(), "command", "it is unclear what the step does", cure));
                Err(())
            }
        };
        // Every rule of names holds for the whole life of a step, so it is checked where the name is written.
        if let Err(error) = DeviceId::new(name.clone()) {
            let message = error.reason.to_owned();
            found.push(source.problem(Some(at), subject(), "name", message, "use a name such as `anneal`"));
        }
        if let Ok(action) = action {
            let title = raw.title.clone().unwrap_or_else(|| name.replace('_', " "));
            let line = Some(source.line(at));
            plan.steps.push(Step {
                name: name.clone(),
                title,
                after,
                leases: raw.leases.clone(),
                action,
                cleanup: raw.cleanup,
                line,
            });
        }
    }

    fn command(
        &self,
        source: &Source<'_>,
        raw: &RawStep,
        command: &Spanned<String>,
        names: &BTreeMap<String, f64>,
        found: &mut Vec<Problem>,
    ) -> Result<StepAction, ()> {
        let subject = format!("step \"{}\"", raw.name.get_ref());
        let at = command.span().start;
        let Some((capability, verb)) = command.get_ref().split_once('.') else {
            let message = format!("`{}` is not a command", command.get_ref());
            let cure = "write `capability.verb`, such as `annealing.anneal`";
            found.push(source.problem(Some(at), subject, "command", message, cure));
            return Err(());
        };
        let mut arguments = Arguments::new();
        for (key, value) in &raw.args {
            match argument(key, value, names) {
                Ok((name, value)) => {
                    arguments.insert(name, value);
                }
                Err(message) => {
                    let cure = "give a number, a text, true or false, or a formula such as `\"= total_ul * cs\"`";
                    found.push(source.problem(Some(at), subject.clone(), format!("args.{key}"), message, cure));
                }
            }
        }
        let device = match raw.device.as_ref().map(|name| DeviceId::new(name.clone())).transpose() {
            Ok(device) => device,
            Err(error) => {
                found.push(source.problem(Some(at), subject, "device", error.to_string(), "name a device of the lab"));
                return Err(());
            }
        };
        Ok(StepAction::Command { capability: capability.to_owned(), command: verb.to_owned(), device, arguments })
    }
}

fn place(text: &str) -> Result<Place, String> {
    match text.strip_prefix("lease:") {
        Some(lease) => Ok(Place::DeviceOf(lease.to_owned())),
        None if text == "home" => Ok(Place::Home),
        None => PositionId::new(text).map(Place::Position).map_err(|error| error.to_string()),
    }
}

/// An argument as written: the key says the unit, a text that begins with `=` is a formula.
fn argument(key: &str, value: &toml::Value, names: &BTreeMap<String, f64>) -> Result<(String, Value), String> {
    let suffix = SUFFIXES.iter().find(|(suffix, _)| key.len() > suffix.len() && key.ends_with(suffix));
    let (name, unit) = match suffix {
        Some((suffix, unit)) => (key[..key.len() - suffix.len()].to_owned(), Some(*unit)),
        None => (key.to_owned(), None),
    };
    let value = match value {
        toml::Value::Integer(number) => match unit {
            Some(unit) => Value::quantity(*number as f64, unit),
            None => Value::Integer(*number),
        },
        toml::Value::Float(number) => Value::quantity(*number, unit.unwrap_or(Unit::One)),
        toml::Value::String(text) => match text.strip_prefix('=') {
            Some(formula) => {
                let number = evaluate(formula.trim(), names).map_err(|error| error.to_string())?;
                Value::quantity(number, unit.unwrap_or(Unit::One))
            }
            None => Value::Text(text.clone()),
        },
        toml::Value::Boolean(flag) => Value::Flag(*flag),
        other => return Err(format!("a {} cannot be an argument", other.type_str())),
    };
    Ok((name, value))
}
