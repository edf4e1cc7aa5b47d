//! `policies.kyverno.io/v1` MutatingPolicy, for Kyverno 1.18 and later. It has the same CEL as the MutatingAdmissionPolicy.

use serde_json::{Value, json};

use crate::engine::{Policy, Settings, WhenNotUnderstood};
use crate::export::admission_policy::{described, match_constraints, patch};
use crate::export::cel::{self, Decisions, TooLong};
use crate::export::conditions;
use crate::export::webhook::CONFIGURATION_NAME;
use crate::export::{Export, Omission, kyverno};

/// Returns the policy.
///
/// # Errors
///
/// If there are too many rules for one expression.
pub fn mutating_policy(policy: &Policy) -> Result<Export<Value>, TooLong> {
    let Export { what: Decisions { variables, has_pull_secrets }, notes, mut omissions } = cel::decisions(policy)?;
    // `allowOptOut` is in a match condition and a selector.
    // `caches` is for requests to registries, which a policy does not send.
    let &Settings { allow_opt_out: _, record_originals, when_not_understood, caches: _, ref operators } =
        policy.settings();
    omissions.extend(Omission::of_operators(operators));
    omissions.extend(record_originals.then(cel::originals));
    omissions.extend((when_not_understood == WhenNotUnderstood::Deny).then(kyverno::admitted));
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
    Ok(Export { what: object, notes, omissions })
}
