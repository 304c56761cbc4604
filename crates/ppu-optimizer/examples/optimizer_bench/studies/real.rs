//! Yield and cost of direct arylation: measured yields (Shields et al., Nature 590, 89 (2021)) with the reagents' prices that
//! Torres et al. (J. Am. Chem. Soc. 144, 19999 (2022)) added. Both are scaled to [0, 1] on the pool; the reference is no
//! yield at the highest cost. Five random experiments, then one by one.

use std::collections::BTreeMap;
use std::path::Path;

use ppu_optimizer::Study;
use ppu_optimizer::multi::hypervolume;
use ppu_optimizer::space::{Design, Parameter, Setting, Space};
use ppu_optimizer::study::{Aim, Definition, Known, Told, Wanted};

use super::replay::valid;
use crate::{Bar, Problem, Settings, each_seed, number, quantile, table};

/// Parameters that are levels with descriptors. Solvent and concentration are one: the price of a solution is no sum of the
/// two, and the price is then known exactly.
const PARTS: [&str; 3] = ["base", "ligand", "solution"];
/// Experiments, the mean share of the hypervolume wanted by then, and what BoTorch's qLogNEHVI reaches with both objectives
/// modelled from the same starts (10 runs, measured once: a step takes it seconds).
const MILESTONES: [(usize, f64, f64); 3] = [(15, 0.78, 0.688), (25, 0.92, 0.910), (50, 0.98, 0.978)];

struct Reactions {
    space: Space,
    designs: Vec<Design>,
    /// Scaled yield and thrift.
    values: Vec<[f64; 2]>,
    price: Known,
    starts: Vec<Vec<usize>>,
}

pub(crate) fn run(settings: &Settings) -> Result<Vec<Bar>, Problem> {
    let reactions = read(settings.data.as_ref().ok_or("yield and cost need --data")?)?;
    let runs = settings.seeds.min(reactions.starts.len());
    let ideal = hypervolume(&reactions.values.iter().map(|value| value.to_vec()).collect::<Vec<_>>(), &[0.0, 0.0]);
    let orders = each_seed(runs, settings.threads, |run| one_run(&reactions, run));
    let bars = MILESTONES.iter().map(|(count, target, peer)| {
        let share = |order: &Vec<usize>| {
            let seen: Vec<Vec<f64>> = order[..*count].iter().map(|at| reactions.values[*at].to_vec()).collect();
            hypervolume(&seen, &[0.0, 0.0]) / ideal
        };
        let shares: Vec<f64> = orders.iter().map(share).collect();
        let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        let (low, high) = (quantile(&shares, 0.25), quantile(&shares, 0.75));
        Bar {
            bar: format!("yield and cost of arylation, share of the hypervolume after {count} (mean of {runs}, quartiles {low:.3} to {high:.3})"),
            value: mean,
            unit: "1",
            target: format!("at least {target}"),
            peer: "BoTorch qLogNEHVI, same starts, 10 runs, measured once",
            peer_value: Some(*peer),
            holds: mean >= *target,
        }
    });
    Ok(bars.collect())
}

fn read(folder: &Path) -> Result<Reactions, Problem> {
    let scores = table(&folder.join("arylation/descriptors_pca.csv"))?;
    let structures = table(&folder.join("arylation/experiment_index.csv"))?;
    // Both tables have one row an experiment, in one order.
    let priced = table(&folder.join("edboplus/experiments_yield_and_cost.csv"))?;
    let mut levels: [BTreeMap<String, Vec<f64>>; 3] = Default::default();
    let (mut designs, mut raw) = (Vec::new(), Vec::new());
    for (names, cells) in structures.iter().zip(&priced).skip(1) {
        let describe = |component: &str, smiles: &str| -> Result<Vec<f64>, Problem> {
            let known = scores.iter().find(|score| score[0] == component && score[1] == smiles);
            let known = known.ok_or(format!("{component} {smiles} has no descriptors"))?;
            known[2..].iter().filter(|cell| !cell.is_empty()).map(|cell| number(cell)).collect()
        };
        let mut solution = describe("solvent", &names[3])?;
        // From 0.057 to 0.153 mol/l, onto [0, 1] like the descriptors.
        solution.push((number(&cells[4])? - 0.057) / (0.153 - 0.057));
        let own = [cells[1].clone(), cells[2].clone(), format!("{} {}", cells[3], cells[4])];
        let described = [describe("base", &names[1])?, describe("ligand", &names[2])?, solution];
        for ((levels, name), row) in levels.iter_mut().zip(&own).zip(described) {
            levels.insert(name.clone(), row);
        }
        let level = |at: usize| (PARTS[at].to_owned(), Setting::Level(own[at].clone()));
        let mut design = BTreeMap::from([level(0), level(1), level(2)]);
        design.insert("temperature_c".to_owned(), Setting::Number(number(&cells[5])?));
        designs.push(Design(design));
        raw.push([number(&cells[6])?, number(&cells[7])?]);
    }
    let values = scaled(&raw);
    let price = price(&designs, &values)?;
    let mut parameters: Vec<Parameter> = PARTS
        .iter()
        .zip(&levels)
        .map(|(name, levels)| {
            let rows: Vec<(&str, &[f64])> = levels.iter().map(|(name, row)| (name.as_str(), row.as_slice())).collect();
            Parameter::described(name, &rows)
        })
        .collect();
    parameters.push(Parameter::stepped("temperature_c", 90.0, 120.0, 15.0));
    let starts = table(&folder.join("arylation/initial_points.csv"))?
        .iter()
        .skip(1)
        .map(|cells| cells[1..].iter().map(|cell| number(cell).map(|at| at as usize)).collect())
        .collect::<Result<Vec<Vec<usize>>, Problem>>()?;
    Ok(Reactions { space: Space { parameters, constraints: Vec::new() }, designs, values, price, starts })
}

/// Yield and thrift, worst 0 and best 1 in the pool.
fn scaled(raw: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let extent = |m: usize| {
        let column = || raw.iter().map(|row: &[f64; 2]| row[m]);
        (column().fold(f64::INFINITY, f64::min), column().fold(f64::NEG_INFINITY, f64::max))
    };
    let ((least, most), (cheapest, dearest)) = (extent(0), extent(1));
    raw.iter()
        .map(|[yielded, cost]| [(yielded - least) / (most - least), (dearest - cost) / (dearest - cheapest)])
        .collect()
}

/// The thrift as a sum over parts: that of the first design, and what every other level adds to it.
fn price(designs: &[Design], values: &[[f64; 2]]) -> Result<Known, Problem> {
    let (first, offset) = (designs.first().ok_or("there are no experiments")?, values[0][1]);
    let mut known = Known { offset, ..Known::default() };
    for (design, value) in designs.iter().zip(values) {
        let differ: Vec<&str> = PARTS.into_iter().filter(|part| design.level(part) != first.level(part)).collect();
        if let ([part], Some(level)) = (&differ[..], differ.first().and_then(|part| design.level(part))) {
            known.levels.entry((*part).to_owned()).or_default().insert(level.to_owned(), value[1] - offset);
        }
    }
    let off = designs.iter().zip(values).map(|(design, value)| (known.value(design) - value[1]).abs());
    // The published prices are such a sum to their last rounded digits.
    if off.fold(0.0, f64::max) > 2e-3 { Err("the cost is no sum over its parts".to_owned()) } else { Ok(known) }
}

/// Experiments in the order in which they were done.
fn one_run(reactions: &Reactions, run: usize) -> Vec<usize> {
    let wanted = |name: &str, known| Wanted { name: name.to_owned(), aim: Aim::Maximize, reference: Some(0.0), known };
    let objectives = vec![wanted("yield", None), wanted("thrift", Some(reactions.price.clone()))];
    let (space, pool) = (reactions.space.clone(), Vec::new());
    let definition = Definition { space, objectives, fidelities: Vec::new(), pool, seed: run as u64, start: Some(5) };
    let mut study = Study::new(definition).expect("the benchmark is sound");
    let mut order: Vec<usize> = Vec::new();
    while order.len() < MILESTONES[2].0 {
        let (id, design) = match reactions.starts[run].get(order.len()) {
            Some(at) => (format!("start{at}"), reactions.designs[*at].clone()),
            None => {
                let pick = study.ask(1).expect("the question is sound").picks.remove(0);
                (pick.id, pick.design)
            }
        };
        let at = reactions.designs.iter().position(|other| other == &design).expect("the grid is complete");
        let outcome = valid(&[("yield", reactions.values[at][0])]);
        study.tell(Told { id, design, outcome, fidelity: None }).expect("the result is sound");
        order.push(at);
    }
    order
}
