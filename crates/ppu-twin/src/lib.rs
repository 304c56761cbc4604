//! The digital twin: models of the experiment at several fidelities, each with its cost and its honest error.
//!
//! A level answers with a mean and a standard deviation of *(what the laboratory would find − mean)* for every observable
//! it knows, or it refuses with a typed reason. It is never the truth: [`Corrections`] learn offset and scale of every
//! observable from the campaign's own measurements and track how far the twin can be trusted.
//!
//! Everything is pure and deterministic. The twin is built from published relations alone.

mod atomistic;
mod contract;
pub mod convergence;
mod correction;
mod film;
mod geometry;
mod prototype;
pub mod rules;
mod table;
mod tracking;

pub use atomistic::{
    AtomisticEvaluation, AtomisticProvenance, AtomisticRefusal, AtomisticStage, AtomisticTwin, HullDistance,
};
pub use contract::{
    Evaluation, Fidelity, FidelityDescription, ObservableDescription, Predicted, Twin, TwinProvenance, TwinRefusal,
    Work,
};
pub use correction::{Correction, Corrections, Pair};
pub use film::FilmTwin;
pub use geometry::{Geometry, GeometryError, geometry};
pub use prototype::{IdealPerovskite, PrototypeScreen, SpeciesModel};
pub use table::TableTwin;
pub use tracking::Tracking;
