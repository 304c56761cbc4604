//! Campaigns: what may vary, what is wanted, what it may cost, who approves. Read from `config/campaigns/*.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::design::{DesignSpace, Mixture, Parameter};
use crate::ids::CampaignId;
use crate::lab::check_version;
use crate::objective::{Goal, Objective};
use crate::problem::{Problem, Problems, Source, nearest};
use crate::protocol::Protocol;
use crate::unit::Unit;

/// Who lets an experiment begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// Every proposal that passes the checks runs.
    Auto,
    /// A person accepts or rejects each trial. There is no timeout: nothing is ever accepted by waiting.
    Ask,
}

/// How candidates are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Proposer, twin and Gaussian-process optimizer.
    Optimizer,
    /// Uniform draws from the design space: the yardstick.
    Random,
}

/// Who offers candidates to twin and optimizer, where the strategy is [`Strategy::Optimizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// The prior, annealed towards what the twin expects to score well.
    #[default]
    Annealed,
    /// A flow that every round teaches anew with the campaign's observations and with samples of the twin.
    Flow,
}

/// A campaign, checked against its protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignSpec {
    /// Its name in the file; an id is derived from it at submission.
    pub name: CampaignId,
    /// One line for people.
    pub title: String,
    /// What may vary.
    pub space: DesignSpace,
    /// What is wanted.
    pub objectives: Vec<Objective>,
    /// Protocol parameters that do not vary.
    pub fixed: BTreeMap<String, f64>,
    /// Trials after which the campaign ends.
    pub budget_trials: u32,
    /// Candidates in one proposal.
    pub batch: u32,
    /// Trials that may be under way together.
    pub in_flight: u32,
    /// Score at which the campaign ends early; `None` to use the whole budget.
    pub stop_score: Option<f64>,
    /// Who lets an experiment begin.
    pub approval: ApprovalPolicy,
    /// How candidates are chosen.
    pub strategy: Strategy,
    /// Who offers them.
    pub generator: Generator,
    /// Seed of every random decision.
    pub seed: u64,
    /// Name of the analysis that turns raw data into an observation.
    pub analysis: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCampaign {
    version: Spanned<u32>,
    campaign: Spanned<String>,
    title: String,
    protocol: Spanned<String>,
    analysis: String,
    #[serde(default)]
    parameter: Vec<RawParameter>,
    #[serde(default)]
    mixture: Vec<RawMixture>,
    #[serde(default)]
    objective: Vec<RawObjective>,
    #[serde(default)]
    fixed: BTreeMap<String, Spanned<f64>>,
    budget: Spanned<RawBudget>,
    #[serde(default)]
    stop: RawStop,
    approval: ApprovalPolicy,
    #[serde(default = "optimizer")]
    strategy: Strategy,
    #[serde(default)]
    generator: Generator,
    #[serde(default)]
    seed: u64,
}

fn optimizer() -> Strategy {
    Strategy::Optimizer
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    name: Spanned<String>,
    unit: String,
    min: f64,
    max: f64,
    #[serde(default)]
    resolution: f64,
    #[serde(default)]
    log: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMixture {
    parts: Spanned<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawObjective {
    name: Spanned<String>,
    unit: String,
    goal: Goal,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    trials: u32,
    batch: u32,
    in_flight: u32,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawStop {
    score: Option<f64>,
}

/// The protocol file that a campaign file names, relative to it; what a client must read before it can submit.
pub fn protocol_of(file: &str, text: &str) -> Result<String, Problems> {
    let raw: RawCampaign = Source { file, text }.parse()?;
    Ok(raw.protocol.into_inner())
}

impl CampaignSpec {
    /// Reads a campaign file and checks it against the protocol that it names.
    pub fn parse(file: &str, text: &str, protocol: &Protocol) -> Result<CampaignSpec, Problems> {
        let source = Source { file, text };
        let raw: RawCampaign = source.parse()?;
        let mut found = Vec::new();
        check_version(&source, &raw.version, &mut found);
        let name = CampaignId::new(raw.campaign.get_ref().clone()).map_err(|error| {
            let at = Some(raw.campaign.span().start);
            let cure = "use letters, digits, '.', '_' and '-'";
            Problems(vec![source.problem(at, "campaign", "", error.to_string(), cure)])
        })?;
        let space = space(&source, &raw, &mut found);
        let objectives = objectives(&source, &raw.objective, &mut found);
        check_budget(&source, &raw.budget, &mut found);
        check_protocol(&source, &raw, &space, protocol, &mut found);
        let budget = raw.budget.into_inner();
        let spec = CampaignSpec {
            name,
            title: raw.title,
            space,
            objectives,
            fixed: raw.fixed.into_iter().map(|(name, value)| (name, value.into_inner())).collect(),
            budget_trials: budget.trials,
            batch: budget.batch,
            in_flight: budget.in_flight,
            stop_score: raw.stop.score,
            approval: raw.approval,
            strategy: raw.strategy,
            generator: raw.generator,
            seed: raw.seed,
            analysis: raw.analysis,
        };
        Problems::or(found, spec)
    }
}

fn space(source: &Source<'_>, raw: &RawCampaign, found: &mut Vec<Problem>) -> DesignSpace {
    let mut space = DesignSpace { parameters: Vec::new(), mixtures: Vec::new() };
    for parameter in &raw.parameter {
        let subject = format!("parameter \"{}\"", parameter.name.get_ref());
        let at = Some(parameter.name.span().start);
        let Some(unit) = Unit::parse(&parameter.unit) else {
            let message = Unit::try_from(parameter.unit.clone()).err().unwrap_or_default();
            found.push(source.problem(at, subject, "unit", message, "write `unit = \"1\"` for a pure number"));
            continue;
        };
        let lowest_log = if parameter.log { f64::MIN_POSITIVE } else { f64::MIN };
        if !(parameter.min < parameter.max && parameter.max.is_finite() && parameter.min >= lowest_log) {
            let message = format!("{} to {} is not a range", parameter.min, parameter.max);
            let cure = "`min` must be smaller than `max`, and above 0 where `log = true`";
            found.push(source.problem(at, subject, "min", message, cure));
            continue;
        }
        if space.parameter(parameter.name.get_ref()).is_some() {
            found.push(source.problem(at, subject, "name", "it is declared twice", "remove one of the two"));
            continue;
        }
        space.parameters.push(Parameter {
            name: parameter.name.get_ref().clone(),
            unit,
            min: parameter.min,
            max: parameter.max,
            resolution: parameter.resolution.max(0.0),
            log: parameter.log,
        });
    }
    for mixture in &raw.mixture {
        let parts = mixture.parts.get_ref();
        let unknown: Vec<_> = parts.iter().filter(|part| space.parameter(part).is_none()).cloned().collect();
        let (low, high) = parts
            .iter()
            .filter_map(|part| space.parameter(part))
            .fold((0.0, 0.0), |(low, high), parameter| (low + parameter.min, high + parameter.max));
        let at = Some(mixture.parts.span().start);
        if parts.len() < 2 || !unknown.is_empty() {
            let message = format!("[{}] is not a mixture of parameters", parts.join(", "));
            found.push(source.problem(
                at,
                "mixture",
                "parts",
                message,
                "name at least two parameters of this campaign",
            ));
        } else if low > 1.0 || high < 1.0 {
            let message = format!("the parts can sum to {low:.3} … {high:.3} only, never to 1");
            found.push(source.problem(at, "mixture", "parts", message, "widen the limits of the parts"));
        } else {
            space.mixtures.push(Mixture { parts: parts.clone() });
        }
    }
    if space.parameters.is_empty() && found.is_empty() {
        found.push(source.problem(None, "", "parameter", "nothing varies", "add at least one [[parameter]]"));
    }
    space
}

fn objectives(source: &Source<'_>, raw: &[RawObjective], found: &mut Vec<Problem>) -> Vec<Objective> {
    let mut objectives = Vec::new();
    for objective in raw {
        let subject = format!("objective \"{}\"", objective.name.get_ref());
        let at = Some(objective.name.span().start);
        let Some(unit) = Unit::parse(&objective.unit) else {
            let message = Unit::try_from(objective.unit.clone()).err().unwrap_or_default();
            found.push(source.problem(at, subject, "unit", message, "write `unit = \"1\"` for a pure number"));
            continue;
        };
        let sound = match objective.goal {
            Goal::Maximize { low, high } | Goal::Minimize { low, high } => low < high,
            Goal::Target { value, tolerance, limit } => value.is_finite() && tolerance >= 0.0 && tolerance < limit,
        };
        if !sound || objective.weight.is_nan() || objective.weight <= 0.0 {
            let cure = "`low` must be below `high`, `tolerance` below `limit`, and `weight` above 0";
            found.push(source.problem(at, subject, "goal", "the goal cannot be scored", cure));
            continue;
        }
        let (name, goal, weight) = (objective.name.get_ref().clone(), objective.goal, objective.weight);
        objectives.push(Objective { name, unit, goal, weight });
    }
    if objectives.is_empty() && found.is_empty() {
        found.push(source.problem(None, "", "objective", "nothing is wanted", "add at least one [[objective]]"));
    }
    objectives
}

fn check_budget(source: &Source<'_>, budget: &Spanned<RawBudget>, found: &mut Vec<Problem>) {
    let RawBudget { trials, batch, in_flight } = *budget.get_ref();
    if trials == 0 || trials > 100_000 || batch == 0 || batch > 64 || in_flight == 0 || in_flight > 64 {
        let message = format!("{trials} trials in batches of {batch}, {in_flight} at once, is not a budget");
        let cure = "give 1 to 100000 trials, and 1 to 64 for `batch` and `in_flight`";
        found.push(source.problem(Some(budget.span().start), "budget", "", message, cure));
    }
}

fn check_protocol(
    source: &Source<'_>,
    raw: &RawCampaign,
    space: &DesignSpace,
    protocol: &Protocol,
    found: &mut Vec<Problem>,
) {
    // A parameter is shown where the campaign varies or fixes it, and one that is missing where the protocol is named.
    let place = |name: &str| {
        let varied = raw.parameter.iter().find(|parameter| parameter.name.get_ref() == name);
        let fixed = || raw.fixed.get(name).map(|value| value.span().start);
        Some(varied.map(|parameter| parameter.name.span().start).or_else(fixed).unwrap_or(raw.protocol.span().start))
    };
    for declared in protocol.parameters() {
        let subject = format!("parameter \"{}\"", declared.name);
        let at = place(&declared.name);
        match (space.parameter(&declared.name), raw.fixed.get(&declared.name), declared.default) {
            (Some(varied), None, _) if varied.min < declared.min || varied.max > declared.max => {
                let message = format!(
                    "the campaign varies it from {} to {}, the protocol takes {} to {}",
                    varied.min, varied.max, declared.min, declared.max
                );
                found.push(source.problem(at, subject, "min", message, "narrow the range of the campaign"));
            }
            (Some(varied), None, _) if varied.unit != declared.unit => {
                let message = format!("the campaign gives it in {}, the protocol takes {}", varied.unit, declared.unit);
                found.push(source.problem(at, subject, "unit", message, "use the unit of the protocol"));
            }
            (Some(_), Some(_), _) => {
                found.push(source.problem(
                    at,
                    subject,
                    "fixed",
                    "it is both varied and fixed",
                    "remove one of the two",
                ));
            }
            (None, None, None) => {
                let cure = "vary it with [[parameter]], or give it under [fixed]";
                found.push(source.problem(at, subject, "", "the protocol needs it and nothing gives it", cure));
            }
            _ => {}
        }
    }
    let names = space.parameters.iter().map(|parameter| &parameter.name).chain(raw.fixed.keys());
    for name in names.filter(|name| !protocol.parameters().iter().any(|declared| &declared.name == *name)) {
        let message = format!("the protocol \"{}\" has no such parameter", protocol.name());
        let cure = match nearest(name, protocol.parameters().iter().map(|declared| declared.name.as_str())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "remove it, or declare it in the protocol".to_owned(),
        };
        found.push(source.problem(place(name), format!("parameter \"{name}\""), "name", message, cure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = "version = 1\nprotocol = \"bake\"\ntitle = \"Bake\"\n[[parameter]]\nname = \"t\"\nunit = \"C\"\n\
        min = 0\nmax = 200\n[[step]]\nname = \"bake\"\ncommand = \"annealing.anneal\"\nargs = { temperature_c = \"= t\" }\n";

    fn parse(choice: &str) -> Result<CampaignSpec, Problems> {
        let text = format!(
            "version = 1\ncampaign = \"bakery\"\ntitle = \"Bakery\"\nprotocol = \"bake.toml\"\nanalysis = \"none\"\n\
             approval = \"auto\"\n{choice}\n[budget]\ntrials = 30\nbatch = 2\nin_flight = 2\n[[parameter]]\nname = \"t\"\n\
             unit = \"C\"\nmin = 0\nmax = 100\n[[objective]]\nname = \"y\"\nunit = \"1\"\n\
             goal = {{ maximize = {{ low = 0, high = 1 }} }}\n"
        );
        CampaignSpec::parse("bakery.toml", &text, &Protocol::parse("bake.toml", PROTOCOL).unwrap())
    }

    #[test]
    fn a_campaign_names_who_offers_its_candidates() {
        assert_eq!(parse("").unwrap().generator, Generator::Annealed);
        assert_eq!(parse("generator = \"annealed\"").unwrap().generator, Generator::Annealed);
        assert_eq!(parse("generator = \"flow\"").unwrap().generator, Generator::Flow);
    }

    #[test]
    fn a_generator_that_is_not_known_is_refused_with_those_that_are() {
        let told = parse("generator = \"diffusion\"").unwrap_err().to_string();
        assert!(
            ["bakery.toml:7", "generator", "diffusion", "annealed", "flow"].iter().all(|word| told.contains(word)),
            "{told}"
        );
    }
}
