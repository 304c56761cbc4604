//! Figures that need a model of the objectives: information gained, and how far ahead of random search the campaign is.

use ppu_core::Objective;
use ppu_core::campaign::CampaignSpec;
use ppu_core::objective::score;
use ppu_engine::state::Trial;
use ppu_optimizer::gp::{GaussianProcess, Path};
use ppu_optimizer::sequence::Recurrence;
use ppu_proto::lab::v1 as wire;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

/// Trials below which nothing is judged.
const LEAST_TRIALS: usize = 6;
/// Reference points of the information, spread evenly over the space.
const REFERENCE: usize = 64;
/// Random candidates against which the campaign is compared.
const RANDOM: usize = 512;
/// Functions drawn from the posterior, each with a comparison of its own.
const PATHS: usize = 24;
/// Attempts at a point of the space for each one that is wanted: mixtures leave parts of the cube out.
const TRIES: usize = 64;

/// What models say of a campaign.
#[derive(Debug, Clone, Default)]
pub(super) struct Judgement {
    pub(super) acceleration: Option<wire::Estimate>,
    pub(super) enhancement: Option<wire::Estimate>,
    pub(super) nats: Option<f64>,
    pub(super) model: String,
}

impl Judgement {
    /// Of a campaign that is judged for one of the next questions.
    pub(super) fn later() -> Judgement {
        Judgement { model: "not judged yet: ask again in a moment".to_owned(), ..Judgement::default() }
    }
}

/// A complete trial.
#[derive(Debug, Clone)]
struct Row {
    /// Its point in the unit cube.
    point: Vec<f64>,
    /// Value and variance of every objective.
    values: Vec<(f64, f64)>,
}

/// Judges a campaign by its completed trials. The same trials give the same figures.
pub(super) fn judge(spec: &CampaignSpec, trials: &[&Trial]) -> Judgement {
    judge_rows(spec, &trials.iter().filter_map(|trial| row(spec, trial)).collect::<Vec<_>>())
}

fn judge_rows(spec: &CampaignSpec, rows: &[Row]) -> Judgement {
    if rows.len() < LEAST_TRIALS {
        let model = format!("no model yet: {} of {LEAST_TRIALS} complete trials", rows.len());
        return Judgement { model, ..Judgement::default() };
    }
    let mut rng = ChaCha12Rng::seed_from_u64(spec.seed);
    let points: Vec<Vec<f64>> = rows.iter().map(|row| row.point.clone()).collect();
    let fitted: Result<Vec<GaussianProcess>, _> = (0..spec.objectives.len())
        .map(|at| {
            let values: Vec<f64> = rows.iter().map(|row| row.values[at].0).collect();
            let variances: Vec<f64> = rows.iter().map(|row| row.values[at].1).collect();
            GaussianProcess::fit(&points, &values, &variances)
        })
        .collect();
    let (Ok(processes), Some(random)) = (fitted, spread(spec, RANDOM, &mut rng)) else {
        return Judgement { model: "no model: the observations cannot be fitted".to_owned(), ..Judgement::default() };
    };
    let reference = &random[..REFERENCE];
    let nats: Option<f64> = processes.iter().map(|process| process.information_gain(reference).ok()).sum();
    let model = format!(
        "one Gaussian process (Matern 5/2) an objective, without twin; {REFERENCE} reference points for nats, {RANDOM} \
         random candidates and {PATHS} posterior draws for the comparison with random search"
    );
    let (acceleration, enhancement) = (0..PATHS)
        .map(|_| {
            let paths: Vec<Path> = processes.iter().map(|process| process.path(&mut rng)).collect();
            compare(spec, &paths, &points, &random)
        })
        .unzip();
    let mut acceleration = interval(acceleration);
    if let Some(found) = &mut acceleration {
        // No random candidate was as good: how many it would take is not known, only that it is more.
        found.at_least = found.median >= (RANDOM as f64 + 1.0) / points.len() as f64 && found.median >= found.high;
    }
    Judgement { acceleration, enhancement: interval(enhancement), nats, model }
}

/// Were these functions the truth: how many times the trials would random search have needed for the best that was
/// tried, and how many times its best is ours.
fn compare(spec: &CampaignSpec, paths: &[Path], tried: &[Vec<f64>], random: &[Vec<f64>]) -> (f64, f64) {
    let value = |point: &Vec<f64>| {
        let values: Vec<f64> = paths.iter().map(|path| path.value(point)).collect();
        score(&spec.objectives, &values)
    };
    let first = (0, f64::NEG_INFINITY);
    let (at, best) = tried.iter().map(value).enumerate().fold(first, |a, b| if b.1 > a.1 { b } else { a });
    let mut scores: Vec<f64> = random.iter().map(value).collect();
    scores.sort_by(f64::total_cmp);
    let as_good = scores.iter().filter(|score| **score >= best).count() as f64;
    // The first of k good ones among N takes (N + 1)/(k + 1) draws without replacement on average.
    let needed = (scores.len() as f64 + 1.0) / (as_good + 1.0);
    (needed / (at as f64 + 1.0), best / best_of(&scores, tried.len()).max(f64::MIN_POSITIVE))
}

fn row(spec: &CampaignSpec, trial: &Trial) -> Option<Row> {
    let observation = trial.observation.as_ref()?;
    let point = spec.space.to_unit(&trial.proposed.candidate).ok()?;
    let lesson = |objective: &Objective| Some(objective.lesson(observation.values.get(&objective.name)?));
    let values = spec.objectives.iter().map(lesson).collect::<Option<Vec<_>>>()?;
    Some(Row { point, values })
}

/// Evenly spread points of the space; `None` where it has hardly any.
fn spread(spec: &CampaignSpec, count: usize, rng: &mut ChaCha12Rng) -> Option<Vec<Vec<f64>>> {
    let sequence = Recurrence::new(spec.space.free().count(), rng);
    let realised = |at: usize| spec.space.to_unit(&spec.space.from_unit(&sequence.point(at))?).ok();
    let found: Vec<Vec<f64>> = (0..TRIES * count).filter_map(realised).take(count).collect();
    (found.len() == count).then_some(found)
}

/// Expected best of `draws` random ones among sorted scores, with replacement: Σ s_i [(i/N)^n − ((i−1)/N)^n].
fn best_of(sorted: &[f64], draws: usize) -> f64 {
    let share = |at: usize| (at as f64 / sorted.len() as f64).powi(draws as i32);
    sorted.iter().enumerate().map(|(at, score)| score * (share(at + 1) - share(at))).sum()
}

/// Median and 5–95 % interval.
fn interval(mut values: Vec<f64>) -> Option<wire::Estimate> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values[(share * last as f64).round() as usize];
    Some(wire::Estimate { median: at(0.5), low: at(0.05), high: at(0.95), at_least: false })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

    use super::*;
    use ppu_core::protocol::Protocol;

    const PROTOCOL: &str = "version = 1\nprotocol = \"bake\"\ntitle = \"Bake\"\n[[parameter]]\nname = \"t\"\nunit = \"C\"\n\
        min = 0\nmax = 200\n[[step]]\nname = \"bake\"\ncommand = \"annealing.anneal\"\nargs = { temperature_c = \"= t\" }\n";
    const CAMPAIGN: &str = "version = 1\ncampaign = \"bakery\"\ntitle = \"Bakery\"\nprotocol = \"bake.toml\"\n\
        analysis = \"none\"\napproval = \"auto\"\n[budget]\ntrials = 30\nbatch = 2\nin_flight = 2\n[[parameter]]\n\
        name = \"t\"\nunit = \"C\"\nmin = 0\nmax = 100\n[[objective]]\nname = \"y\"\nunit = \"1\"\n\
        goal = { maximize = { low = 0, high = 1 } }\n";

    pub(in crate::counters) fn spec() -> CampaignSpec {
        CampaignSpec::parse("bakery.toml", CAMPAIGN, &Protocol::parse("bake.toml", PROTOCOL).unwrap()).unwrap()
    }

    /// A narrow peak at 0.31 over a gentle slope.
    fn rows(points: &[f64]) -> Vec<Row> {
        let y = |x: f64| 0.2 * x + 0.8 * (-((x - 0.31) / 0.05).powi(2)).exp();
        points.iter().map(|x| Row { point: vec![*x], values: vec![(y(*x), 0.005)] }).collect()
    }

    #[test]
    fn a_campaign_that_meets_the_peak_at_once_is_ahead_of_chance_and_one_that_does_so_last_is_not() {
        let even: Vec<f64> = (0..20).map(|at| f64::from(at) / 19.0).collect();
        let around = [0.31, 0.27, 0.29, 0.33, 0.35];
        let (early, late) = ([&around[..], &even].concat(), [&even[..], &around[1..], &around[..1]].concat());
        let early = judge_rows(&spec(), &rows(&early)).acceleration.unwrap();
        let late = judge_rows(&spec(), &rows(&late)).acceleration.unwrap();
        assert!(early.low > 3.0 && early.low <= early.median && early.median <= early.high, "{early:?}");
        assert!(late.median < early.median / 10.0, "{late:?} {early:?}");
    }

    #[test]
    fn more_trials_carry_more_nats_and_few_are_not_judged() {
        let even: Vec<f64> = (0..20).map(|at| f64::from(at) / 19.0).collect();
        let (few, all) = (judge_rows(&spec(), &rows(&even[..7])), judge_rows(&spec(), &rows(&even)));
        assert!(all.nats.unwrap() > few.nats.unwrap() && few.nats.unwrap() > 0.0, "{all:?} {few:?}");
        let none = judge_rows(&spec(), &rows(&even[..3]));
        assert!(none.nats.is_none() && none.acceleration.is_none() && none.model.contains("3 of 6"), "{none:?}");
    }

    #[test]
    fn the_best_of_random_draws_is_the_mean_for_one_and_the_largest_for_many() {
        let scores = [0.0, 0.25, 0.5, 1.0];
        assert!((best_of(&scores, 1) - 0.4375).abs() < 1e-12);
        assert!((best_of(&scores, 1000) - 1.0).abs() < 1e-9);
    }
}
