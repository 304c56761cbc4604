//! The prior: uniform on mixtures and ranges.

use std::collections::BTreeSet;

use ppu_core::{Candidate, DesignSpace};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::contract::{Condition, LogDensity, Offer, Offered, ProposalProvenance, ProposeError, Proposer};

/// Attempts at one point before the space is taken to have none.
const ATTEMPTS: usize = 20_000;

/// Uniform over the design space: every mixture uniform on its simplex within its limits, every other parameter uniform on
/// its (linear or logarithmic) range; rounded to what the lab can realise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PriorProposer;

impl Proposer for PriorProposer {
    fn name(&self) -> &str {
        "prior"
    }

    fn sample(&self, n: usize, condition: &Condition<'_>, rng: &mut ChaCha12Rng) -> Result<Offer, ProposeError> {
        let mut seen = BTreeSet::new();
        let mut offered = Vec::with_capacity(n);
        // A small space has fewer distinct points than asked for; repeats are drawn a few times over, then left out.
        for _ in 0..4 * n {
            if offered.len() == n {
                break;
            }
            let unit = draw(condition.space, rng)?;
            let candidate = condition.space.from_unit(&unit).ok_or(ProposeError::NoCandidate)?;
            if seen.insert(key(&candidate)) {
                offered.push(one(candidate, condition));
            }
        }
        let weight = 1.0 / offered.len().max(1) as f64;
        offered.iter_mut().for_each(|one| one.weight = weight);
        Ok(Offer { offered, diagnostics: None, refusal: None })
    }
}

fn one(candidate: Candidate, condition: &Condition<'_>) -> Offered {
    // Without mixtures the unit cube has volume 1; with them the volume of the feasible part is not computed.
    let log_q =
        if condition.space.mixtures.is_empty() { LogDensity::Exact(0.0) } else { LogDensity::UpToConstant(0.0) };
    let provenance = ProposalProvenance {
        proposer: PriorProposer.name().into(),
        seed: condition.seed,
        round: condition.round,
        temperature: None,
        twin: None,
    };
    Offered { candidate, weight: 0.0, log_q, provenance, reason: "drawn uniformly from the space".into() }
}

/// Unit coordinates of a uniform draw. Two ways are tried in turn, both uniform on the feasible part: a point of the cube,
/// and a point of the whole simplex for every mixture. The first is quick for narrow limits, the second for many parts.
pub(crate) fn draw(space: &DesignSpace, rng: &mut ChaCha12Rng) -> Result<Vec<f64>, ProposeError> {
    let dimensions = space.free().count();
    if dimensions == 0 {
        return Err(ProposeError::EmptySpace);
    }
    for attempt in 0..ATTEMPTS {
        let mut unit: Vec<f64> = (0..dimensions).map(|_| rng.random::<f64>()).collect();
        if attempt % 2 == 1 {
            simplex(space, &mut unit, rng);
        }
        if unit.iter().all(|u| (0.0..=1.0).contains(u)) && space.from_unit(&unit).is_some() {
            return Ok(unit);
        }
    }
    Err(ProposeError::NoCandidate)
}

/// Replaces the coordinates of every linear mixture by a uniform draw from the simplex: normalised exponentials.
fn simplex(space: &DesignSpace, unit: &mut [f64], rng: &mut ChaCha12Rng) {
    for mixture in &space.mixtures {
        let linear = mixture.parts.iter().all(|part| space.parameter(part).is_some_and(|parameter| !parameter.log));
        if !linear {
            continue;
        }
        let parts: Vec<f64> = mixture.parts.iter().map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
        let total: f64 = parts.iter().sum();
        for (at, parameter) in space.free().enumerate() {
            if let Some(part) = mixture.parts.iter().position(|part| *part == parameter.name) {
                unit[at] = parameter.to_unit(parts[part] / total);
            }
        }
    }
}

/// A key that orders and compares candidates exactly.
pub(crate) fn key(candidate: &Candidate) -> Vec<u64> {
    // Values are rounded to the grid already; + 0.0 makes −0 and 0 one.
    candidate.0.values().map(|value| (value + 0.0).to_bits()).collect()
}
