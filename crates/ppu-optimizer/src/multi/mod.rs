//! Several objectives at once: fronts, hypervolume, and the expected improvement of it.

mod aim;
mod boxes;
mod improvement;

pub use aim::Utility;
pub(crate) use aim::log_sum;
pub use boxes::{Cell, dominates, front, hypervolume, inferred_reference, non_dominated};
pub(crate) use improvement::{Baseline, Goal, HypervolumeImprovement};
