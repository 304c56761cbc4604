//! Exact Gaussian-process regression for a handful to a few thousand observations.

mod difference;
mod fit;
mod information;
mod kernel;
mod lbfgs;
mod pathwise;
mod prior;
mod process;
mod readings;

pub(crate) use difference::{difference_mode, lowest_mode};
pub(crate) use fit::{Below, factor_with_jitter, spread};
pub use fit::{Hyperparameters, negative_log_posterior};
pub(crate) use kernel::{Kernel, matern};
pub(crate) use lbfgs::minimize;
pub use pathwise::Path;
pub use prior::Prior;
pub use process::{FitOptions, GaussianProcess, GpError, LeaveOneOut, Sloped};
pub(crate) use readings::Readings;
