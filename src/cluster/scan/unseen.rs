//! What could not be looked at, with what would help.

use crate::cluster::api::{Failure, Target};
use crate::scan::Unseen;

/// A list that was not read, or not to its end.
pub fn unseen(target: Target<'_>, plural: &str, objects: usize, failure: &Failure) -> Unseen {
    let place = target.namespace.map(|namespace| format!(" of namespace {namespace}")).unwrap_or_default();
    let beyond = if objects == 0 { String::new() } else { format!(" after the first {objects}") };
    Unseen { what: format!("{plural}{place}{beyond}"), why: failure.to_string(), cure: cure(target, "list", failure) }
}

/// What helps against a failure to get or list something.
pub fn cure(target: Target<'_>, verb: &str, failure: &Failure) -> String {
    match failure {
        Failure::Forbidden { .. } => {
            let role = match target.namespace {
                Some(namespace) => format!("Role of namespace {namespace}"),
                None => "ClusterRole".to_owned(),
            };
            let other = match (target.namespace, verb) {
                (None, "list") => "; or name the namespaces that you may look into with --namespace",
                _ => "",
            };
            let group = target.group();
            let resource = target.resource;
            format!(
                "have a {role} with the rule {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verb}]}} bound to you{other}"
            )
        }
        Failure::Expired { .. } => "run it again".to_owned(),
        Failure::TooSlow(_) => "run it again, with a longer --timeout".to_owned(),
        _ => "run it again; `pullthrough doctor` looks at the cluster closer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_that_lacks_is_given_as_a_rule() {
        let target = Target { api: "apis/apps/v1", resource: "deployments", namespace: None, name: None };
        let failure = Failure::Forbidden { needs: String::new(), message: "no".to_owned() };
        assert_eq!(
            unseen(target, "Deployments", 0, &failure).cure,
            "have a ClusterRole with the rule {apiGroups: [\"apps\"], resources: [deployments], verbs: [list]} bound to you; \
             or name the namespaces that you may look into with --namespace"
        );
        let target = Target { api: "api/v1", resource: "pods", namespace: Some("a"), name: None };
        let told = unseen(target, "Pods", 500, &failure);
        assert_eq!(told.what, "Pods of namespace a after the first 500");
        assert_eq!(
            told.cure,
            "have a Role of namespace a with the rule {apiGroups: [\"\"], resources: [pods], verbs: [list]} bound to you"
        );
    }
}
