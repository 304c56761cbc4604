//! Compositions on a prototype: chemical rules, ion exchange, and annealing steered by what a campaign has learnt.
//!
//! Ion exchange on known compounds is the baseline with which everything learnt is compared.

mod campaign;
mod exchange;
mod features;
mod listed;
mod perovskite;
mod replay;
mod steer;
mod surrogate;

pub use campaign::{Background, Campaign, CampaignError, CampaignSettings, Policy, Round, run_campaign};
pub use exchange::{ExchangeSettings, IonExchange, Parent, SubstitutionTable};
pub use features::{descriptors, rule_features};
pub use listed::{CrystalProposal, CrystalProvenance, Listed, Novelty, ReferenceSet, Verdict};
pub use perovskite::{Assessment, Perovskite, PerovskiteRules};
pub use replay::{ReplayError, ReplayLab, Target};
pub use steer::{Beliefs, SteerSettings, Steered, steer};
pub use surrogate::{Guide, HeatLevel};
