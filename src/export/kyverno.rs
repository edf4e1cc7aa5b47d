//! Policies for Kyverno: of its present kind, and of the older one.

pub mod cluster_policy;
pub mod mutating_policy;
mod re2;
