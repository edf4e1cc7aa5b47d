//! Export to policies that the API server evaluates: a MutatingAdmissionPolicy, and a ValidatingAdmissionPolicy for images that
//! should have been rewritten.

use serde_json::{Value, json};

use super::cel::{self, Decisions, TooLong, Variable};
use super::{Export, Omission, conditions, webhook};
use crate::engine::{Policy, Settings, WhenNotUnderstood};

/// The API server's action on an image that the rules rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A MutatingAdmissionPolicy (Kubernetes 1.36) rewrites it.
    Rewrite,
    /// A ValidatingAdmissionPolicy (1.33) denies the Pod.
    Deny,
    /// It warns the user who creates the Pod.
    Warn,
    /// It adds an annotation to the request's audit event.
    Audit,
}

#[derive(Debug, Clone)]
pub struct AdmissionPolicyOptions {
    pub actions: Vec<Action>,
    pub failure_policy: &'static str,
    pub skip_unaffected_pods: bool,
    /// Whether the objects are manifests that API servers read from their own disk.
    pub is_static: bool,
}

/// The end of the names of manifests on an API server's disk. The API rejects it for other objects (KEP-5793;
/// `apiserver`, `pkg/admission/plugin/manifest/validation.go`).
const STATIC_SUFFIX: &str = ".static.k8s.io";

/// Returns the objects, each policy with its binding.
///
/// # Errors
///
/// If there are too many rules for one expression.
pub fn objects(policy: &Policy, options: &AdmissionPolicyOptions) -> Result<Export<Vec<Value>>, TooLong> {
    let Export { what: Decisions { variables, has_pull_secrets }, notes, mut omissions } = cel::decisions(policy)?;
    // `allowOptOut` is in a match condition and a selector.
    // `caches` is for requests to registries, which a policy does not send.
    let &Settings { allow_opt_out: _, record_originals, when_not_understood, caches: _, ref operators } =
        policy.settings();
    omissions.extend(Omission::of_operators(operators));
    let mut match_conditions = conditions::of_policy(policy);
    if options.skip_unaffected_pods {
        match conditions::on_images(policy) {
            Ok(condition) => match_conditions.push(condition),
            Err(why) => omissions.push(Omission { what: "--skip-unaffected-pods".to_owned(), why: why.to_string() }),
        }
    }
    let common = json!({
        "failurePolicy": options.failure_policy,
        "matchConstraints": match_constraints(policy),
        "matchConditions": match_conditions,
    });
    let validation_actions: Vec<&str> = options
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Rewrite => None,
            Action::Deny => Some("Deny"),
            Action::Warn => Some("Warn"),
            Action::Audit => Some("Audit"),
        })
        .collect();
    let name = |name: &str| format!("{name}{}", if options.is_static { STATIC_SUFFIX } else { "" });
    let mut objects = Vec::new();
    if options.actions.contains(&Action::Rewrite) {
        omissions.extend(record_originals.then(cel::originals));
        let mutation = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": patch(has_pull_secrets)}});
        let spec = json!({
            "reinvocationPolicy": "IfNeeded",
            "variables": described(&variables),
            "mutations": [mutation],
        });
        objects.extend(bound("Mutating", &name(webhook::CONFIGURATION_NAME), &merge(&common, spec), json!({})));
    }
    if !validation_actions.is_empty() {
        let needed: Vec<Variable> =
            variables.into_iter().filter(|variable| variable.name != cel::PULL_SECRETS).collect();
        let validation = json!({
            "expression": UNREWRITTEN_IS_EMPTY,
            "messageExpression": MESSAGE,
            "reason": "Forbidden",
        });
        let spec = json!({"variables": described(&needed), "validations": [validation]});
        let actions = json!({"validationActions": validation_actions});
        objects.extend(bound("Validating", &name(VALIDATING_NAME), &merge(&common, spec), actions));
    }
    if when_not_understood == WhenNotUnderstood::Deny && options.failure_policy != "Fail" {
        let why = "with failurePolicy Ignore, Pods that the API server can't evaluate are admitted unchanged: add --failure-policy Fail";
        omissions.push(Omission::field("whenNotUnderstood", why));
    }
    Ok(Export { what: objects, notes, omissions })
}

const VALIDATING_NAME: &str = "pullthrough";

/// An image that is restored at an immutable place is not reported: the API server rejects any other value there.
const UNREWRITTEN_IS_EMPTY: &str = "!variables.changes.exists(c, c[4] != '')";
const MESSAGE: &str = "'images that do not name the cache: ' + variables.changes.filter(c, c[4] != '')\
                       .map(c, c[1] + ' is ' + c[2] + ', write ' + c[3]).join('; ')";

/// Returns the CEL expression of the JSON patch, a list of operations.
pub(super) fn patch(has_pull_secrets: bool) -> String {
    let images = "variables.changes.map(c, JSONPatch{op: 'replace', path: c[0], value: c[3]})";
    if has_pull_secrets {
        format!(
            "{images}\n+ (has(object.spec.imagePullSecrets)\n  \
         ? variables.pullSecrets.map(s, JSONPatch{{op: 'add', path: '/spec/imagePullSecrets/-', value: {{'name': s}}}})\n  \
         : [variables.pullSecrets].filter(l, size(l) > 0)\
         .map(l, JSONPatch{{op: 'add', path: '/spec/imagePullSecrets', value: l.map(s, {{'name': s}})}}))"
        )
    } else {
        images.to_owned()
    }
}

/// Returns the constraints: requests that can set an image of a Pod, in namespaces that are not opted out.
pub(super) fn match_constraints(policy: &Policy) -> Value {
    let mut constraints = json!({"matchPolicy": "Equivalent", "resourceRules": webhook::pod_rules()});
    if let Some(opt_out) = webhook::opt_out(policy) {
        constraints["namespaceSelector"] = json!({"matchExpressions": [opt_out]});
    }
    constraints
}

pub(super) fn described(variables: &[Variable]) -> Vec<Value> {
    variables.iter().map(|Variable { name, expression }| json!({"name": name, "expression": expression})).collect()
}

fn merge(common: &Value, mut spec: Value) -> Value {
    if let (Value::Object(spec), Value::Object(common)) = (&mut spec, common) {
        spec.extend(common.clone());
    }
    spec
}

/// Returns a policy and its binding. Without the binding, the policy has no effect.
fn bound(kind: &str, name: &str, spec: &Value, binding: Value) -> [Value; 2] {
    let object = |kind: String, spec: &Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    [
        object(format!("{kind}AdmissionPolicy"), spec),
        object(format!("{kind}AdmissionPolicyBinding"), &merge(&json!({"policyName": name}), binding)),
    ]
}
