//! Bayesian optimization for experiments: which candidates to try next, and why.
//!
//! One Gaussian process per objective models the *observable* (a gap in eV, a phase fraction), and the acquisition is the
//! expected improvement of the campaign's score of them: a composite function, Astudillo and Frazier, ICML 2019. A target
//! such as a gap of 1.68 ± 0.005 eV is not monotone in the observable, so a model of the score itself would have to learn
//! a ridge that is known already.
//!
//! [`Optimizer::suggest`] is a pure function of space, objectives, seed and [`Ask`]: no clock, no hidden state, no
//! iteration over hash maps. The same arguments give the same bits.

mod acquisition;
mod belief;
mod calibration;
mod candidates;
mod check;
pub mod committee;
mod contract;
pub mod engine;
mod explain;
mod feasibility;
mod fidelity;
pub mod forest;
pub mod gp;
pub mod improvement;
mod linear;
pub mod multi;
pub mod normal;
mod preference;
pub mod sequence;
pub mod space;
mod start;
pub mod study;
mod suggest;
mod surrogate;

pub use calibration::widening;
pub use contract::{
    Ask, Calibration, CalibrationState, Incumbent, ModelReport, Nearest, OptimizerError, Phase, Prediction, PriorMean,
    Proposal, ScoredCandidate, Source, Suggestion, Trial, TrialOutcome,
};
pub use study::Study;
pub use suggest::Optimizer;
