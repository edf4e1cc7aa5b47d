//! Export to Kyverno: a MutatingPolicy, and the older ClusterPolicy.

pub mod cluster_policy;
pub mod mutating_policy;
mod re2;

use super::Omission;

/// Returns the omission of `whenNotUnderstood: deny`, which neither kind supports.
fn admitted() -> Omission {
    let why = "with the policy's `failurePolicy: Ignore`, Pods that Kyverno can't evaluate are admitted unchanged";
    Omission::field("whenNotUnderstood", why)
}
