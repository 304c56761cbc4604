//! Model W: crystals as a space group and its occupied Wyckoff positions, and a small transformer that proposes new ones.
//!
//! A crystal is a short sequence of answers: how many elements, which ones, the space group, then one occupied position
//! after the other with its element, then stop ([`grammar`]). Positions come in the order of their letters and equal ones in
//! the order of elements, so that a list of orbits is one sequence and its probability the product of its answers'. The
//! rules (a position without freedom is occupied once, atoms of the primitive cell, wanted elements and group, charges)
//! mask answers before they are normalised, and look ahead, so that no draw is ever thrown away: ln q is exact.
//!
//! ```
//! use ppu_wyckoff::{Artifact, Condition, Grammar, sample};
//! use rand::SeedableRng as _;
//!
//! let model = Artifact::shipped()?;
//! let elements = ["Ba", "Ti", "O"].map(|symbol| symbol.parse().expect("a symbol"));
//! let wanted = Condition { elements: Some(elements.to_vec()), all_elements: true, ..Condition::default() };
//! let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(1);
//! let found = sample(&model.network, &Grammar::new(&wanted)?, 1.0, &mut rng).expect("a number");
//! println!("{} with ln q = {:.2}", found.crystal, found.log_q);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`steer()`] draws from q(x) · exp(value(x)) instead, with a caller's value as twist; [`Realiser`] gives a crystal atoms to
//! begin a relaxation with. Only binaries and ternaries of at most [`MOST_ATOMS`] atoms are described: that is what the
//! model has learnt from.

mod artifact;
mod charge;
mod counts;
mod crystal;
pub mod dataset;
#[cfg(test)]
mod exactness;
pub mod grammar;
pub mod group;
mod model;
mod network;
mod realise;
mod rows;
mod steer;
pub mod train;

pub use artifact::{Artifact, ArtifactError};
pub use charge::ChargeError;
pub use counts::{Counts, MOST_ATOMS, MOST_ELEMENTS};
pub use crystal::{Crystal, CrystalError, DescribeError, Described, Orbit, describe};
pub use grammar::{Condition, ConditionError, Grammar};
pub use model::{Draft, Next, Sampled, Surprise, log_q, sample};
pub use network::{Network, Real};
pub use realise::{FitError, RealiseError, Realiser};
pub use steer::{SteerError, SteerSettings, Steered, Value, steer};
