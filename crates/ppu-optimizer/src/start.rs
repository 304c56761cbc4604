//! The first picks: spread over the space, every second one towards what a twin promises.

use crate::candidates::{Choice, Maker, distance, is_taken};
use crate::contract::{OptimizerError, ScoredCandidate, Source};
use crate::feasibility::Feasibility;
use crate::sequence::{Purpose, stream};

/// Quasi-random points among which a pick is chosen.
const CHOICES: usize = 64;

/// One pick. Even picks are the first points of a low-discrepancy sequence that keep their distance from `taken`; odd
/// ones the pool's best twin scores that do. The distance asked for is halved until some point has it. `number` counts the
/// picks and trials so far, so that the sequence goes on.
pub(crate) fn pick(
    maker: &Maker<'_>,
    pool: &[ScoredCandidate],
    taken: &[Vec<f64>],
    feasibility: Option<&Feasibility>,
    (seed, number): (u64, usize),
) -> Result<Option<Choice>, OptimizerError> {
    // One sequence a campaign: its points fill the space whatever the steps in which they are taken.
    let mut options = maker.fill(CHOICES + number, &mut stream(seed, 0, Purpose::Start), Source::SpaceFilling)?;
    let ranked = number % 2 == 1 && pool.iter().any(|scored| scored.twin_score.is_some());
    if ranked {
        let mut order: Vec<&ScoredCandidate> = pool.iter().collect();
        order.sort_by(|a, b| b.twin_score.unwrap_or(0.0).total_cmp(&a.twin_score.unwrap_or(0.0)));
        options = order
            .into_iter()
            .map(|scored| maker.option(scored.candidate.clone(), Source::Pool))
            .collect::<Result<_, _>>()?;
    }
    options.retain(|option| !is_taken(&option.point.unit, taken));
    let nearest =
        |option: &Choice| taken.iter().map(|other| distance(other, &option.point.unit)).fold(f64::INFINITY, f64::min);
    let mut least = 0.3 * (maker.space.free().count() as f64).sqrt();
    while least > 1e-6 {
        let feasible = |option: &&Choice| feasibility.is_none_or(|f| f.probability(&option.point.unit) > 0.5);
        let found = options.iter().filter(feasible).find(|option| nearest(option) >= least);
        if let Some(found) = found {
            return Ok(Some(found.clone()));
        }
        least *= 0.5;
    }
    Ok(options.into_iter().next())
}
