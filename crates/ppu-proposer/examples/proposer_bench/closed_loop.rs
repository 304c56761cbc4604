//! Closed loops with the Perov-5 table as laboratory (a replay): evaluations until half and all of the targets are found.

use std::collections::BTreeSet;
use std::time::Instant;

use ppu_proposer::crystal::{
    Assessment, Background, Campaign, CampaignSettings, ExchangeSettings, Guide, HeatLevel, IonExchange, Listed,
    Parent, Perovskite, PerovskiteRules, Policy, ReferenceSet, ReplayLab, SubstitutionTable, descriptors,
    rule_features, run_campaign,
};
use ppu_twin::rules::{Element, Formula};

use crate::atomistic;
use crate::data::{self, Compound};
use crate::{Bar, Problem, Settings, each_seed, quantile};

/// Share of the rules' prior that is uniform.
const UNIFORM: f64 = 0.05;

/// The known compounds from which ions are exchanged.
const KNOWN: &str = "MP-20 ternaries ABX3 in space group 221 with X one of O, N, F, S (validation and test parts)";

struct Found {
    half: f64,
    all: f64,
    seconds: f64,
    refused: f64,
    /// Whether a level of the twin was left out on the way.
    dropped: bool,
}

pub(crate) fn run(lab: &ReplayLab, settings: &Settings) -> Result<Vec<Bar>, Problem> {
    let campaign = CampaignSettings::default();
    let targets = lab.targets(&campaign.target);
    let (rows, wanted) = (lab.rows.len() as f64, targets.len() as f64);
    // The m-th of k targets takes m (N + 1) / (k + 1) draws without replacement on average.
    let chance = |m: f64| m * (rows + 1.0) / (wanted + 1.0);
    let (half, all) = (chance(0.5 * wanted), chance(wanted));
    eprintln!("{rows} rows, {wanted} targets; random needs {half:.0} for half and {all:.0} for all on average");
    let rules = PerovskiteRules::default();
    let assessed: Vec<Assessment> = lab.rows.iter().map(|row| rules.assess(row)).collect();
    let parents = known_parents(&rules, settings)?;
    let known: Vec<ReferenceSet> = parents.iter().map(|(_, set)| set.clone()).collect();
    let background = Background { assessed: &assessed, known: &known };

    let uniform = Listed::uniform(lab.rows.len());
    let ruled = Listed::rules(&assessed, &vec![false; lab.rows.len()], UNIFORM);
    let plain: Vec<Vec<f64>> = lab.rows.iter().map(descriptors).collect();
    let informed: Vec<Vec<f64>> =
        plain.iter().zip(&assessed).map(|(plain, one)| [plain.clone(), rule_features(one)].concat()).collect();
    let exchange = parents.as_ref().map(|(parents, _)| exchange(&assessed, parents));
    let twin = atomistic::levels(lab, settings)?;
    let published = Listed::published_rules(&assessed, UNIFORM);
    let mut policies: Vec<(String, Policy<'_>)> = vec![("random".into(), Policy::Draw(&uniform))];
    for prior in [&published, &ruled].into_iter().chain(&exchange) {
        policies.push((format!("{}, drawn", prior.name), Policy::Draw(prior)));
        policies.push((format!("{}, ranked", prior.name), Policy::Rank(prior)));
    }
    let honest = twin.as_ref().map(|twin| [twin.f1.clone(), twin.f2.clone()]);
    let liar = twin.as_ref().map(|twin| [atomistic::lying(&twin.f2)]);
    let mut ladders: Vec<(&str, &[HeatLevel])> = vec![("no twin", &[])];
    if let (Some(honest), Some(liar)) = (&honest, &liar) {
        ladders.extend([("twin to F1", &honest[..1]), ("twin to F2", &honest[..]), ("twin that lies", &liar[..])]);
    }
    for (ladder, levels) in ladders {
        for prior in [&uniform, &published, &ruled].into_iter().chain(&exchange) {
            // Without rules nothing of F0 is seen at all.
            let features = if prior.name == uniform.name { &plain } else { &informed };
            let guide = Guide { prior, features, levels };
            policies.push((format!("search, {} prior, {ladder}", prior.name), Policy::Search(guide)));
            if ["no twin", "twin to F2"].contains(&ladder) {
                policies.push((format!("annealed, {} prior, {ladder}", prior.name), Policy::Steer(guide)));
            }
        }
    }
    eprintln!("Model S is a flow over fractions and process settings: this list of decorations is not for it");
    let mut bars: Vec<Bar> = twin.iter().map(cost).collect();
    for (name, policy) in policies.into_iter().filter(|(name, _)| name.contains(&settings.policy)) {
        let found = each_seed(settings.seeds, settings.threads, |seed| {
            let started = Instant::now();
            let done = run_campaign(lab, policy, background, &campaign, seed).map_err(|error| error.to_string())?;
            let at = done.found_at(lab, &campaign.target);
            let get = |count: usize| at.get(count - 1).map_or(f64::INFINITY, |at| *at as f64);
            if seed == 0 {
                example(&done);
            }
            let dropped = done.rounds.iter().any(|round| round.dropped);
            let refused = done.rounds.iter().filter(|round| !round.refused.is_empty()).count();
            Ok(Found {
                half: get(targets.len().div_ceil(2)),
                all: get(targets.len()),
                seconds: started.elapsed().as_secs_f64(),
                dropped,
                refused: refused as f64 / done.rounds.len().max(1) as f64,
            })
        });
        let found: Vec<Found> = found.into_iter().collect::<Result<_, Problem>>()?;
        bars.extend(report(&name, &found, (half, all)));
    }
    Ok(bars)
}

/// What a person would see of one round.
fn example(done: &Campaign) {
    for round in done.rounds.iter().skip(1).step_by(6) {
        let Some(figures) = &round.figures else { continue };
        let first = round.proposals.first().map(|one| one.reason.as_str()).unwrap_or_default();
        let refused: Vec<String> = round.refused.iter().map(ToString::to_string).collect();
        eprintln!(
            "  beta {:.2}, {:.2} nats, sd {:.2}: {first} {}",
            figures.beta,
            figures.information,
            figures.ln_z.sd,
            refused.join("; ")
        );
    }
}

fn report(name: &str, found: &[Found], (chance_half, chance_all): (f64, f64)) -> Vec<Bar> {
    let halves: Vec<f64> = found.iter().map(|one| one.half).collect();
    let alls: Vec<f64> = found.iter().map(|one| one.all).collect();
    let mean = |of: fn(&Found) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    let five = |values: &[f64]| [0.05, 0.25, 0.5, 0.75, 0.95].map(|q| quantile(values, q));
    let finished = alls.iter().filter(|value| value.is_finite()).count();
    eprintln!(
        "{name}: half {:.0?}, all {:.0?} ({finished} of {} found all), {:.2} s a campaign, {:.0} % of rounds refused, a level left out in {}",
        five(&halves),
        five(&alls),
        found.len(),
        mean(|one| one.seconds),
        100.0 * mean(|one| one.refused),
        found.iter().filter(|one| one.dropped).count()
    );
    let (half, all) = (quantile(&halves, 0.5), quantile(&alls, 0.5));
    // The target is for the whole: rules and twin together. The other rows tell what each of them is worth.
    let aimed = name.contains("twin to F2") && !name.contains("uniform");
    let faster = chance_half / half;
    let mut bars = vec![Bar {
        bar: format!(
            "Perov-5 replay, {name}: evaluations until half of the targets (median of {} seeds, quartiles {:.0} to {:.0})",
            found.len(),
            quantile(&halves, 0.25),
            quantile(&halves, 0.75)
        ),
        value: half,
        unit: "1",
        target: if aimed { "12 times sooner than random".into() } else { "a yardstick".into() },
        peer: "random without replacement, mean",
        peer_value: Some(chance_half),
        holds: !aimed || faster >= 12.0,
    }];
    // A campaign that was ended has no number; JSON has no infinity either.
    if all.is_finite() {
        bars.push(Bar {
            bar: format!(
                "Perov-5 replay, {name}: evaluations until all targets (median; {finished} of {} campaigns found all)",
                found.len()
            ),
            value: all,
            unit: "1",
            target: "a yardstick".into(),
            peer: "random without replacement, mean",
            peer_value: Some(chance_all),
            holds: true,
        });
    }
    bars
}

/// What the twin cost, to be set against the evaluations that it saves.
fn cost(twin: &atomistic::Levels) -> Bar {
    Bar {
        bar: format!(
            "Perov-5 replay, cost of level F2 for the whole list, once: {} evaluations of the potential (F1 alone: {})",
            twin.evaluations.1, twin.evaluations.0
        ),
        value: twin.seconds,
        unit: "s",
        target: "a yardstick".into(),
        peer: "-",
        peer_value: None,
        holds: true,
    }
}

fn exchange(assessed: &[Assessment], parents: &[Parent]) -> Listed {
    let children: Vec<_> = assessed.iter().map(|one| one.ions.map(|ions| ions.to_vec())).collect();
    let table = SubstitutionTable::published();
    let found = IonExchange::new(table, parents, &children, &ExchangeSettings::default());
    let reached = found.parent.iter().filter(|parent| parent.is_some()).count();
    eprintln!("ion exchange reaches {reached} rows from {} parents", parents.len());
    Listed { name: "ion exchange".into(), log_q: found.log_q }
}

/// Known perovskites of MP-20 as parents and as reference set; `None` without the file.
fn known_parents(rules: &PerovskiteRules, settings: &Settings) -> Result<Option<(Vec<Parent>, ReferenceSet)>, Problem> {
    let Some(compounds) = data::mp20(&settings.data)? else {
        eprintln!("{} has no mp20: ion exchange is left out", settings.data.display());
        return Ok(None);
    };
    let mut parents = Vec::new();
    let mut seen = BTreeSet::new();
    let mut formulas = BTreeSet::new();
    for compound in &compounds {
        let formula: Formula = compound.formula.parse().map_err(|error| format!("{}: {error}", compound.formula))?;
        formulas.insert(formula.reduced());
        for one in perovskites(compound) {
            let assessed = rules.assess(&one);
            let Some(ions) = assessed.ions else { continue };
            // The larger cation stands on A: the table of compounds does not say which is which.
            let swapped =
                assessed.factors.as_ref().is_some_and(|found| found.as_ref().is_ok_and(|found| found.swapped));
            if !swapped && seen.insert(one.formula()) {
                parents.push(Parent { name: compound.formula.clone(), sites: ions.to_vec(), weight: 1.0 });
            }
        }
    }
    eprintln!(
        "{} parents: {}",
        parents.len(),
        parents.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" ")
    );
    let name = format!("{} binaries and ternaries of MP-20; parents are {KNOWN}", compounds.len());
    Ok(Some((parents, ReferenceSet { name, formulas })))
}

/// Both ways to put the cations of a cubic ABX3 with five atoms.
fn perovskites(compound: &Compound) -> Vec<Perovskite> {
    let mut counts: Vec<(Element, u32)> = Vec::new();
    for (symbol, count) in &compound.sites {
        let Ok(element) = symbol.parse::<Element>() else { return Vec::new() };
        match counts.iter_mut().find(|(known, _)| *known == element) {
            Some((_, sum)) => *sum += count,
            None => counts.push((element, *count)),
        }
    }
    counts.sort_by_key(|(_, count)| *count);
    match counts.as_slice() {
        [(a, 1), (b, 1), (x, 3)] if compound.sg == 221 && ["O", "N", "F", "S"].contains(&x.symbol()) => {
            vec![Perovskite::new(*a, *b, [*x; 3]), Perovskite::new(*b, *a, [*x; 3])]
        }
        _ => Vec::new(),
    }
}
