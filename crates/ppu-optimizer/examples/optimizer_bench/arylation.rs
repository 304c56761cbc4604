//! Direct arylation, 1728 measured yields: Shields et al., Nature 590, 89 (2021). Five random starts, then one by one or in
//! batches of five to 50 experiments; how many until a yield of 99 %.

use std::path::Path;

use ppu_optimizer::engine::{Direction, Experiment, Question};
use ppu_optimizer::space::pool::TablePool;

use crate::{Bar, Problem, Settings, each_seed, number, quantile, scale, table};

/// Experiments in all.
const BUDGET: usize = 50;
/// A yield that counts as found.
const GOOD: f64 = 99.0;

pub(crate) struct Grid {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) yields: Vec<f64>,
    starts: Vec<Vec<usize>>,
}

pub(crate) fn run(settings: &Settings) -> Result<Vec<Bar>, Problem> {
    let grid = read(&settings.data.as_ref().ok_or("the arylation grid needs --data")?.join("arylation"))?;
    let mut bars = Vec::new();
    // Targets and peers: median with batches of 1 and of 5, and the runs asked for.
    for (batch, target, peer, runs) in [(1, 15.0, 14.5, 20), (5, 18.0, 17.0, 50)] {
        let runs = runs.min(settings.seeds.max(1) * runs / 20).min(grid.starts.len()).max(1);
        let needed = each_seed(runs, settings.threads, |run| one_run(&grid, settings, run, batch));
        let reached = needed.iter().filter(|count| **count <= BUDGET as f64).count() as f64 / runs as f64;
        let median = quantile(&needed, 0.5);
        bars.push(Bar {
            bar: format!("experiments to a yield of 99 %, batches of {batch}, median of {runs} runs"),
            value: median,
            unit: "1",
            target: format!("at most {target}"),
            peer: "best known (smooth and noisy prior, tuned for chemistry)",
            peer_value: Some(peer),
            holds: median <= target,
        });
        bars.push(Bar {
            bar: format!("share of runs that find it by 50, batches of {batch}, {runs} runs"),
            value: reached,
            unit: "1",
            target: "1".into(),
            peer: "EDBO, authors' runs in batches of 5",
            peer_value: Some(0.92),
            holds: reached >= 1.0,
        });
    }
    Ok(bars)
}

pub(crate) fn read(folder: &Path) -> Result<Grid, Problem> {
    let scores = table(&folder.join("descriptors_pca.csv"))?;
    let (mut rows, mut yields) = (Vec::new(), Vec::new());
    for cells in table(&folder.join("experiment_index.csv"))?.iter().skip(1) {
        let mut row = Vec::new();
        for (component, name) in ["base", "ligand", "solvent"].iter().zip(&cells[1..4]) {
            let known = scores.iter().find(|score| score[0] == *component && score[1] == *name);
            let known = known.ok_or(format!("{component} {name} has no descriptors"))?;
            for cell in known[2..].iter().filter(|cell| !cell.is_empty()) {
                row.push(number(cell)?);
            }
        }
        row.push(number(&cells[4])?);
        row.push(number(&cells[5])?);
        rows.push(row);
        yields.push(number(&cells[6])?);
    }
    scale(&mut rows);
    let starts = table(&folder.join("initial_points.csv"))?
        .iter()
        .skip(1)
        .map(|cells| cells[1..].iter().map(|cell| number(cell).map(|at| at as usize)).collect())
        .collect::<Result<Vec<Vec<usize>>, Problem>>()?;
    Ok(Grid { rows, yields, starts })
}

/// Experiments until a good yield; one more than the budget where there is none.
fn one_run(grid: &Grid, settings: &Settings, run: usize, batch: usize) -> f64 {
    let pool = TablePool::from_rows(grid.rows.concat(), grid.rows[0].len()).expect("rows have one width");
    let engine = settings.engine(run as u64);
    let mut order = grid.starts[run].clone();
    while order.len() < BUDGET && !order.iter().any(|at| grid.yields[*at] >= GOOD) {
        let experiments: Vec<Experiment> = order
            .iter()
            .map(|at| Experiment {
                id: at.to_string(),
                x: grid.rows[*at].clone(),
                value: grid.yields[*at],
                variance: 0.0,
            })
            .collect();
        let mut taken = order.clone();
        taken.sort_unstable();
        let question = Question {
            experiments: &experiments,
            pending: &[],
            batch,
            step: order.len() as u64,
            direction: Direction::Maximize,
            log_cost: None,
            cheaper: &[],
        };
        let answer = engine.from_pool(&question, &pool, &taken).expect("the grid is sound and not used up");
        order.extend(answer.picks.iter().filter_map(|pick| pick.number));
    }
    order.iter().position(|at| grid.yields[*at] >= GOOD).map_or(BUDGET + 1, |at| at + 1) as f64
}
