//! The same rules for other parts of the platform: one file each.

pub mod conditions;
pub mod webhook;
