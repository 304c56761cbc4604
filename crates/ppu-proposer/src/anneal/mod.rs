//! Annealing over any kind of space, with every figure that is needed to trust or to refuse it.
//!
//! π_β(x) = q(x) exp(−β U(x)) / Z_β tilts a prior q towards a low U. [`study()`] anneals several independent populations;
//! [`refusals`] says what speaks against them. 1/β has the unit of U and is no temperature in kelvin; ln Z is that of a design
//! space, not of matter.

mod budget;
mod estimators;
mod landscape;
mod path;
mod population;
mod refusal;
mod study;
mod table;

pub use budget::{InformationBudget, carried, deserved, diversity};
pub use estimators::{
    Dissipation, Estimate, acceptance_ratio, chi_squared_cumulative, conditional_ess, deviation_limit,
    effective_sample_size, jarzynski, log_mean_exp, log_sum_exp, mean, standard_deviation, student_cumulative,
    student_quantile, thermodynamic_integral,
};
pub use landscape::{Annealable, Draws, Proposed, Tally, draws, relax};
pub use path::{Trajectories, forward, linear_path, reverse};
pub use population::{Annealed, Level, adaptive_step, anneal};
pub use refusal::{AnnealRefusal, DensityKnown, Limits, density_refusal, importance_refusals, refusals};
pub use study::{CONFIDENCE, Figures, ImportanceFigures, Study, StudyError, StudySettings, importance, stream, study};
pub use table::{Exact, FactorTable, synthetic_landscape};
