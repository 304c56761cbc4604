//! Measured materials sets replayed as pools: Liang et al., npj Comput. Mater. 7, 188 (2021), and any others in the same
//! layout: `liang/NAME_pool.csv` and the two starting rows of each run in `liang/initial_points.csv`.

use std::collections::BTreeSet;
use std::path::Path;

use ppu_optimizer::engine::{Direction, Experiment, Question};
use ppu_optimizer::space::pool::TablePool;

use crate::{Bar, Problem, Settings, each_seed, number, scale, table};

/// Share of the pool that is wanted.
const TOP: f64 = 0.05;
/// Trailing columns of a pool file: objective, sd of the replicates, their number, whether in the top set.
const TRAILING: usize = 4;

/// One run: a pool of measured rows, and the two that are known at first.
pub(crate) struct Case {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) values: Vec<f64>,
    pub(crate) direction: Direction,
    /// The best 5 % of the rows.
    pub(crate) top: BTreeSet<usize>,
    pub(crate) start: Vec<usize>,
}

/// What one pool gives.
pub(crate) struct Figures {
    /// t N / n_t for t = 80 %: how many times fewer experiments than at random until 80 % of the top set are found, by the
    /// mean of the runs.
    pub(crate) acceleration: f64,
    /// The same for t = 50 %.
    pub(crate) half: f64,
    /// Share of the top set found after 20 experiments, over that of random choice.
    pub(crate) enrichment: f64,
    /// Share of values inside their predicted 80 % interval.
    pub(crate) coverage: f64,
    /// Whether 80 % were reached before the runs were ended; otherwise the acceleration is an upper bound.
    pub(crate) reached: bool,
}

pub(crate) fn run(settings: &Settings) -> Result<Vec<Bar>, Problem> {
    let folder = settings.data.as_ref().ok_or("the pools need --data")?.join("liang");
    let starts = table(&folder.join("initial_points.csv"))?;
    let names: BTreeSet<String> = starts.iter().skip(1).filter_map(|row| row.first().cloned()).collect();
    let mut bars = Vec::new();
    let (mut logs, mut covered) = (Vec::new(), Vec::new());
    for name in names {
        let cases = read(&folder, &name, &starts)?;
        let cases = &cases[..settings.seeds.min(cases.len())];
        let figures = replay(cases, settings, 1.0);
        eprintln!("{name}: AF80 {:.3}, AF50 {:.3}, EF20 {:.3}", figures.acceleration, figures.half, figures.enrichment);
        logs.push(figures.acceleration.ln());
        covered.push(figures.coverage);
        let mut bar = |what: &str, value: f64, least: f64, peer: Option<f64>| {
            bars.push(Bar {
                bar: format!("{what}, pool {name}, {} runs", cases.len()),
                value,
                unit: "1",
                target: format!("at least {least}"),
                peer: "rank committee in Python (published reference run)",
                peer_value: peer,
                holds: value >= least,
            });
        };
        bar("acceleration to 80 % of the top set", figures.acceleration, 2.0, reference(&name, 0));
        bar("enrichment after 20 experiments", figures.enrichment, 1.5, reference(&name, 1));
    }
    let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
    bars.push(Bar {
        bar: format!("geometric mean acceleration of {} pools", logs.len()),
        value: mean,
        unit: "1",
        target: "at least 2.5".into(),
        peer: "rank committee in Python (published reference run)",
        peer_value: Some(2.37),
        holds: mean >= 2.5,
    });
    let coverage = covered.iter().sum::<f64>() / covered.len() as f64;
    bars.push(Bar {
        bar: "coverage of 80 % one-step-ahead intervals on the pools".into(),
        value: coverage,
        unit: "1",
        target: "0.7 to 0.9".into(),
        peer: "",
        peer_value: None,
        holds: (0.7..=0.9).contains(&coverage),
    });
    Ok(bars)
}

/// Acceleration and enrichment of the rank committee of the reference.
fn reference(name: &str, which: usize) -> Option<f64> {
    match name {
        "Perovskite" => Some([2.15, 1.91][which]),
        "AutoAM" => Some([2.00, 1.53][which]),
        "P3HT" => Some([3.10, 4.55][which]),
        _ => None,
    }
}

fn read(folder: &Path, name: &str, starts: &[Vec<String>]) -> Result<Vec<Case>, Problem> {
    let cells = table(&folder.join(format!("{name}_pool.csv")))?;
    let width =
        cells.first().map_or(0, Vec::len).checked_sub(1 + TRAILING).ok_or(format!("{name}: too few columns"))?;
    let (mut rows, mut values, mut marked) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (at, row) in cells.iter().skip(1).enumerate() {
        rows.push(row[1..=width].iter().map(|cell| number(cell)).collect::<Result<Vec<f64>, Problem>>()?);
        values.push(number(&row[1 + width])?);
        if row[4 + width] == "1" {
            marked.insert(at);
        }
    }
    scale(&mut rows);
    // The marked rows tell whether small or large values are wanted.
    let mean = |of: &mut dyn Iterator<Item = f64>| {
        let all: Vec<f64> = of.collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let wanted = mean(&mut marked.iter().map(|at| values[*at]));
    let direction = if wanted < mean(&mut values.iter().copied()) { Direction::Minimize } else { Direction::Maximize };
    let top = best(&values, direction);
    if top != marked {
        return Err(format!("{name}: the marked rows are not the best {}", top.len()));
    }
    let own = starts.iter().skip(1).filter(|row| row[0] == name);
    let case = |row: &Vec<String>| {
        let start = row[3..].iter().map(|cell| number(cell).map(|at| at as usize)).collect::<Result<_, Problem>>()?;
        Ok(Case { rows: rows.clone(), values: values.clone(), direction, top: top.clone(), start })
    };
    own.map(case).collect()
}

/// The best 5 % of the rows, ties to the earlier row.
pub(crate) fn best(values: &[f64], direction: Direction) -> BTreeSet<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let sign = if direction == Direction::Maximize { 1.0 } else { -1.0 };
    order.sort_by(|a, b| (sign * values[*b]).total_cmp(&(sign * values[*a])));
    order[..(TOP * values.len() as f64).ceil() as usize].iter().copied().collect()
}

/// Runs one case after the other, each until its top set is found or a share of the pool is measured.
pub(crate) fn replay(cases: &[Case], settings: &Settings, share_measured: f64) -> Figures {
    let (count, runs) = (cases[0].rows.len(), cases.len());
    let most = (share_measured * count as f64).ceil() as usize;
    let orders = each_seed(runs, settings.threads, |run| one_run(&cases[run], run, most, settings));
    let mut share = vec![0.0; most + 1];
    for ((order, _), case) in orders.iter().zip(cases) {
        let mut found = 0;
        for (at, share) in share.iter_mut().enumerate().skip(1) {
            found += order.get(at - 1).map_or(0, |number| usize::from(case.top.contains(number)));
            *share += found as f64 / (case.top.len() * runs) as f64;
        }
    }
    let first = |t: f64| (1..=most).find(|at| share[*at] >= t - 1e-12);
    let acceleration = |t: f64| t * count as f64 / first(t).unwrap_or(most) as f64;
    Figures {
        acceleration: acceleration(0.8),
        half: acceleration(0.5),
        enrichment: share[20.min(most)] / (20.0 / count as f64),
        coverage: orders.iter().map(|(_, coverage)| coverage).sum::<f64>() / runs as f64,
        reached: first(0.8).is_some(),
    }
}

/// The order of one run, and the share of values inside their predicted 80 % interval.
fn one_run(case: &Case, run: usize, most: usize, settings: &Settings) -> (Vec<usize>, f64) {
    let table = TablePool::from_rows(case.rows.concat(), case.rows[0].len()).expect("rows have one width");
    let engine = settings.engine(run as u64);
    let mut order = case.start.clone();
    let mut found = order.iter().filter(|number| case.top.contains(number)).count();
    let (mut inside, mut predicted) = (0, 0);
    while found < case.top.len() && order.len() < most {
        let experiments: Vec<Experiment> = order.iter().map(|number| experiment(case, *number)).collect();
        let mut taken = order.clone();
        taken.sort_unstable();
        let question = Question {
            experiments: &experiments,
            pending: &[],
            batch: 1,
            step: order.len() as u64,
            direction: case.direction,
            log_cost: None,
            cheaper: &[],
        };
        let answer = engine.from_pool(&question, &table, &taken).expect("the pool is sound and not used up");
        let pick = &answer.picks[0];
        let number = pick.number.expect("picks of a pool are numbered");
        if let Some((low, high)) = pick.interval_80 {
            predicted += 1;
            inside += usize::from((low..=high).contains(&case.values[number]));
        }
        order.push(number);
        found += usize::from(case.top.contains(&number));
    }
    (order, f64::from(inside as u32) / f64::from(predicted.max(1) as u32))
}

fn experiment(case: &Case, number: usize) -> Experiment {
    Experiment { id: number.to_string(), x: case.rows[number].clone(), value: case.values[number], variance: 0.0 }
}
