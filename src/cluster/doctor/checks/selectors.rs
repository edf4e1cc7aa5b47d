//! Which namespaces and Pods the selectors of the webhook exclude.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use kube::core::Expression;

use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::selector::{Requirement, requirements};
use crate::engine::{REWRITE_DISABLED, REWRITE_LABEL};
use crate::words::few;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub fn look(check: &mut Check, objects: &Objects, webhook: &MutatingWebhook) {
    let place = objects.configuration_place();
    let on_namespaces = requirements(webhook.namespace_selector.as_ref());
    let on_objects = requirements(webhook.object_selector.as_ref());
    opt_out(check, &place, objects, &on_namespaces, &on_objects);
    for requirement in on_namespaces.iter().filter(|requirement| !is_opt_out(requirement)) {
        let Some(key) = requirement.excluded_key() else {
            let what = format!("the namespaceSelector requires `{requirement}`: other namespaces are not covered");
            check.find(Fault::NamespacesMustOptIn, &place, what);
            continue;
        };
        if key != NAME_LABEL {
            // Namespaces that are excluded by name are intended; the check `coverage` lists them.
            let namespaces = objects.namespaces.iter().flatten();
            let excluded: Vec<&str> = namespaces
                .filter(|namespace| !requirement.matches(&namespace.labels))
                .map(|namespace| namespace.name.as_str())
                .collect();
            let excludes = if excluded.is_empty() { "no namespace".to_owned() } else { few(&excluded) };
            let what = format!("the namespaceSelector has `{requirement}`, which excludes {excludes}");
            check.find(Fault::UnexpectedNamespaceSelector, &place, what);
        }
    }
    for requirement in on_objects.iter().filter(|requirement| !is_opt_out(requirement)) {
        let what = format!("the objectSelector has `{requirement}`: other Pods are not covered");
        let finding = check.find(Fault::UnexpectedObjectSelector, &place, what);
        if requirement.excluded_key().is_some() {
            finding.severity = Severity::Note;
        }
    }
}

fn is_opt_out(requirement: &Requirement) -> bool {
    *requirement
        == Requirement::Known(Expression::NotIn(REWRITE_LABEL.to_owned(), [REWRITE_DISABLED.to_owned()].into()))
}

/// Finds selectors that contradict `allowOptOut` of the rules.
fn opt_out(
    check: &mut Check,
    place: &str,
    objects: &Objects,
    on_namespaces: &[Requirement],
    on_objects: &[Requirement],
) {
    let Some(policy) = objects.policy() else { return };
    let allowed = policy.settings().allow_opt_out;
    for (name, requirements) in [("namespaceSelector", on_namespaces), ("objectSelector", on_objects)] {
        match (allowed, requirements.iter().any(is_opt_out)) {
            (true, false) => {
                let what = format!(
                    "the rules have allowOptOut, but the {name} does not exclude the label `{REWRITE_LABEL}: {REWRITE_DISABLED}`"
                );
                check.find(Fault::OptOutNotExcluded, place, what);
            }
            (false, true) => {
                let what = format!(
                    "the {name} excludes the label `{REWRITE_LABEL}: {REWRITE_DISABLED}`, but the rules do not have allowOptOut"
                );
                check.find(Fault::OptOutNotAllowed, place, what);
            }
            _ => {}
        }
    }
}
