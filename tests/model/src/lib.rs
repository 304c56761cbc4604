//! The protocol between scheduler and driver as a model that a machine checks.
