//! Refusals of spaces and designs. Every one names the parameter or constraint.

/// Why a space cannot be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// Nothing varies.
    #[error("the space has no parameter that varies")]
    Empty,
    /// Two parameters or constraints of one name.
    #[error("two parameters or two constraints are called `{0}`")]
    Duplicate(String),
    /// A parameter that makes no sense.
    #[error("parameter `{parameter}`: {problem}")]
    Parameter {
        /// The parameter.
        parameter: String,
        /// What is wrong.
        problem: String,
    },
    /// A constraint that makes no sense by itself.
    #[error("constraint `{constraint}`: {problem}")]
    Constraint {
        /// The constraint.
        constraint: String,
        /// What is wrong.
        problem: String,
    },
    /// Constraints that no point satisfies together. Each of those named is needed for the contradiction.
    #[error("no point satisfies {} within the limits of its parameters", name_all(.0))]
    Contradiction(Vec<String>),
    /// Points that satisfy the constraints exist, but none on the steps that the lab can realise.
    #[error("no point on the steps of the parameters satisfies {}", name_all(.0))]
    Steps(Vec<String>),
}

/// Why a design does not belong to a space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DesignError {
    /// A parameter has no value.
    #[error("`{0}` has no value")]
    Missing(String),
    /// The space has no such parameter.
    #[error("`{0}` is not a parameter of this space")]
    Unknown(String),
    /// A value for a parameter that does not exist at this point.
    #[error("`{parameter}` has a value, but exists only for certain values of `{parent}`")]
    Inactive {
        /// The parameter.
        parameter: String,
        /// What it depends on.
        parent: String,
    },
    /// A level where a number is wanted, a number where a level is wanted, or a level that does not exist.
    #[error("`{parameter}` cannot be `{value}`")]
    Value {
        /// The parameter.
        parameter: String,
        /// What was given.
        value: String,
    },
    /// A number outside its limits, or not finite.
    #[error("`{parameter}` is {value}, outside {min} to {max}")]
    Outside {
        /// The parameter.
        parameter: String,
        /// What was given.
        value: f64,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// A constraint is violated.
    #[error("constraint `{constraint}` is violated: {problem}")]
    Constraint {
        /// The constraint.
        constraint: String,
        /// How.
        problem: String,
    },
}

fn name_all(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("constraint {last}"),
        Some((last, others)) => format!("constraints {} and {last} together", others.join(", ")),
        None => "the constraints".to_owned(),
    }
}
