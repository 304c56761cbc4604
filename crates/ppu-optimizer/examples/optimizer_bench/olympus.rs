//! Other measured sets replayed as pools, none of which the default was chosen by: those of Olympus (Häse et al., Mach.
//! Learn.: Sci. Technol. 2, 035021 (2021)), a Suzuki coupling (Reizman et al., React. Chem. Eng. 1, 658 (2016)) and the
//! arylation grid in two encodings; and because few measured sets have many columns, some that are made (`wide.rs`). Beside the default each member of its committee chooses alone, on the same starts.
//!
//! Rows with the same settings count once, with their mean. A run has two random rows to start with; of a set with more
//! than [`ROWS`] it has a random part of its own. Left out: `electrochem`, whose 30 rows leave nothing to find, and
//! `vapdiff_crystal`, whose best class is too large a share of the rows.

use std::collections::BTreeMap;
use std::path::Path;

use ppu_optimizer::engine::Direction;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

use crate::pools::{Case, Figures, best, replay};
use crate::{Bar, Problem, Settings, arylation, number, recipe, scale, table, wide};

/// Rows of a pool at most: enough for a top set of a dozen, and a run takes seconds.
const ROWS: usize = 240;
/// Runs of a set at most.
const RUNS: usize = 10;
/// A run ends when this share of its pool is measured: more than that no laboratory does.
const MEASURED: f64 = 0.5;
/// Who chooses besides the default.
const ALONE: [(&str, &str); 3] = [
    ("flat process alone", "flat kappa=2"),
    ("smooth and noisy process alone", "smooth kappa=2"),
    ("forest alone", "forest kappa=2"),
];

/// How categories become columns.
#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    /// Levels that are numbers are numbers, others have a column each.
    Numbers,
    /// Every level has a column.
    Levels,
}

/// File, column of the measurement counted from the last, direction, encoding.
type Source = (&'static str, usize, Direction, Encoding);

const OLYMPUS: [Source; 15] = [
    ("alkox", 0, Direction::Maximize, Encoding::Numbers),
    ("benzylation", 0, Direction::Minimize, Encoding::Numbers),
    ("colors_n9", 0, Direction::Minimize, Encoding::Numbers),
    ("fullerenes", 0, Direction::Maximize, Encoding::Numbers),
    ("hplc", 0, Direction::Maximize, Encoding::Numbers),
    ("lnp3", 2, Direction::Maximize, Encoding::Numbers),
    ("lnp3", 1, Direction::Maximize, Encoding::Numbers),
    ("lnp3", 0, Direction::Minimize, Encoding::Numbers),
    ("lnp3", 2, Direction::Maximize, Encoding::Levels),
    ("lnp3", 1, Direction::Maximize, Encoding::Levels),
    ("lnp3", 0, Direction::Minimize, Encoding::Levels),
    ("oer_plate_3496", 0, Direction::Minimize, Encoding::Numbers),
    ("photo_pce10", 0, Direction::Minimize, Encoding::Numbers),
    ("snar", 0, Direction::Minimize, Encoding::Numbers),
    ("suzuki", 0, Direction::Maximize, Encoding::Numbers),
];

/// A set as measured: columns in [0, 1], one row a setting.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) values: Vec<f64>,
    pub(crate) direction: Direction,
}

pub(crate) fn run(settings: &Settings) -> Result<Vec<Bar>, Problem> {
    let folder = settings.data.as_ref().ok_or("the pools need --data")?;
    let mut sets = read(folder)?;
    sets.extend(wide::sets());
    sets.retain(|set| settings.only.iter().all(|only| set.name.contains(only.as_str())));
    let mut all = vec![by(&sets, settings, "default")];
    if settings.recipe.is_none() {
        for (name, text) in ALONE {
            let alone = Settings { recipe: Some(recipe::parse(text)?), data: None, only: None, ..*settings };
            all.push(by(&sets, &alone, name));
        }
    }
    let mean = |of: &dyn Fn(&Figures) -> f64, figures: &[Figures]| {
        (figures.iter().map(|one| of(one).max(1e-3).ln()).sum::<f64>() / figures.len() as f64).exp()
    };
    let mut bars = Vec::new();
    for (what, of) in [
        ("acceleration to 80 % of the top set", &(|one: &Figures| one.acceleration) as &dyn Fn(&Figures) -> f64),
        ("acceleration to 50 % of the top set", &|one| one.half),
        ("enrichment after 20 experiments", &|one| one.enrichment),
    ] {
        let means: Vec<f64> = all.iter().map(|figures| mean(of, figures)).collect();
        let rival = means[1..].iter().copied().fold(1.0, f64::max);
        bars.push(Bar {
            bar: format!("{what}, geometric mean of {} other sets", sets.len()),
            value: means[0],
            unit: "1",
            target: "at least the best single member, and random choice (1)".into(),
            peer: "best single member",
            peer_value: Some(rival),
            holds: means[0] >= rival,
        });
    }
    Ok(bars)
}

/// The figures of every set, chosen by one committee; they are told on standard error.
fn by(sets: &[Measured], settings: &Settings, name: &str) -> Vec<Figures> {
    let one = |set: &Measured| {
        let cases: Vec<Case> = (0..settings.seeds.min(RUNS)).map(|run| case(set, run as u64)).collect();
        let figures = replay(&cases, settings, MEASURED);
        let bound = if figures.reached { "" } else { "<" };
        eprintln!(
            "{name}: {} ({} rows, {} columns): AF80 {bound}{:.2}, AF50 {:.2}, EF20 {:.2}, coverage {:.2}",
            set.name,
            cases[0].rows.len(),
            set.rows[0].len(),
            figures.acceleration,
            figures.half,
            figures.enrichment,
            figures.coverage
        );
        figures
    };
    sets.iter().map(one).collect()
}

/// A run's part of a set, and its two starting rows.
fn case(set: &Measured, run: u64) -> Case {
    let mut numbers: Vec<usize> = (0..set.rows.len()).collect();
    numbers.shuffle(&mut ChaCha12Rng::seed_from_u64(0x01_1a_90_05 + run));
    numbers.truncate(ROWS);
    let rows: Vec<Vec<f64>> = numbers.iter().map(|at| set.rows[*at].clone()).collect();
    let values: Vec<f64> = numbers.iter().map(|at| set.values[*at]).collect();
    let top = best(&values, set.direction);
    Case { rows, values, direction: set.direction, top, start: vec![0, 1] }
}

fn read(folder: &Path) -> Result<Vec<Measured>, Problem> {
    let mut sets = Vec::new();
    for (name, from_last, direction, encoding) in OLYMPUS {
        let cells = table(&folder.join("olympus").join(name).join("data.csv"))?;
        let named = match (name, encoding) {
            ("lnp3", Encoding::Numbers) => format!("lnp3 measurement {}", 3 - from_last),
            ("lnp3", Encoding::Levels) => format!("lnp3 measurement {}, a column a level", 3 - from_last),
            _ => name.to_owned(),
        };
        let measurements = if name == "lnp3" { 3 } else { 1 };
        let parameters = cells[0].len() - measurements;
        let designs: Vec<&[String]> = cells.iter().map(|row| &row[..parameters]).collect();
        let values = cells.iter().map(|row| number(&row[row.len() - 1 - from_last])).collect::<Result<_, _>>()?;
        sets.push(measured(named, &designs, encoding, values, direction));
    }
    let cells = table(&folder.join("reizman/reizman_suzuki_case_1.csv"))?;
    let designs: Vec<&[String]> = cells[2..].iter().map(|row| &row[1..5]).collect();
    for (name, column) in [("Reizman, turnover", 5), ("Reizman, yield", 6)] {
        let values = cells[2..].iter().map(|row| number(&row[column])).collect::<Result<_, _>>()?;
        sets.push(measured(name.into(), &designs, Encoding::Numbers, values, Direction::Maximize));
    }
    let grid = arylation::read(&folder.join("arylation"))?;
    let cells = table(&folder.join("arylation/experiment_index.csv"))?;
    let designs: Vec<&[String]> = cells[1..].iter().map(|row| &row[1..6]).collect();
    let name = "arylation, a column a level".into();
    sets.push(measured(name, &designs, Encoding::Numbers, grid.yields.clone(), Direction::Maximize));
    let name = "arylation, descriptors".into();
    sets.push(Measured { name, rows: grid.rows, values: grid.yields, direction: Direction::Maximize });
    Ok(sets)
}

/// Columns of the settings; rows with the same settings become one, with the mean of their values.
fn measured(
    name: String,
    designs: &[&[String]],
    encoding: Encoding,
    values: Vec<f64>,
    direction: Direction,
) -> Measured {
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); designs.len()];
    for at in 0..designs[0].len() {
        let numbers: Result<Vec<f64>, Problem> = designs.iter().map(|design| number(&design[at])).collect();
        let mut levels: Vec<&String> = designs.iter().map(|design| &design[at]).collect();
        levels.sort();
        levels.dedup();
        for (row, design) in rows.iter_mut().zip(designs) {
            match &numbers {
                Ok(_) if encoding == Encoding::Numbers => row.push(number(&design[at]).expect("it was read above")),
                _ => row.extend(levels.iter().map(|level| f64::from(u8::from(**level == design[at])))),
            }
        }
    }
    scale(&mut rows);
    let mut pooled: BTreeMap<Vec<u64>, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (row, value) in rows.into_iter().zip(values) {
        let key = row.iter().map(|x| x.to_bits()).collect();
        pooled.entry(key).or_insert_with(|| (row, Vec::new())).1.push(value);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (rows, values) = pooled.into_values().map(|(row, values)| (row, mean(&values))).unzip();
    Measured { name, rows, values, direction }
}
