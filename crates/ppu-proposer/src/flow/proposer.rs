//! The flow as a proposer, and as the prior of an annealing.

use std::collections::BTreeSet;

use ppu_core::design::CandidateError;
use ppu_core::{Candidate, DesignSpace};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::model::{Flow, FlowError, FlowSettings, LEAST_POINTS};
use crate::anneal::{Annealable, Proposed};
use crate::contract::{Condition, LogDensity, Offer, Offered, ProposalProvenance, ProposeError, Proposer};
use crate::prior::{draw, key};
use crate::smc::Energy;

/// Points of the box this close to its walls are moved inwards: the logit has no value on them.
const EDGE: f64 = 1e-3;
/// Attempts at one draw that the mixtures allow.
const ATTEMPTS: usize = 1000;
/// Share of draws from the plain prior once there is a flow: bounds weights relative to it by 1/share.
const DEFENCE: f64 = 0.1;

/// Draws from (1 − e) · flow + e · prior, in the unit coordinates of the free parameters. The flow lives on their logits, so
/// that it stays within the box; what a mixture forbids is drawn again, and the density is then not known.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowProposer {
    flow: Option<Flow>,
    taught: usize,
}

/// Why a flow cannot be learnt.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// A candidate does not belong to the space.
    #[error("a candidate does not belong to the space")]
    Candidate(#[from] CandidateError),
    /// The points cannot be used.
    #[error("the flow cannot be trained")]
    Flow(#[from] FlowError),
}

impl FlowProposer {
    /// Learns from weighted candidates: observations of a campaign or samples of a twin, weighted by how good they are. With
    /// fewer than [`LEAST_POINTS`] it stays the plain prior.
    pub fn learn(
        space: &DesignSpace,
        candidates: &[(Candidate, f64)],
        settings: &FlowSettings,
        seed: u64,
    ) -> Result<FlowProposer, LearnError> {
        let taught = candidates.len();
        if taught < LEAST_POINTS {
            return Ok(FlowProposer { flow: None, taught });
        }
        let mut points = Vec::with_capacity(taught);
        for (candidate, weight) in candidates {
            space.check(candidate)?;
            points.push((space.to_unit(candidate)?.into_iter().map(logit).collect(), *weight));
        }
        let flow = Flow::train(&points, settings, &mut ChaCha12Rng::seed_from_u64(seed))?;
        Ok(FlowProposer { flow: Some(flow), taught })
    }

    /// The flow, once there is one.
    pub fn flow(&self) -> Option<&Flow> {
        self.flow.as_ref()
    }

    /// Unit coordinates of one draw and whether the flow made it.
    pub(super) fn draw(&self, space: &DesignSpace, rng: &mut ChaCha12Rng) -> Result<(Vec<f64>, bool), ProposeError> {
        if let Some(flow) = &self.flow
            && rng.random::<f64>() >= DEFENCE
        {
            for _ in 0..ATTEMPTS {
                let unit: Vec<f64> = flow.draw(rng).into_iter().map(expit).collect();
                if space.from_unit(&unit).is_some() {
                    return Ok((unit, true));
                }
            }
        }
        draw(space, rng).map(|unit| (unit, false))
    }

    /// ln q at unit coordinates, with respect to Lebesgue measure there. Exact where nothing is rounded and no mixture forbids
    /// a part of the box. Where one does, flow and prior lose different shares of their mass, and the sum is not known.
    pub fn log_q(&self, space: &DesignSpace, unit: &[f64]) -> LogDensity {
        let rounded = space.free().any(|parameter| parameter.resolution > 0.0);
        let Some(flow) = &self.flow else {
            let relative = rounded || !space.mixtures.is_empty();
            return if relative { LogDensity::UpToConstant(0.0) } else { LogDensity::Exact(0.0) };
        };
        if !space.mixtures.is_empty() {
            return LogDensity::Unknown;
        }
        let z: Vec<f64> = unit.iter().copied().map(logit).collect();
        // |dz/du| = 1 / (u (1 − u)) in every coordinate.
        let volume: f64 = z.iter().map(|z| expit(*z)).map(|u| -(u * (1.0 - u)).ln()).sum();
        let value = ((1.0 - DEFENCE) * (flow.log_density(&z) + volume).exp() + DEFENCE).ln();
        if rounded { LogDensity::UpToConstant(value) } else { LogDensity::Exact(value) }
    }
}

fn logit(u: f64) -> f64 {
    let u = u.clamp(EDGE, 1.0 - EDGE);
    (u / (1.0 - u)).ln()
}

fn expit(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

impl Proposer for FlowProposer {
    fn name(&self) -> &str {
        "flow"
    }

    fn sample(&self, n: usize, condition: &Condition<'_>, rng: &mut ChaCha12Rng) -> Result<Offer, ProposeError> {
        let mut seen = BTreeSet::new();
        let mut offered = Vec::with_capacity(n);
        for _ in 0..4 * n {
            if offered.len() == n {
                break;
            }
            let (unit, learnt) = self.draw(condition.space, rng)?;
            let candidate = condition.space.from_unit(&unit).ok_or(ProposeError::NoCandidate)?;
            if !seen.insert(key(&candidate)) {
                continue;
            }
            let reason = match (&self.flow, learnt) {
                (None, _) => format!("drawn uniformly: {} candidates are too few to learn from", self.taught),
                (Some(_), true) => format!("drawn from a flow that was taught by {} candidates", self.taught),
                (Some(_), false) => "drawn uniformly, so that the flow is not alone".into(),
            };
            let provenance = ProposalProvenance {
                proposer: if learnt { self.name().into() } else { "prior".into() },
                seed: condition.seed,
                round: condition.round,
                temperature: None,
                twin: None,
            };
            let log_q = self.log_q(condition.space, &unit);
            offered.push(Offered { candidate, weight: 0.0, log_q, provenance, reason });
        }
        let weight = 1.0 / offered.len().max(1) as f64;
        offered.iter_mut().for_each(|one| one.weight = weight);
        Ok(Offer { offered, diagnostics: None, refusal: None })
    }
}

/// The flow as prior q of an annealing towards an energy over candidates. Moves are draws from q, which need no density.
pub struct FlowSpace<'a> {
    /// The prior.
    pub proposer: &'a FlowProposer,
    /// Where candidates may lie.
    pub space: &'a DesignSpace,
    /// U of a candidate.
    pub energy: &'a dyn Fn(&Candidate) -> Energy,
}

impl Annealable for FlowSpace<'_> {
    type State = Vec<f64>;
    type Kernel = ();

    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Vec<f64>> {
        self.proposer.draw(self.space, rng).ok().map(|(unit, _)| unit)
    }

    fn energy(&self, unit: &Vec<f64>) -> Energy {
        self.space.from_unit(unit).map_or(Energy::Outside, |candidate| (self.energy)(&candidate))
    }

    fn kernel(&self, _: &[Vec<f64>]) {}

    fn propose(&self, _: &(), _: &Vec<f64>, rng: &mut ChaCha12Rng) -> Option<Proposed<Vec<f64>>> {
        self.draw(rng).map(|state| Proposed { state, log_ratio: 0.0 })
    }
}
