//! From the words of a space to what a domain holds, with a refusal for everything that makes no sense.

use std::collections::BTreeSet;

use crate::space::block::{Block, Count, Variable, is_satisfied};
use crate::space::definition::{Constraint, Kind, Parameter, Relation, Scale, Setting, Space};
use crate::space::domain::{Domain, Parent, read_setting};
use crate::space::encode::Encoder;
use crate::space::error::{DesignError, SpaceError};
use crate::space::linear_program::Row;

/// Combinations that are enumerated to find out whether every one is forbidden.
const COMBINATIONS: usize = 100_000;

fn fault(parameter: &Parameter, problem: impl Into<String>) -> SpaceError {
    SpaceError::Parameter { parameter: parameter.name.clone(), problem: problem.into() }
}

fn against(constraint: &Constraint, problem: impl Into<String>) -> SpaceError {
    SpaceError::Constraint { constraint: constraint.name().to_owned(), problem: problem.into() }
}

pub(crate) fn check_parameters(space: &Space) -> Result<(), SpaceError> {
    if space.parameters.is_empty() {
        return Err(SpaceError::Empty);
    }
    let mut names = BTreeSet::new();
    for parameter in &space.parameters {
        if !names.insert(&parameter.name) {
            return Err(SpaceError::Duplicate(parameter.name.clone()));
        }
        check_kind(parameter)?;
    }
    let mut names = BTreeSet::new();
    match space.constraints.iter().find(|one| !names.insert(one.name())) {
        Some(twice) => Err(SpaceError::Duplicate(twice.name().to_owned())),
        None => Ok(()),
    }
}

fn check_kind(parameter: &Parameter) -> Result<(), SpaceError> {
    let check_levels = |names: Vec<&str>| {
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !seen.insert(**name)) {
            Some(twice) => Err(fault(parameter, format!("two levels are called `{twice}`"))),
            None if names.len() < 2 => Err(fault(parameter, "it has fewer than two levels; fix it instead")),
            None => Ok(()),
        }
    };
    match &parameter.kind {
        Kind::Continuous { min, max, step, scale } => {
            if step.is_some_and(|step| !(step > 0.0 && step.is_finite())) {
                return Err(fault(parameter, "its step is not a positive number"));
            }
            check_scale(parameter, (*min, *max), scale)?;
            if Encoder::new(&parameter.kind).count().is_some_and(|count| count < 1) {
                return Err(fault(parameter, "no multiple of its step lies within its limits"));
            }
            Ok(())
        }
        Kind::Integer { min, max, scale } => check_scale(parameter, (*min as f64, *max as f64), scale),
        Kind::Ordinal { levels } => {
            check_levels(levels.iter().map(|level| level.name.as_str()).collect())?;
            let ascending = levels.windows(2).all(|pair| pair[0].score < pair[1].score);
            if !ascending || levels.iter().any(|level| !level.score.is_finite()) {
                return Err(fault(parameter, "the scores of its levels do not ascend"));
            }
            Ok(())
        }
        Kind::Categorical { levels } => {
            check_levels(levels.iter().map(|level| level.name.as_str()).collect())?;
            let width = levels[0].descriptors.len();
            match levels
                .iter()
                .find(|one| one.descriptors.len() != width || one.descriptors.iter().any(|x| !x.is_finite()))
            {
                Some(level) => Err(fault(
                    parameter,
                    format!("level `{}` does not have {width} finite descriptors like the first one", level.name),
                )),
                None => Ok(()),
            }
        }
    }
}

fn check_scale(parameter: &Parameter, (min, max): (f64, f64), scale: &Scale) -> Result<(), SpaceError> {
    if !(min.is_finite() && max.is_finite()) {
        return Err(fault(parameter, "a limit is not a finite number"));
    }
    if min >= max {
        return Err(fault(parameter, "its smallest value is not below its largest; fix it instead of varying it"));
    }
    match scale {
        Scale::Log if min <= 0.0 => Err(fault(parameter, "a logarithmic scale needs a positive smallest value")),
        Scale::Custom(curve) => {
            let finite = curve.iter().all(|(value, position)| value.is_finite() && position.is_finite());
            let ascending = curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
            let spans = curve.first().is_some_and(|one| one.0 == min) && curve.last().is_some_and(|one| one.0 == max);
            if finite && ascending && spans {
                Ok(())
            } else {
                Err(fault(parameter, "its scale does not ascend from its smallest to its largest value"))
            }
        }
        _ => Ok(()),
    }
}

/// The values that a setting of a discrete parameter stands for.
fn discrete(space: &Space, name: &str, setting: &Setting) -> Result<(usize, f64), String> {
    let at = space.parameters.iter().position(|one| one.name == name).ok_or(format!("`{name}` is not a parameter"))?;
    let parameter = &space.parameters[at];
    if matches!(parameter.kind, Kind::Continuous { .. }) {
        return Err(format!("`{name}` is continuous, and no single value of it can be named"));
    }
    read_setting(parameter, setting, 0.0).map(|value| (at, value)).map_err(|error| error.to_string())
}

pub(crate) fn parents(space: &Space) -> Result<Vec<Option<Parent>>, SpaceError> {
    let one = |at: usize, parameter: &Parameter| {
        let Some(condition) = &parameter.active_if else { return Ok(None) };
        let earlier = space.parameters[..at].iter().position(|other| other.name == condition.parameter);
        let Some(parent) = earlier else {
            return Err(fault(
                parameter,
                format!("it depends on `{}`, which does not come before it", condition.parameter),
            ));
        };
        let values = condition.any_of.iter().map(|setting| discrete(space, &condition.parameter, setting));
        let values: Result<Vec<(usize, f64)>, String> = values.collect();
        let values: Vec<f64> =
            values.map_err(|problem| fault(parameter, problem))?.into_iter().map(|(_, value)| value).collect();
        if values.is_empty() {
            return Err(fault(parameter, "its condition names no value, so it never exists"));
        }
        Ok(Some(Parent { parameter: parent, values }))
    };
    space.parameters.iter().enumerate().map(|(at, parameter)| one(at, parameter)).collect()
}

pub(crate) fn forbidden(space: &Space) -> Result<Vec<Vec<(usize, f64)>>, SpaceError> {
    let combinations = space.constraints.iter().filter_map(|constraint| match constraint {
        Constraint::Forbidden { all_of, .. } => Some((constraint, all_of)),
        _ => None,
    });
    combinations
        .map(|(constraint, all_of)| {
            if all_of.is_empty() {
                return Err(against(constraint, "it names no level"));
            }
            let one = |(name, setting): &(String, Setting)| discrete(space, name, setting);
            all_of.iter().map(one).collect::<Result<Vec<_>, _>>().map_err(|problem| against(constraint, problem))
        })
        .collect()
}

/// What the linear and count constraints of a space say, in indices of its parameters.
enum Part {
    Row(Vec<(usize, f64)>, Relation, f64),
    Count(Vec<usize>, usize, usize, f64),
}

fn numeric(space: &Space, constraint: &Constraint, name: &str) -> Result<usize, SpaceError> {
    let Some(at) = space.parameters.iter().position(|one| one.name == name) else {
        return Err(against(constraint, format!("`{name}` is not a parameter")));
    };
    let parameter = &space.parameters[at];
    if !matches!(parameter.kind, Kind::Continuous { .. } | Kind::Integer { .. }) {
        return Err(against(constraint, format!("`{name}` is not a number")));
    }
    if parameter.active_if.is_some() {
        return Err(against(constraint, format!("`{name}` does not always exist")));
    }
    Ok(at)
}

fn part(space: &Space, constraint: &Constraint) -> Result<Option<Part>, SpaceError> {
    let indices = |names: &mut dyn Iterator<Item = &String>| -> Result<Vec<usize>, SpaceError> {
        let found = names.map(|name| numeric(space, constraint, name)).collect::<Result<Vec<_>, _>>()?;
        if found.iter().collect::<BTreeSet<_>>().len() < found.len() {
            return Err(against(constraint, "it names a parameter twice"));
        }
        Ok(found)
    };
    match constraint {
        Constraint::Mixture { parts, total, .. } => {
            if parts.len() < 2 || !total.is_finite() {
                return Err(against(constraint, "a mixture needs two parts and a finite total"));
            }
            let terms = indices(&mut parts.iter())?.into_iter().map(|at| (at, 1.0)).collect();
            Ok(Some(Part::Row(terms, Relation::Equal, *total)))
        }
        Constraint::Linear { terms, relation, bound, .. } => {
            let factors = terms.iter().map(|(_, factor)| *factor);
            if terms.is_empty()
                || factors.clone().any(|factor| !factor.is_finite() || factor == 0.0)
                || !bound.is_finite()
            {
                return Err(against(constraint, "it needs terms with finite factors other than 0, and a finite bound"));
            }
            let at = indices(&mut terms.iter().map(|(name, _)| name))?;
            Ok(Some(Part::Row(at.into_iter().zip(factors).collect(), *relation, *bound)))
        }
        Constraint::Count { parts, at_least, at_most, least, .. } => {
            if at_least > at_most || *at_most == 0 || *at_least > parts.len() || !(*least >= 0.0 && least.is_finite()) {
                return Err(against(
                    constraint,
                    format!("between {at_least} and {at_most} of {} is impossible", parts.len()),
                ));
            }
            let at = indices(&mut parts.iter())?;
            Ok(Some(Part::Count(at, *at_least, *at_most, *least)))
        }
        Constraint::Forbidden { .. } => Ok(None),
    }
}

fn limits_of(kind: &Kind) -> (f64, f64, Option<f64>) {
    match kind {
        Kind::Continuous { min, max, step, .. } => (*min, *max, *step),
        Kind::Integer { min, max, .. } => (*min as f64, *max as f64, Some(1.0)),
        _ => (0.0, 1.0, None),
    }
}

pub(crate) fn block(space: &Space) -> Result<Option<Block>, SpaceError> {
    let mut parts = Vec::new();
    for constraint in &space.constraints {
        parts.extend(part(space, constraint)?.map(|part| (constraint, part)));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let mut counted = BTreeSet::new();
    for (constraint, part) in &parts {
        match part {
            Part::Row(terms, relation, bound) => check_reach(space, constraint, terms, *relation, *bound)?,
            Part::Count(at, _, _, least) => {
                for parameter in at {
                    let one = &space.parameters[*parameter];
                    let (min, max, _) = limits_of(&one.kind);
                    if min != 0.0 || *least > max {
                        let problem = format!("`{}` must have 0 as smallest value and reach {least}", one.name);
                        return Err(against(constraint, problem));
                    }
                    if !counted.insert(*parameter) {
                        return Err(against(
                            constraint,
                            format!("`{}` is counted by another constraint too", one.name),
                        ));
                    }
                }
            }
        }
    }
    let all: Vec<&Part> = parts.iter().map(|(_, part)| part).collect();
    let (variables, rows, counts) = assemble(space, &all);
    match Block::new(variables, rows, counts) {
        Some(block) => Ok(Some(block)),
        None => Err(contradiction(space, &parts)),
    }
}

/// A single row that its own limits already rule out.
fn check_reach(
    space: &Space,
    constraint: &Constraint,
    terms: &[(usize, f64)],
    relation: Relation,
    bound: f64,
) -> Result<(), SpaceError> {
    let (mut least, mut most) = (0.0, 0.0);
    for (at, factor) in terms {
        let (min, max, _) = limits_of(&space.parameters[*at].kind);
        least += (factor * min).min(factor * max);
        most += (factor * min).max(factor * max);
    }
    let slack = 1e-9 * (1.0 + bound.abs());
    let (too_high, too_low) = (least > bound + slack, most < bound - slack);
    let problem = match relation {
        Relation::Equal if too_high || too_low => format!("its terms sum to {least} … {most}, never to {bound}"),
        Relation::AtMost if too_high => format!("its terms sum to {least} at least, more than {bound}"),
        Relation::AtLeast if too_low => format!("its terms sum to {most} at most, less than {bound}"),
        _ => return Ok(()),
    };
    Err(against(constraint, problem))
}

fn assemble(space: &Space, parts: &[&Part]) -> (Vec<Variable>, Vec<Row>, Vec<Count>) {
    let mut used = BTreeSet::new();
    for part in parts {
        match part {
            Part::Row(terms, ..) => used.extend(terms.iter().map(|(at, _)| *at)),
            Part::Count(at, ..) => used.extend(at),
        }
    }
    let used: Vec<usize> = used.into_iter().collect();
    let place = |parameter: usize| used.iter().position(|at| *at == parameter).unwrap_or(0);
    let variable = |at: &usize| {
        let (min, max, step) = limits_of(&space.parameters[*at].kind);
        Variable { parameter: *at, min, max, step }
    };
    let (mut rows, mut counts) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Row(terms, relation, bound) => {
                let sign = if *relation == Relation::AtLeast { -1.0 } else { 1.0 };
                let mut coefficients = vec![0.0; used.len()];
                terms.iter().for_each(|(at, factor)| coefficients[place(*at)] = sign * factor);
                rows.push(Row { coefficients, bound: sign * bound, equal: *relation == Relation::Equal });
            }
            Part::Count(at, at_least, at_most, least) => {
                let parts = at.iter().map(|at| place(*at)).collect();
                counts.push(Count { parts, at_least: *at_least, at_most: *at_most, least: *least });
            }
        }
    }
    (used.iter().map(variable).collect(), rows, counts)
}

/// A set of constraints each of which is needed for the contradiction: what is left when those are dropped without which
/// it remains.
fn contradiction(space: &Space, parts: &[(&Constraint, Part)]) -> SpaceError {
    let mut kept: Vec<usize> = (0..parts.len()).collect();
    for at in 0..parts.len() {
        let without: Vec<usize> = kept.iter().copied().filter(|other| *other != at).collect();
        let chosen: Vec<&Part> = without.iter().map(|at| &parts[*at].1).collect();
        let (variables, rows, counts) = assemble(space, &chosen);
        if !chosen.is_empty() && !Block::is_possible(&variables, &rows, &counts) {
            kept = without;
        }
    }
    SpaceError::Contradiction(kept.into_iter().map(|at| parts[at].0.name().to_owned()).collect())
}

/// Finds out whether steps and forbidden combinations leave anything.
pub(crate) fn check_reachable(domain: &Domain) -> Result<(), SpaceError> {
    let names = |wanted: fn(&Constraint) -> bool| -> Vec<String> {
        domain.space.constraints.iter().filter(|one| wanted(one)).map(|one| one.name().to_owned()).collect()
    };
    if let Some(block) = &domain.block {
        let mut rng = crate::sequence::stream(0, 0, crate::sequence::Purpose::Space);
        // A set that has points on the steps at all has one near a few of its points.
        if !(0..64).any(|_| block.round(&block.draw(&mut rng)).is_some()) {
            return Err(SpaceError::Steps(names(|one| !matches!(one, Constraint::Forbidden { .. }))));
        }
    }
    let involved: BTreeSet<usize> = domain.forbidden.iter().flatten().map(|(at, _)| *at).collect();
    let counts: Vec<usize> = involved.iter().map(|at| domain.encoders[*at].count().unwrap_or(1)).collect();
    let combinations = counts.iter().try_fold(1_usize, |product, count| product.checked_mul(*count));
    if let Some(combinations) = combinations.filter(|count| *count <= COMBINATIONS && !involved.is_empty()) {
        let mut values: Vec<f64> = (0..domain.encoders.len()).map(|at| domain.absent(at)).collect();
        let is_free = |index: usize| {
            let mut left = index;
            for (at, count) in involved.iter().zip(&counts) {
                values[*at] = domain.encoders[*at].value(left % count);
                left /= count;
            }
            domain.forbidden_by(&values).is_none()
        };
        if !(0..combinations).any(is_free) {
            return Err(SpaceError::Contradiction(names(|one| matches!(one, Constraint::Forbidden { .. }))));
        }
    }
    Ok(())
}

/// Checks values against every constraint, each by name.
pub(crate) fn check_constraints(domain: &Domain, values: &[f64], slack: f64) -> Result<(), DesignError> {
    let violated = |constraint: &Constraint, problem: String| {
        Err(DesignError::Constraint { constraint: constraint.name().to_owned(), problem })
    };
    let (mut row, mut count, mut combination) = (0, 0, 0);
    for constraint in &domain.space.constraints {
        if matches!(constraint, Constraint::Forbidden { .. }) {
            if domain.forbidden_by(values) == Some(combination) {
                return violated(constraint, "this combination must not occur".to_owned());
            }
            combination += 1;
            continue;
        }
        let Some(block) = &domain.block else { continue };
        let natural = domain.block_values(block, values);
        if let Constraint::Count { at_least, at_most, least, .. } = constraint {
            if !block.is_counted(&block.counts[count], &natural, slack) {
                let problem = format!("{at_least} to {at_most} parts may be in use, each with {least} or more");
                return violated(constraint, problem);
            }
            count += 1;
        } else {
            let found = &block.rows[row];
            if !is_satisfied(found, &natural, slack) {
                let sum: f64 = found.coefficients.iter().zip(&natural).map(|(c, x)| c * x).sum();
                // Rows are kept as "at most"; people wrote the sum the other way round.
                let sign = match constraint {
                    Constraint::Linear { relation: Relation::AtLeast, .. } => -1.0,
                    _ => 1.0,
                };
                let relation = match constraint {
                    Constraint::Linear { relation: Relation::AtLeast, .. } => "at least",
                    Constraint::Linear { relation: Relation::AtMost, .. } => "at most",
                    _ => "exactly",
                };
                return violated(
                    constraint,
                    format!("the sum is {}, not {relation} {}", sign * sum, sign * found.bound),
                );
            }
            row += 1;
        }
    }
    Ok(())
}
