//! Time and memory of suggestions: time on the processor, so that a busy computer does not count.

use std::time::Instant;

use ppu_optimizer::engine::{Cube, Direction, Engine, Experiment, Question};
use ppu_optimizer::sequence::Recurrence;
use ppu_optimizer::space::pool::Pool;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use crate::functions::hartmann_value;
use crate::{Bar, quantile};

/// Suggestions a size; the median counts.
const REPEATS: u64 = 5;
/// Categories of the large pool and the levels of each: 10⁶ products, each level with two descriptors.
const CATEGORIES: usize = 6;
const LEVELS: usize = 10;

pub(crate) fn suggestions() -> Vec<Bar> {
    let mut bars = Vec::new();
    for (count, target, peer) in [(50, 15.0, 270.0), (100, 30.0, 270.0), (500, 500.0, 1100.0)] {
        let one = suggestion(count, 1);
        let mut add = |bar: String, value: f64, target: f64, peer_value: Option<f64>| {
            let (peer, holds) = ("BoTorch 0.18 (published reference run)", value <= target);
            bars.push(Bar { bar, value, unit: "ms", target: format!("at most {target}"), peer, peer_value, holds });
        };
        add(format!("time on the processor of one suggestion, d = 6, n = {count}"), one, target, Some(peer));
        if count == 50 {
            let four = suggestion(count, 4);
            add("the same for a batch of 4, n = 50".into(), four, 4.0 * one, Some(780.0));
        }
    }
    bars
}

/// Median milliseconds on the processor of a suggestion with everything fitted anew.
fn suggestion(count: usize, batch: usize) -> f64 {
    let times: Vec<f64> = (0..REPEATS)
        .map(|seed| {
            let experiments = experiments(count, 6, seed);
            let question = question(&experiments, batch, seed);
            let clock = Clock::start();
            let answer =
                Engine::new(seed).from_region(&question, &Cube { dimensions: 6 }).expect("the cube has points");
            assert_eq!(answer.picks.len(), batch);
            clock.milliseconds()
        })
        .collect();
    quantile(&times, 0.5)
}

fn experiments(count: usize, dimensions: usize, seed: u64) -> Vec<Experiment> {
    let sequence = Recurrence::new(dimensions, &mut ChaCha12Rng::seed_from_u64(seed));
    let value = |x: &[f64]| hartmann_value(&x[..6]);
    let one = |at: usize| {
        let x = sequence.point(at);
        Experiment { id: at.to_string(), value: value(&x), x, variance: 0.0 }
    };
    (0..count).map(one).collect()
}

fn question(experiments: &[Experiment], batch: usize, step: u64) -> Question<'_> {
    Question { experiments, pending: &[], batch, step, direction: Direction::Minimize, log_cost: None, cheaper: &[] }
}

/// Six categories of ten levels with two descriptors each.
struct Products {
    descriptors: Vec<[f64; 2]>,
}

impl Pool for Products {
    fn len(&self) -> usize {
        LEVELS.pow(CATEGORIES as u32)
    }

    fn width(&self) -> usize {
        2 * CATEGORIES
    }

    fn row(&self, number: usize, into: &mut Vec<f64>) -> bool {
        let mut left = number;
        for category in 0..CATEGORIES {
            into.extend(self.descriptors[category * LEVELS + left % LEVELS]);
            left /= LEVELS;
        }
        true
    }
}

pub(crate) fn million() -> Vec<Bar> {
    let sequence = Recurrence::new(2, &mut ChaCha12Rng::seed_from_u64(1));
    let descriptors = (0..CATEGORIES * LEVELS).map(|at| [sequence.point(at)[0], sequence.point(at)[1]]).collect();
    let pool = Products { descriptors };
    let mut taken: Vec<usize> = (0..100).map(|at| at * 9_973 + 17).collect();
    taken.sort_unstable();
    let experiments: Vec<Experiment> = taken
        .iter()
        .map(|number| {
            let mut x = Vec::new();
            pool.row(*number, &mut x);
            Experiment { id: number.to_string(), value: hartmann_value(&x[..6]), x, variance: 0.0 }
        })
        .collect();
    let clock = Clock::start();
    let answer = Engine::new(1).from_pool(&question(&experiments, 1, 0), &pool, &taken).expect("the pool is sound");
    let seconds = 1e-3 * clock.milliseconds();
    assert_eq!(answer.picks.len(), 1);
    let memory = peak_memory();
    let peer = "BayBE, EDBO+: out of memory";
    let bar = |bar: &str, value: f64, unit, target: f64| {
        let holds = value <= target;
        Bar { bar: bar.into(), value, unit, target: format!("at most {target}"), peer, peer_value: None, holds }
    };
    vec![
        bar("time on the processor, pool of 10^6 products, n = 100, fit included", seconds, "s", 3.0),
        bar("peak memory of the process, pool of 10^6 products", memory, "MB", 100.0),
    ]
}

pub(crate) fn memory() -> Vec<Bar> {
    suggestion(500, 1);
    let value = peak_memory();
    vec![Bar {
        bar: "peak memory of a process that suggests at n = 500".into(),
        value,
        unit: "MB",
        target: "at most 50".into(),
        peer: "BoTorch 0.18 (published reference run)",
        peer_value: Some(535.0),
        holds: value <= 50.0,
    }]
}

/// Peak resident memory in MB; not a number where the system does not tell.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1000.0)
}

/// Time of this thread on the processor, or by the wall where the system does not tell.
struct Clock {
    start: Instant,
    processor: Option<f64>,
}

impl Clock {
    fn start() -> Clock {
        Clock { start: Instant::now(), processor: on_processor() }
    }

    fn milliseconds(&self) -> f64 {
        match (self.processor, on_processor()) {
            (Some(before), Some(now)) => now - before,
            _ => self.start.elapsed().as_secs_f64() * 1e3,
        }
    }
}

fn on_processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-6)
}
