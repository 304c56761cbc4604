//! The protocol between scheduler and driver as a model that a machine checks.
pub mod action;
pub mod bounds;
pub mod cases;
mod driver;
pub mod explore;
pub mod message;
pub mod model;
pub mod properties;
mod scheduler;
pub mod state;
