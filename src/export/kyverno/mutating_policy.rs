//! The present kind, `policies.kyverno.io/v1` MutatingPolicy, for Kyverno 1.18 and later: the same CEL as in a
//! MutatingAdmissionPolicy.

use serde_json::{Value, json};

use crate::engine::Policy;
use crate::export::Inexpressible;
use crate::export::admission_policy::{described, match_constraints, patch};
use crate::export::cel::{self, Decisions, TooLong};
use crate::export::conditions;
use crate::export::webhook::CONFIGURATION_NAME;

/// The policy, and what it leaves out.
///
/// # Errors
///
/// Where the rules are too many for one expression.
pub fn mutating_policy(policy: &Policy) -> Result<(Value, Vec<Inexpressible>), TooLong> {
    let Decisions { variables, has_pull_secrets, mut left_out } = cel::decisions(policy)?;
    left_out.extend(cel::originals(policy));
    let match_conditions = conditions::of_policy(policy);
    let object = json!({
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "MutatingPolicy",
        "metadata": {"name": CONFIGURATION_NAME},
        "spec": {
            "autogen": {"podControllers": {"controllers": []}},
            "evaluation": {"background": {"enabled": false}, "mutateExisting": {"enabled": false}},
            "failurePolicy": "Ignore",
            "matchConditions": match_conditions,
            "matchConstraints": match_constraints(policy),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch(has_pull_secrets)}}],
            "reinvocationPolicy": "IfNeeded",
            "variables": described(&variables),
            "webhookConfiguration": {"timeoutSeconds": 3},
        },
    });
    Ok((object, left_out))
}
