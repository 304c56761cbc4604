//! Level F0 for any composition: microseconds, no model, every setting recorded.
//!
//! A rule answers or refuses; a missing radius or oxidation state is a refusal, never a guess.

mod charge;
mod elements;
mod flags;
mod formula;
mod inventory;
mod mixing;
mod perovskite;
mod tables;

pub use charge::{ChargeSettings, ChargeVerdict, Charges, charge_balance, in_order};
pub use elements::{Element, Ion, Radius, RadiusPolicy, UnknownElement};
pub use flags::{Flag, flags};
pub use formula::{Formula, FormulaError};
pub use inventory::{Inventory, InventoryRefusal, Precursor};
pub use mixing::{Mixing, Solubility, mixing};
pub use perovskite::{PerovskiteFactors, PerovskiteRefusal, TAU_LIMIT, perovskite_factors};
