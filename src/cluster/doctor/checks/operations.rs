//! Which requests the webhook's `rules` cover.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, RuleWithOperations};

use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::report::Check;
use crate::words::few;

/// Finds operations and resources that are not covered, and others that are covered without need.
pub fn look(check: &mut Check, place: &str, webhook: &MutatingWebhook, expected: &MutatingWebhook) {
    let rules: Vec<_> = webhook.rules.iter().flatten().collect();
    let mut wanted = BTreeSet::new();
    for rule in expected.rules.iter().flatten() {
        for operation in rule.operations.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                wanted.insert((operation.as_str(), resource.as_str()));
            }
        }
    }
    for (operation, resource) in &wanted {
        if rules.iter().any(|rule| covers(rule, operation, resource)) {
            continue;
        }
        let (fault, effect) = match (*operation, *resource) {
            ("CREATE", _) => (Fault::PodCreationNotCovered, "new Pods are not rewritten"),
            ("UPDATE", "pods") => (Fault::PodUpdatesNotCovered, "images from `kubectl set image` are not rewritten"),
            _ => (Fault::EphemeralContainersNotCovered, "images from `kubectl debug` are not rewritten"),
        };
        check.find(fault, place, format!("no rule covers {operation} of {resource}: {effect}"));
    }
    let is_beside = |rule: &&&RuleWithOperations| {
        let resources: Vec<&str> = rule.resources.iter().flatten().map(String::as_str).collect();
        let operations: Vec<&str> = rule.operations.iter().flatten().map(String::as_str).collect();
        operations.iter().any(|operation| resources.iter().any(|resource| !wanted.contains(&(*operation, *resource))))
    };
    let beside: Vec<String> = rules
        .iter()
        .filter(is_beside)
        .map(|rule| {
            let list = |of: &Option<Vec<String>>| of.iter().flatten().cloned().collect::<Vec<_>>().join("/");
            format!("{} of {}", list(&rule.operations), list(&rule.resources))
        })
        .collect();
    if !beside.is_empty() {
        let what = format!("it covers {} too; such requests are never rewritten", few(&beside));
        check.find(Fault::MoreThanPodsCovered, place, what);
    }
}

/// Returns whether a rule matches, as in the API server (`plugin/webhook/predicates/rules`). Pods are in the core group,
/// version v1.
pub fn covers(rule: &RuleWithOperations, operation: &str, resource: &str) -> bool {
    let has =
        |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|entry| entry == "*" || entry == wanted);
    let split = |text: &str| match text.split_once('/') {
        Some((resource, sub)) => (resource.to_owned(), sub.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    let (wanted, wanted_sub) = split(resource);
    let matches = |entry: &String| {
        let (resource, sub) = split(entry);
        (resource == "*" || resource == wanted) && (sub == "*" || sub == wanted_sub)
    };
    has(&rule.operations, operation)
        && has(&rule.api_groups, "")
        && has(&rule.api_versions, "v1")
        && rule.resources.iter().flatten().any(matches)
        && rule.scope.as_deref() != Some("Cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(resources: &[&str], operations: &[&str]) -> RuleWithOperations {
        let rule = json!({"apiGroups": [""], "apiVersions": ["*"], "resources": resources, "operations": operations});
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn rules_cover_as_in_the_api_server() {
        for (resources, operations, operation, resource, expected) in [
            (&["pods"][..], &["CREATE"][..], "CREATE", "pods", true),
            (&["pods"], &["CREATE"], "UPDATE", "pods", false),
            (&["pods"], &["*"], "UPDATE", "pods", true),
            (&["pods"], &["*"], "UPDATE", "pods/ephemeralcontainers", false),
            (&["*"], &["*"], "UPDATE", "pods/ephemeralcontainers", false),
            (&["pods/*"], &["*"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["pods/*"], &["*"], "CREATE", "pods", true),
            (&["*/*"], &["UPDATE"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["*/ephemeralcontainers"], &["UPDATE"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["deployments"], &["*"], "CREATE", "pods", false),
        ] {
            assert_eq!(covers(&rule(resources, operations), operation, resource), expected, "{resources:?} {resource}");
        }
        let cluster = RuleWithOperations { scope: Some("Cluster".to_owned()), ..rule(&["pods"], &["*"]) };
        assert!(!covers(&cluster, "CREATE", "pods"));
        let apps = RuleWithOperations { api_groups: Some(vec!["apps".to_owned()]), ..rule(&["*"], &["*"]) };
        assert!(!covers(&apps, "CREATE", "pods"));
    }
}
