//! Policies for Kyverno: of its present kind, and of the older one.

pub mod cluster_policy;
pub mod mutating_policy;
mod re2;

use super::Omission;

/// Of both kinds under `whenNotUnderstood: deny`.
fn admitted() -> Omission {
    let why = "the policy has `failurePolicy: Ignore`: Pods that Kyverno can't evaluate are admitted unchanged";
    Omission::field("whenNotUnderstood", why)
}
