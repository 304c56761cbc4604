//! Conversion between wire messages and the checked types of [`ppu_core`].

use ppu_core::capability::{Expected, PropertySpec, Requirement};
use ppu_core::plan::LeaseSpec;
use ppu_core::{
    ActionClass, ArgumentKind, ArgumentSpec, Arguments, AttemptState, CapabilitySpec, CommandKey, CommandSpec,
    DeviceId, Manifest, Place, Plan, PositionId, Problem, Quantity, ResultSpec, Step, StepAction, StepId, Unit, Value,
};

use crate::{capability::v1 as wire_capability, common::v1 as wire, device::v1 as wire_device, plan::v1 as wire_plan};

/// A message that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConversionError {
    /// The field of the message.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl ConversionError {
    /// An error at a field.
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

fn missing(field: &'static str) -> ConversionError {
    ConversionError::new(field, "it is missing")
}

fn unit(field: &'static str, symbol: &str) -> Result<Unit, ConversionError> {
    Unit::try_from(symbol.to_owned()).map_err(|reason| ConversionError::new(field, reason))
}

impl From<&Value> for wire::Value {
    fn from(value: &Value) -> Self {
        use wire::value::Kind;
        let kind = match value {
            Value::Quantity(q) => Kind::Quantity(wire::Quantity { value: q.value, unit: q.unit.symbol().to_owned() }),
            Value::Integer(number) => Kind::Integer(*number),
            Value::Text(text) => Kind::Text(text.clone()),
            Value::Flag(flag) => Kind::Flag(*flag),
        };
        wire::Value { kind: Some(kind) }
    }
}

impl TryFrom<&wire::Value> for Value {
    type Error = ConversionError;
    fn try_from(value: &wire::Value) -> Result<Self, ConversionError> {
        use wire::value::Kind;
        Ok(match value.kind.as_ref().ok_or_else(|| missing("value.kind"))? {
            Kind::Quantity(q) => {
                let unit = unit("value.quantity.unit", &q.unit)?;
                let quantity = Quantity::new(q.value, unit);
                Value::Quantity(quantity.ok_or_else(|| ConversionError::new("value.quantity", "it is not finite"))?)
            }
            Kind::Integer(number) => Value::Integer(*number),
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Flag(flag) => Value::Flag(*flag),
        })
    }
}

/// Arguments or results as a list sorted by name.
pub fn arguments_to_wire(arguments: &Arguments) -> Vec<wire::NamedValue> {
    arguments.iter().map(|(name, value)| wire::NamedValue { name: name.clone(), value: Some(value.into()) }).collect()
}

/// A list of named values; a name that comes twice is refused.
pub fn arguments_from_wire(list: &[wire::NamedValue]) -> Result<Arguments, ConversionError> {
    let mut arguments = Arguments::new();
    for named in list {
        let value = named.value.as_ref().ok_or_else(|| missing("named_value.value"))?;
        if arguments.insert(named.name.clone(), value.try_into()?).is_some() {
            return Err(ConversionError::new("named_value.name", format!("`{}` comes twice", named.name)));
        }
    }
    Ok(arguments)
}

impl From<&CommandKey> for wire::CommandKey {
    fn from(key: &CommandKey) -> Self {
        wire::CommandKey { step: key.step.to_string(), attempt: key.attempt }
    }
}

impl TryFrom<&wire::CommandKey> for CommandKey {
    type Error = ConversionError;
    fn try_from(key: &wire::CommandKey) -> Result<Self, ConversionError> {
        if key.attempt == 0 {
            return Err(ConversionError::new("key.attempt", "attempts count from 1"));
        }
        let step =
            StepId::new(key.step.clone()).map_err(|error| ConversionError::new("key.step", error.to_string()))?;
        Ok(CommandKey { step, attempt: key.attempt })
    }
}

/// A key that must be there.
pub fn key(key: Option<&wire::CommandKey>) -> Result<CommandKey, ConversionError> {
    key.ok_or_else(|| missing("key"))?.try_into()
}

impl From<&Problem> for wire::Problem {
    fn from(problem: &Problem) -> Self {
        wire::Problem {
            file: problem.file.clone(),
            line: problem.line.unwrap_or(0) as u32,
            subject: problem.subject.clone(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            cure: problem.cure.clone(),
        }
    }
}

impl From<&wire::Problem> for Problem {
    fn from(problem: &wire::Problem) -> Self {
        Problem {
            file: problem.file.clone(),
            line: (problem.line > 0).then_some(problem.line as usize),
            subject: problem.subject.clone(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            cure: problem.cure.clone(),
        }
    }
}

macro_rules! same_names {
    ($core:ty, $wire:ty, $field:literal, [$($name:ident),* $(,)?]) => {
        impl From<$core> for $wire {
            fn from(value: $core) -> Self {
                match value { $(<$core>::$name => <$wire>::$name,)* }
            }
        }
        impl TryFrom<$wire> for $core {
            type Error = ConversionError;
            fn try_from(value: $wire) -> Result<Self, ConversionError> {
                match value {
                    $(<$wire>::$name => Ok(<$core>::$name),)*
                    <$wire>::Unspecified => Err(missing($field)),
                }
            }
        }
    };
}
same_names!(
    AttemptState,
    wire_device::AttemptState,
    "state",
    [
        Accepted,
        Started,
        Succeeded,
        FailedNoEffect,
        FailedPartial,
        Aborted,
        InDoubt,
        ResolvedDone,
        ResolvedScrapped,
        ResolvedNotDone
    ]
);
same_names!(
    ActionClass,
    wire_capability::ActionClass,
    "class",
    [Idempotent, Queryable, Unqueryable, Continuing, Safety]
);

impl From<&ArgumentSpec> for wire_capability::ArgumentSpec {
    fn from(spec: &ArgumentSpec) -> Self {
        use wire_capability::argument_spec::Kind;
        let kind = match &spec.kind {
            ArgumentKind::Quantity { unit, min, max } => {
                Kind::Quantity(wire_capability::QuantityRange { unit: unit.symbol().to_owned(), min: *min, max: *max })
            }
            ArgumentKind::Integer { min, max } => Kind::Integer(wire_capability::IntegerRange { min: *min, max: *max }),
            ArgumentKind::Choice(words) => Kind::Choice(wire_capability::Choice { words: words.clone() }),
            ArgumentKind::Text => Kind::Text(wire_capability::Text {}),
            ArgumentKind::Document { most_bytes } => {
                Kind::Document(wire_capability::Document { most_bytes: *most_bytes })
            }
            ArgumentKind::Flag => Kind::Flag(wire_capability::Flag {}),
        };
        wire_capability::ArgumentSpec {
            name: spec.name.clone(),
            kind: Some(kind),
            default_value: spec.default.as_ref().map(Into::into),
            description: spec.description.clone(),
        }
    }
}

impl TryFrom<&wire_capability::ArgumentSpec> for ArgumentSpec {
    type Error = ConversionError;
    fn try_from(spec: &wire_capability::ArgumentSpec) -> Result<Self, ConversionError> {
        use wire_capability::argument_spec::Kind;
        let kind = match spec.kind.as_ref().ok_or_else(|| missing("argument.kind"))? {
            Kind::Quantity(range) => {
                ArgumentKind::Quantity { unit: unit("argument.unit", &range.unit)?, min: range.min, max: range.max }
            }
            Kind::Integer(range) => ArgumentKind::Integer { min: range.min, max: range.max },
            Kind::Choice(choice) => ArgumentKind::Choice(choice.words.clone()),
            Kind::Text(_) => ArgumentKind::Text,
            Kind::Document(document) => ArgumentKind::Document { most_bytes: document.most_bytes },
            Kind::Flag(_) => ArgumentKind::Flag,
        };
        let default = spec.default_value.as_ref().map(Value::try_from).transpose()?;
        Ok(ArgumentSpec { name: spec.name.clone(), kind, default, description: spec.description.clone() })
    }
}

impl From<&CommandSpec> for wire_capability::CommandSpec {
    fn from(spec: &CommandSpec) -> Self {
        let results = spec.results.iter().map(|result| wire_capability::ResultSpec {
            name: result.name.clone(),
            unit: result.unit.symbol().to_owned(),
            description: result.description.clone(),
        });
        wire_capability::CommandSpec {
            name: spec.name.clone(),
            class: wire_capability::ActionClass::from(spec.class).into(),
            arguments: spec.arguments.iter().map(Into::into).collect(),
            results: results.collect(),
            artifacts: spec.artifacts,
            needs_sample: spec.needs_sample,
            typical_s: spec.typical_s,
            description: spec.description.clone(),
            hazardous: spec.hazardous,
            requires: spec.requires.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Requirement> for wire_capability::Requirement {
    fn from(requirement: &Requirement) -> Self {
        use wire_capability::requirement::Expected as Wire;
        let expected = match &requirement.expected {
            Expected::Within { unit, min, max } => {
                Wire::Within(wire_capability::QuantityRange { unit: unit.symbol().to_owned(), min: *min, max: *max })
            }
            Expected::Equals(value) => Wire::Equals(value.into()),
        };
        wire_capability::Requirement {
            property: requirement.property.clone(),
            expected: Some(expected),
            otherwise: requirement.otherwise.clone(),
        }
    }
}

impl TryFrom<&wire_capability::Requirement> for Requirement {
    type Error = ConversionError;
    fn try_from(requirement: &wire_capability::Requirement) -> Result<Self, ConversionError> {
        use wire_capability::requirement::Expected as Wire;
        let expected = match requirement.expected.as_ref().ok_or_else(|| missing("requirement.expected"))? {
            Wire::Within(range) => {
                Expected::Within { unit: unit("requirement.unit", &range.unit)?, min: range.min, max: range.max }
            }
            Wire::Equals(value) => Expected::Equals(value.try_into()?),
        };
        Ok(Requirement { property: requirement.property.clone(), expected, otherwise: requirement.otherwise.clone() })
    }
}

impl TryFrom<&wire_capability::CommandSpec> for CommandSpec {
    type Error = ConversionError;
    fn try_from(spec: &wire_capability::CommandSpec) -> Result<Self, ConversionError> {
        let results = spec.results.iter().map(|result| {
            let unit = unit("result.unit", &result.unit)?;
            Ok(ResultSpec { name: result.name.clone(), unit, description: result.description.clone() })
        });
        Ok(CommandSpec {
            name: spec.name.clone(),
            class: spec.class().try_into()?,
            arguments: spec.arguments.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            results: results.collect::<Result<_, _>>()?,
            artifacts: spec.artifacts,
            needs_sample: spec.needs_sample,
            typical_s: spec.typical_s,
            description: spec.description.clone(),
            hazardous: spec.hazardous,
            requires: spec.requires.iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Manifest> for wire_capability::Manifest {
    fn from(manifest: &Manifest) -> Self {
        let capabilities = manifest.capabilities.iter().map(|capability| wire_capability::CapabilitySpec {
            name: capability.name.clone(),
            commands: capability.commands.iter().map(Into::into).collect(),
        });
        let properties = manifest.properties.iter().map(|property| wire_capability::PropertySpec {
            name: property.name.clone(),
            unit: property.unit.symbol().to_owned(),
            description: property.description.clone(),
        });
        wire_capability::Manifest {
            driver: manifest.driver.clone(),
            model: manifest.model.clone(),
            capabilities: capabilities.collect(),
            properties: properties.collect(),
        }
    }
}

impl TryFrom<&wire_capability::Manifest> for Manifest {
    type Error = ConversionError;
    fn try_from(manifest: &wire_capability::Manifest) -> Result<Self, ConversionError> {
        let capabilities = manifest.capabilities.iter().map(|capability| {
            let commands = capability.commands.iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
            Ok(CapabilitySpec { name: capability.name.clone(), commands })
        });
        let properties = manifest.properties.iter().map(|property| {
            let unit = unit("property.unit", &property.unit)?;
            Ok(PropertySpec { name: property.name.clone(), unit, description: property.description.clone() })
        });
        Ok(Manifest {
            driver: manifest.driver.clone(),
            model: manifest.model.clone(),
            capabilities: capabilities.collect::<Result<_, ConversionError>>()?,
            properties: properties.collect::<Result<_, ConversionError>>()?,
        })
    }
}

impl From<&Plan> for wire_plan::Plan {
    fn from(plan: &Plan) -> Self {
        wire_plan::Plan {
            protocol: plan.protocol.clone(),
            file: plan.file.clone(),
            parameters: numbers_to_wire(&plan.parameters),
            needs_sample: plan.needs_sample,
            leases: plan.leases.iter().map(lease_to_wire).collect(),
            steps: plan.steps.iter().map(step_to_wire).collect(),
        }
    }
}

impl TryFrom<&wire_plan::Plan> for Plan {
    type Error = ConversionError;
    fn try_from(plan: &wire_plan::Plan) -> Result<Self, ConversionError> {
        Ok(Plan {
            protocol: plan.protocol.clone(),
            file: plan.file.clone(),
            parameters: numbers_from_wire(&plan.parameters),
            needs_sample: plan.needs_sample,
            leases: plan.leases.iter().map(lease_from_wire).collect::<Result<_, _>>()?,
            steps: plan.steps.iter().map(step_from_wire).collect::<Result<_, _>>()?,
        })
    }
}

/// Named numbers as a list sorted by name.
pub fn numbers_to_wire(numbers: &std::collections::BTreeMap<String, f64>) -> Vec<wire::NamedNumber> {
    numbers.iter().map(|(name, number)| wire::NamedNumber { name: name.clone(), number: *number }).collect()
}

/// Named numbers by name; the last of equal names counts.
pub fn numbers_from_wire(list: &[wire::NamedNumber]) -> std::collections::BTreeMap<String, f64> {
    list.iter().map(|named| (named.name.clone(), named.number)).collect()
}

fn lease_to_wire(lease: &LeaseSpec) -> wire_plan::Lease {
    wire_plan::Lease {
        name: lease.name.clone(),
        devices: lease.devices.iter().map(ToString::to_string).collect(),
        capability: lease.capability.clone().unwrap_or_default(),
        positions: lease.positions.iter().map(ToString::to_string).collect(),
        line: lease.line.unwrap_or(0) as u32,
    }
}

fn device(field: &'static str, text: &str) -> Result<DeviceId, ConversionError> {
    DeviceId::new(text).map_err(|error| ConversionError::new(field, error.to_string()))
}

fn position(field: &'static str, text: &str) -> Result<PositionId, ConversionError> {
    PositionId::new(text).map_err(|error| ConversionError::new(field, error.to_string()))
}

fn lease_from_wire(lease: &wire_plan::Lease) -> Result<LeaseSpec, ConversionError> {
    Ok(LeaseSpec {
        name: lease.name.clone(),
        devices: lease.devices.iter().map(|text| device("lease.devices", text)).collect::<Result<_, _>>()?,
        capability: (!lease.capability.is_empty()).then(|| lease.capability.clone()),
        positions: lease.positions.iter().map(|text| position("lease.positions", text)).collect::<Result<_, _>>()?,
        line: (lease.line > 0).then_some(lease.line as usize),
    })
}

fn step_to_wire(step: &Step) -> wire_plan::Step {
    use wire_plan::{place::Kind, step::Action};
    let action = match &step.action {
        StepAction::Command { capability, command, device, arguments } => Action::Command(wire_plan::CommandAction {
            capability: capability.clone(),
            command: command.clone(),
            device: device.as_ref().map(ToString::to_string).unwrap_or_default(),
            arguments: arguments_to_wire(arguments),
        }),
        StepAction::Transfer { to } => {
            let kind = match to {
                Place::Position(position) => Kind::Position(position.to_string()),
                Place::DeviceOf(lease) => Kind::DeviceOf(lease.clone()),
                Place::Home => Kind::Home(wire_plan::Home {}),
            };
            Action::Transfer(wire_plan::TransferAction { to: Some(wire_plan::Place { kind: Some(kind) }) })
        }
    };
    wire_plan::Step {
        name: step.name.clone(),
        title: step.title.clone(),
        after: step.after.clone(),
        leases: step.leases.clone(),
        action: Some(action),
        cleanup: step.cleanup,
        line: step.line.unwrap_or(0) as u32,
    }
}

fn step_from_wire(step: &wire_plan::Step) -> Result<Step, ConversionError> {
    use wire_plan::{place::Kind, step::Action};
    let action = match step.action.as_ref().ok_or_else(|| missing("step.action"))? {
        Action::Command(command) => StepAction::Command {
            capability: command.capability.clone(),
            command: command.command.clone(),
            device: match command.device.as_str() {
                "" => None,
                text => Some(device("step.device", text)?),
            },
            arguments: arguments_from_wire(&command.arguments)?,
        },
        Action::Transfer(transfer) => {
            let kind = transfer.to.as_ref().and_then(|to| to.kind.as_ref());
            let to = match kind.ok_or_else(|| missing("transfer.to"))? {
                Kind::Position(text) => Place::Position(position("transfer.to", text)?),
                Kind::DeviceOf(lease) => Place::DeviceOf(lease.clone()),
                Kind::Home(_) => Place::Home,
            };
            StepAction::Transfer { to }
        }
    };
    Ok(Step {
        name: step.name.clone(),
        title: step.title.clone(),
        after: step.after.clone(),
        leases: step.leases.clone(),
        action,
        cleanup: step.cleanup,
        line: (step.line > 0).then_some(step.line as usize),
    })
}
