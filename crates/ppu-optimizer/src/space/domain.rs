//! A space that was checked, and everything that a search needs of it.

use crate::space::block::Block;
use crate::space::build;
use crate::space::definition::{Design, Kind, Parameter, Setting, Space};
use crate::space::encode::{Encoder, Feature};
use crate::space::error::{DesignError, SpaceError};

/// Values by parameter: numbers in their units, indices of levels. Parameters that do not exist hold a fixed value, so
/// that equal designs have equal values.
pub(crate) type Values = Vec<f64>;

/// When a parameter exists: the earlier parameter, and its values that bring this one into being.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) parameter: usize,
    pub(crate) values: Vec<f64>,
}

/// A checked space: encodes designs for surrogate models, draws and projects inside the constraints, finds neighbours.
#[derive(Debug, Clone)]
pub struct Domain {
    pub(crate) space: Space,
    pub(crate) encoders: Vec<Encoder>,
    pub(crate) parents: Vec<Option<Parent>>,
    pub(crate) block: Option<Block>,
    pub(crate) forbidden: Vec<Vec<(usize, f64)>>,
    features: Vec<Feature>,
}

/// How much a design that was really made may miss the space: limits by this share of a range, because a balance is not a
/// set point, and sums by this share.
const MADE: (f64, f64) = (0.1, 0.02);
/// The same for a design that is proposed: rounding only.
const PROPOSED: (f64, f64) = (1e-9, 1e-6);

impl Domain {
    /// Checks a space. Contradictory constraints and an empty feasible set are errors that name the constraint.
    pub fn new(space: Space) -> Result<Domain, SpaceError> {
        build::check_parameters(&space)?;
        let encoders: Vec<Encoder> = space.parameters.iter().map(|one| Encoder::new(&one.kind)).collect();
        let each = space.parameters.iter().zip(&encoders).enumerate();
        let features = each.flat_map(|(at, (one, encoder))| encoder.features(at, &one.name, &one.kind)).collect();
        let parents = build::parents(&space)?;
        let block = build::block(&space)?;
        let forbidden = build::forbidden(&space)?;
        let domain = Domain { space, encoders, parents, block, forbidden, features };
        build::check_reachable(&domain)?;
        Ok(domain)
    }

    /// The space as described.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The columns that [`Domain::encode`] gives.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The columns of a design, each between 0 and 1. A design that was really made may miss limits and sums a little;
    /// its columns then leave that range by as much.
    pub fn encode(&self, design: &Design) -> Result<Vec<f64>, DesignError> {
        Ok(self.encode_values(&self.made(design)?))
    }

    /// Checks that a design belongs to the space exactly, but for rounding.
    pub fn check(&self, design: &Design) -> Result<(), DesignError> {
        self.read(design, PROPOSED).map(drop)
    }

    /// Number of distinct designs before constraints; `None` for a continuum.
    pub fn size(&self) -> Option<f64> {
        self.encoders.iter().map(|encoder| encoder.count().map(|count| count as f64)).product()
    }

    /// Values of a design that was really made.
    pub(crate) fn made(&self, design: &Design) -> Result<Values, DesignError> {
        self.read(design, MADE)
    }

    fn read(&self, design: &Design, (outside, sum): (f64, f64)) -> Result<Values, DesignError> {
        if let Some(name) = design.0.keys().find(|name| !self.space.parameters.iter().any(|one| &one.name == *name)) {
            return Err(DesignError::Unknown(name.clone()));
        }
        let mut values = Vec::with_capacity(self.encoders.len());
        for (at, parameter) in self.space.parameters.iter().enumerate() {
            let setting = design.0.get(&parameter.name);
            let value = match (setting, self.is_active(&values, at)) {
                (None, false) => self.absent(at),
                (Some(setting), true) => read_setting(parameter, setting, outside)?,
                (None, true) => return Err(DesignError::Missing(parameter.name.clone())),
                (Some(_), false) => {
                    let parent = self.parents[at].as_ref().map_or(at, |parent| parent.parameter);
                    let parent = self.space.parameters[parent].name.clone();
                    return Err(DesignError::Inactive { parameter: parameter.name.clone(), parent });
                }
            };
            values.push(value);
        }
        build::check_constraints(self, &values, sum)?;
        Ok(values)
    }

    /// Whether a parameter exists, given the values of all before it.
    pub(crate) fn is_active(&self, values: &[f64], at: usize) -> bool {
        self.parents[at].as_ref().is_none_or(|parent| {
            self.is_active(values, parent.parameter)
                && parent.values.iter().any(|value| (value - values[parent.parameter]).abs() < 1e-9)
        })
    }

    /// The value that stands for "does not exist".
    pub(crate) fn absent(&self, at: usize) -> f64 {
        match &self.encoders[at] {
            Encoder::Levels { .. } => 0.0,
            number => number.value_at(0.5),
        }
    }

    /// Gives every parameter that does not exist its fixed value.
    pub(crate) fn normalise(&self, values: &mut [f64]) {
        for at in 0..values.len() {
            if !self.is_active(values, at) {
                values[at] = self.absent(at);
            }
        }
    }

    /// The columns of values.
    pub(crate) fn encode_values(&self, values: &[f64]) -> Vec<f64> {
        let mut row = Vec::with_capacity(self.features.len());
        self.encode_into(values, &mut row);
        row
    }

    pub(crate) fn encode_into(&self, values: &[f64], row: &mut Vec<f64>) {
        for (at, encoder) in self.encoders.iter().enumerate() {
            encoder.encode(self.is_active(values, at).then_some(values[at]), row);
        }
    }

    /// The values whose columns are nearest: the inverse of encoding, for columns that a search has moved.
    pub(crate) fn decode(&self, row: &[f64]) -> Values {
        let mut at = 0;
        let mut values: Values = Vec::with_capacity(self.encoders.len());
        for encoder in &self.encoders {
            let columns = &row[at..at + encoder.width()];
            values.push(encoder.decode(columns));
            at += encoder.width();
        }
        self.normalise(&mut values);
        values
    }

    /// The design of values.
    pub(crate) fn design(&self, values: &[f64]) -> Design {
        let each = self.space.parameters.iter().enumerate().filter(|(at, _)| self.is_active(values, *at));
        let setting = |(at, one): (usize, &Parameter)| {
            let setting = match &one.kind {
                Kind::Continuous { .. } | Kind::Integer { .. } => Setting::Number(values[at]),
                Kind::Ordinal { levels } => Setting::Level(levels[values[at] as usize].name.clone()),
                Kind::Categorical { levels } => Setting::Level(levels[values[at] as usize].name.clone()),
            };
            (one.name.clone(), setting)
        };
        Design(each.map(setting).collect())
    }

    /// Whether the values contain a forbidden combination; its number.
    pub(crate) fn forbidden_by(&self, values: &[f64]) -> Option<usize> {
        self.forbidden.iter().position(|combination| {
            combination.iter().all(|(at, value)| self.is_active(values, *at) && (values[*at] - value).abs() < 1e-9)
        })
    }

    /// Values of the block's variables.
    pub(crate) fn block_values(&self, block: &Block, values: &[f64]) -> Vec<f64> {
        block.variables.iter().map(|one| values[one.parameter]).collect()
    }

    /// Whether values satisfy all constraints with the slack of a proposal.
    pub(crate) fn is_allowed(&self, values: &[f64]) -> bool {
        self.forbidden_by(values).is_none()
            && self.block.as_ref().is_none_or(|block| block.is_inside(&self.block_values(block, values), PROPOSED.1))
    }
}

pub(crate) fn read_setting(parameter: &Parameter, setting: &Setting, outside: f64) -> Result<f64, DesignError> {
    let wrong = || DesignError::Value { parameter: parameter.name.clone(), value: setting.to_string() };
    let position = |names: Vec<&str>, name: &str| {
        names.iter().position(|level| *level == name).map(|at| at as f64).ok_or_else(wrong)
    };
    match (&parameter.kind, setting) {
        (Kind::Continuous { .. } | Kind::Integer { .. }, Setting::Number(value)) => {
            let (min, max) = match &parameter.kind {
                Kind::Integer { min, max, .. } => (*min as f64, *max as f64),
                Kind::Continuous { min, max, .. } => (*min, *max),
                _ => (0.0, 0.0),
            };
            let value = *value;
            let unit = Encoder::new(&parameter.kind).unit(value);
            let slack = outside.max(1e-9);
            if !value.is_finite() || !(-slack..=1.0 + slack).contains(&unit) {
                return Err(DesignError::Outside { parameter: parameter.name.clone(), value, min, max });
            }
            if matches!(parameter.kind, Kind::Integer { .. }) && (value - value.round()).abs() > 1e-6 {
                return Err(wrong());
            }
            Ok(value)
        }
        (Kind::Ordinal { levels }, Setting::Level(name)) => {
            position(levels.iter().map(|level| level.name.as_str()).collect(), name)
        }
        (Kind::Categorical { levels }, Setting::Level(name)) => {
            position(levels.iter().map(|level| level.name.as_str()).collect(), name)
        }
        _ => Err(wrong()),
    }
}
