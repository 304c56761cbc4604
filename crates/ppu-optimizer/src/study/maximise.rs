//! Where the acquisition is largest: screening of many designs, then a climb from the best few.

use crate::belief::Belief;
use crate::gp::minimize;
use crate::multi::Utility;
use crate::sequence::{Purpose, stream};
use crate::space::pool::{Pool, ProductPool, Scored, best_of};
use crate::space::{Domain, Values};
use crate::study::engine::{Acquisition, Engine};

/// Points that fill the space, before constraints.
const SPACE_POINTS: usize = 512;
/// Good measured designs whose neighbours compete, and how many neighbours each.
const GOOD: usize = 6;
const NEIGHBOURS: usize = 24;
/// Joint draws of the first look.
const ROUGH: usize = 4;
/// Designs that are looked at with all draws, and those that a climb starts from.
const SECOND_LOOKS: usize = 32;
const CLIMBS: usize = 3;
/// Pools up to this size are looked at completely by the first look; larger ones through block predictions.
const SMALL_POOL: usize = 4_096;
/// Candidates of a large pool that get the first look.
const LARGE_POOL_KEPT: usize = 1_024;
/// A space of discrete parameters up to this size is scanned completely.
pub(crate) const MOST_SCANNED: f64 = 2e6;

/// A point with its score.
pub(crate) struct Found {
    pub(crate) values: Values,
    pub(crate) row: Vec<f64>,
    pub(crate) score: f64,
}

/// The best design that is not taken; `None` where none is left.
pub(crate) fn maximise(
    engine: &Engine<'_>,
    acquisition: &Acquisition<'_>,
    taken: &[Vec<f64>],
    pick: u64,
) -> Option<Found> {
    if !engine.record.definition.pool.is_empty() {
        return from_list(engine, acquisition, taken);
    }
    if engine.domain.size().is_some_and(|size| size <= MOST_SCANNED)
        && let Some(pool) = ProductPool::new(engine.domain)
    {
        return from_product(engine, acquisition, &pool, taken);
    }
    from_space(engine, acquisition, taken, pick)
}

fn is_taken(row: &[f64], taken: &[Vec<f64>]) -> bool {
    taken.iter().any(|other| other.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-9))
}

fn better(best: Option<Found>, next: Found) -> Option<Found> {
    match best {
        Some(best) if best.score.total_cmp(&next.score).is_ge() => Some(best),
        _ => Some(next),
    }
}

/// Ranks by a first look, then by all draws; best first.
fn screened(acquisition: &Acquisition<'_>, choices: Vec<(Values, Vec<f64>)>) -> Vec<Found> {
    let mut ranked: Vec<Found> = choices
        .into_iter()
        .map(|(values, row)| {
            let score = acquisition.value(&values, &row, ROUGH, 1.0);
            Found { values, row, score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked.truncate(SECOND_LOOKS);
    for one in &mut ranked {
        one.score = acquisition.full(&one.values, &one.row);
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked
}

fn from_list(engine: &Engine<'_>, acquisition: &Acquisition<'_>, taken: &[Vec<f64>]) -> Option<Found> {
    let choices = engine.record.definition.pool.iter().filter_map(|design| {
        let values = engine.domain.made(design).ok()?;
        let row = engine.domain.encode_values(&values);
        (!is_taken(&row, taken)).then_some((values, row))
    });
    screened(acquisition, choices.collect()).into_iter().next()
}

/// A pool of all combinations. Small ones are scored as they are; of large ones those go on whose improvement over the best
/// posterior mean is largest by block predictions, or by the first look where no block prediction fits the objectives.
fn from_product(
    engine: &Engine<'_>,
    acquisition: &Acquisition<'_>,
    pool: &ProductPool<'_>,
    taken: &[Vec<f64>],
) -> Option<Found> {
    let width = pool.width();
    // Rows of a product are made by one rule, so that equal designs have equal columns.
    let bits = |row: &[f64]| -> Vec<u64> { row.iter().map(|x| x.to_bits()).collect() };
    let excluded: std::collections::BTreeSet<Vec<u64>> = taken.iter().map(|row| bits(row)).collect();
    let keep = if pool.len() <= SMALL_POOL { pool.len() } else { LARGE_POOL_KEPT };
    let mut rough = Rough::new(engine);
    let kept: Vec<Scored> = best_of(pool, keep, &[], |rows, _, scores| {
        rough.score(rows, width, scores);
        for (row, score) in rows.chunks_exact(width).zip(scores.iter_mut()) {
            if excluded.contains(&bits(row)) {
                *score = f64::NAN;
            }
        }
    });
    let choices = kept.into_iter().filter_map(|one| {
        let values = pool.values(one.number)?;
        let row = engine.domain.encode_values(&values);
        Some((values, row))
    });
    screened(acquisition, choices.collect()).into_iter().next()
}

fn from_space(engine: &Engine<'_>, acquisition: &Acquisition<'_>, taken: &[Vec<f64>], pick: u64) -> Option<Found> {
    let domain = engine.domain;
    let (seed, step) = (engine.record.definition.seed, engine.record.step ^ (pick << 48));
    let mut choices = domain.fill(SPACE_POINTS, &mut stream(seed, step, Purpose::Space));
    let mut rng = stream(seed, step, Purpose::Local);
    let mut good: Vec<(f64, &Values)> = engine
        .valid()
        .filter_map(|lesson| Some((engine.utilities(&lesson.values, &lesson.row)?, &lesson.values)))
        .map(|(utilities, values)| (utilities.iter().sum::<f64>(), values))
        .collect();
    good.sort_by(|a, b| b.0.total_cmp(&a.0));
    if engine.roles().0.len() > 1 {
        // A sum of raw utilities orders nothing: take the front, which is where improvements are.
        let utilities: Vec<Vec<f64>> =
            engine.valid().filter_map(|lesson| engine.utilities(&lesson.values, &lesson.row)).collect();
        let valid: Vec<&Values> = engine.valid().map(|lesson| &lesson.values).collect();
        good = crate::multi::front(&utilities).into_iter().map(|at| (0.0, valid[at])).collect();
    }
    for (at, (_, values)) in good.iter().take(4 * GOOD).enumerate() {
        // All of a long front, but fewer neighbours each.
        let count = NEIGHBOURS * GOOD / good.len().clamp(GOOD, 4 * GOOD);
        for k in 0..count {
            let width = [0.2, 0.06, 0.02][(at + k) % 3];
            choices.extend(domain.neighbour(values, width, &mut rng));
        }
    }
    let rows = choices.into_iter().map(|values| {
        let row = domain.encode_values(&values);
        (values, row)
    });
    let rows: Vec<_> = rows.filter(|(_, row)| !is_taken(row, taken)).collect();
    let mut best: Option<Found> = None;
    for start in screened(acquisition, rows).into_iter().take(CLIMBS) {
        let climbed = climb(domain, acquisition, start, taken, &mut rng);
        let polished = polish(domain, acquisition, climbed, taken);
        best = better(best, polished);
    }
    // Exactly on sums and steps, where rounding was put off during the climb.
    let best = best?;
    let settled = domain.settle(&best.values)?;
    let row = domain.encode_values(&settled);
    if is_taken(&row, taken) {
        return None;
    }
    let score = acquisition.full(&settled, &row);
    Some(Found { values: settled, row, score })
}

/// Accepts better neighbours, nearer and nearer.
fn climb(
    domain: &Domain,
    acquisition: &Acquisition<'_>,
    start: Found,
    taken: &[Vec<f64>],
    rng: &mut rand_chacha::ChaCha12Rng,
) -> Found {
    let mut here = start;
    // Where everything varies continuously and freely the quasi-Newton polish does the fine work.
    let widths: &[f64] = if is_plain(domain) { &[0.1, 0.04] } else { &[0.15, 0.08, 0.04, 0.02, 0.01, 0.004, 0.0015] };
    for width in widths {
        for _ in 0..6 + 3 * domain.space().parameters.len() {
            let Some(values) = domain.neighbour(&here.values, *width, rng) else { continue };
            let row = domain.encode_values(&values);
            if is_taken(&row, taken) {
                continue;
            }
            let score = acquisition.full(&values, &row);
            if score > here.score {
                here = Found { values, row, score };
            }
        }
    }
    here
}

fn is_plain(domain: &Domain) -> bool {
    domain.block.is_none() && domain.encoders.iter().all(|encoder| encoder.count().is_none())
}

/// Quasi-Newton search over the numbers that vary continuously and freely, slopes by differences.
fn polish(domain: &Domain, acquisition: &Acquisition<'_>, start: Found, taken: &[Vec<f64>]) -> Found {
    let tied =
        |at: usize| domain.block.as_ref().is_some_and(|block| block.variables.iter().any(|one| one.parameter == at));
    let free: Vec<usize> = (0..start.values.len())
        .filter(|at| domain.encoders[*at].count().is_none() && !tied(*at) && domain.is_active(&start.values, *at))
        .collect();
    if free.is_empty() || !start.score.is_finite() {
        return start;
    }
    let place = |units: &[f64]| {
        let mut values = start.values.clone();
        for (at, unit) in free.iter().zip(units) {
            values[*at] = domain.encoders[*at].value_at(*unit);
        }
        let row = domain.encode_values(&values);
        (values, row)
    };
    let value = |units: &[f64]| {
        let (values, row) = place(units);
        acquisition.full(&values, &row)
    };
    let sloped = |units: &[f64]| {
        let here = value(units);
        // Differences of 1e-5 of the range: errors of rounding and curvature are about equal there.
        let slopes = (0..units.len()).map(|at| {
            let mut moved = units.to_vec();
            let step = if units[at] > 0.5 { -1e-5 } else { 1e-5 };
            moved[at] += step;
            -(value(&moved) - here) / step
        });
        let slopes: Vec<f64> = slopes.collect();
        (here.is_finite() && slopes.iter().all(|slope| slope.is_finite())).then_some((-here, slopes))
    };
    let units: Vec<f64> = free.iter().map(|at| domain.encoders[*at].unit(start.values[*at]).clamp(0.0, 1.0)).collect();
    let bounds = vec![(0.0, 1.0); free.len()];
    match minimize(sloped, &units, &bounds, (30, 1e-8)) {
        Some((units, value)) if -value > start.score => {
            let (values, row) = place(&units);
            if is_taken(&row, taken) { start } else { Found { values, row, score: -value } }
        }
        _ => start,
    }
}

/// What block predictions are compared with: one entry an objective.
struct Rough<'e> {
    engine: &'e Engine<'e>,
    objectives: Vec<(&'e dyn Belief, Utility, f64, f64)>,
    predicted: Vec<(f64, f64)>,
}

impl<'e> Rough<'e> {
    fn new(engine: &'e Engine<'e>) -> Rough<'e> {
        let (objectives, _) = engine.roles();
        let one = |at: usize| {
            let belief = engine.beliefs[at].as_deref()?;
            let utility = engine.utility(at);
            let means = engine.valid().map(|lesson| utility.of(belief.look(&lesson.row).mean));
            let best = means.fold(f64::NEG_INFINITY, f64::max);
            let any = &engine.lessons.first()?.row;
            Some((belief, utility, best, belief.prior(any, any).sqrt().max(1e-300).ln()))
        };
        Rough { engine, objectives: objectives.into_iter().filter_map(one).collect(), predicted: Vec::new() }
    }

    /// Scores of many rows by block predictions: the largest gain of any objective over its best posterior mean, in
    /// logarithms and relative to its spread. With one objective it is the expected improvement.
    fn score(&mut self, rows: &[f64], width: usize, scores: &mut Vec<f64>) {
        scores.resize(rows.len() / width, f64::NEG_INFINITY);
        for (belief, utility, best, log_scale) in &self.objectives {
            belief.look_many(rows, width, &mut self.predicted);
            for (score, (mean, sd)) in scores.iter_mut().zip(&self.predicted) {
                *score = score.max(utility.log_gain(*best, *mean, *sd) - log_scale);
            }
        }
        if self.engine.feasibility.is_some() {
            for (score, row) in scores.iter_mut().zip(rows.chunks_exact(width)) {
                *score += self.engine.log_feasible(row);
            }
        }
    }
}
