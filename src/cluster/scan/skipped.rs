//! Skipped objects, with fixes.

use crate::cluster::api::{Failure, Target};
use crate::scan::Skipped;

/// Describes a list that was not read, or not completely.
pub fn skipped(target: Target<'_>, plural: &str, objects: usize, failure: &Failure) -> Skipped {
    let place = target.namespace.map(|namespace| format!(" of namespace {namespace}")).unwrap_or_default();
    let beyond = if objects == 0 { String::new() } else { format!(" after the first {objects}") };
    Skipped {
        what: format!("{plural}{place}{beyond}"),
        why: failure.to_string(),
        fix: fix(target, "list", failure),
        is_failure: true,
    }
}

/// Returns the fix for a failure to get or list objects.
pub fn fix(target: Target<'_>, verb: &str, failure: &Failure) -> String {
    match failure {
        Failure::Forbidden { .. } => {
            let role = match target.namespace {
                Some(namespace) => format!("Role of namespace {namespace}"),
                None => "ClusterRole".to_owned(),
            };
            let other = match (target.namespace, verb) {
                (None, "list") => "; or set --namespace to namespaces that you may read",
                _ => "",
            };
            let group = target.group();
            let resource = target.resource;
            format!(
                "bind a {role} with the rule {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verb}]}} to your user{other}"
            )
        }
        Failure::Expired { .. } => "retry".to_owned(),
        Failure::TooSlow(_) => "retry with a longer --timeout".to_owned(),
        _ => "retry; `pullthrough doctor` reports faults of the cluster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_printed_as_a_rule() {
        let target = Target { api: "apis/apps/v1", resource: "deployments", namespace: None, name: None };
        let failure = Failure::Forbidden { needs: String::new(), message: "no".to_owned() };
        assert_eq!(
            skipped(target, "Deployments", 0, &failure).fix,
            "bind a ClusterRole with the rule {apiGroups: [\"apps\"], resources: [deployments], verbs: [list]} to your user; \
             or set --namespace to namespaces that you may read"
        );
        let target = Target { api: "api/v1", resource: "pods", namespace: Some("a"), name: None };
        let skipped = skipped(target, "Pods", 500, &failure);
        assert_eq!(skipped.what, "Pods of namespace a after the first 500");
        assert_eq!(
            skipped.fix,
            "bind a Role of namespace a with the rule {apiGroups: [\"\"], resources: [pods], verbs: [list]} to your user"
        );
    }
}
