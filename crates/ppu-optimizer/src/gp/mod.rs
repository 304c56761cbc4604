//! Exact Gaussian-process regression for tens to a few hundred observations.

mod fit;
mod kernel;
mod minimize;
mod process;

pub use fit::{Hyperparameters, negative_log_posterior};
pub(crate) use kernel::matern;
pub use process::{GaussianProcess, GpError, LeaveOneOut};
