//! Exact Gaussian-process regression for a handful to a few thousand observations.

mod fit;
mod information;
mod kernel;
mod lbfgs;
mod pathwise;
mod prior;
mod process;
mod readings;

pub use fit::{Hyperparameters, negative_log_posterior};
pub(crate) use kernel::matern;
pub(crate) use lbfgs::minimize;
pub use pathwise::Path;
pub use prior::Prior;
pub use process::{FitOptions, GaussianProcess, GpError, LeaveOneOut, Sloped};
pub(crate) use readings::Readings;
