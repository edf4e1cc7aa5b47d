//! Which pull Secrets the Pods of an object have, by name. No Secret is read.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use super::kind::ResourceKind;
use super::object::Object;
use crate::engine::Policy;
use crate::scan::{FoundImage, Location, PullAccess, Verdict};

/// The service account of Pods that name none.
pub const DEFAULT_ACCOUNT: &str = "default";

#[derive(Deserialize, Default)]
struct PodOrTemplate<'a> {
    #[serde(borrow, default)]
    spec: Option<Spec<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default)]
    image_pull_secrets: Option<Vec<Reference>>,
    #[serde(borrow, default)]
    service_account_name: Option<Cow<'a, str>>,
    /// The older name, which the API server sets too.
    #[serde(borrow, default)]
    service_account: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    name: Option<String>,
}

/// Sets the names for the images of an object.
///
/// # Errors
///
/// Returns why the Pod or the template is unreadable.
pub fn set(
    kind: &ResourceKind,
    object: &Object,
    policy: Option<&Policy>,
    found: &mut [FoundImage],
) -> Result<(), String> {
    let Some(namespace) = &object.namespace else { return Ok(()) };
    let pod = object.pod.map(serde_json::from_str::<PodOrTemplate>).transpose();
    let pod = pod.map_err(|error| error.to_string())?;
    let is_assumed = pod.is_none();
    let spec = pod.unwrap_or_default().spec.unwrap_or_default();
    let secrets: Vec<String> =
        spec.image_pull_secrets.into_iter().flatten().filter_map(|reference| reference.name).collect();
    let set = |account: &Option<Cow<str>>| account.as_deref().filter(|name| !name.is_empty()).map(str::to_owned);
    let account = set(&spec.service_account_name).or_else(|| set(&spec.service_account));
    let access = PullAccess {
        namespace: namespace.to_string(),
        service_account: (!kind.is_pod() && secrets.is_empty())
            .then(|| account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned())),
        secrets,
        of_rules: policy.map(|policy| of_rules(policy, found)).unwrap_or_default(),
        is_assumed,
    };
    // Ephemeral containers are added to a Pod that exists, whose pull Secrets can't change.
    let existing = Arc::new(PullAccess { of_rules: Vec::new(), ..access.clone() });
    let access = Arc::new(access);
    for finding in found {
        let of_finding = if is_ephemeral(finding) { &existing } else { &access };
        finding.pull_access = Some(Arc::clone(of_finding));
    }
    Ok(())
}

/// Returns the Secrets of the rules that rewrite the images of a new Pod, or would if they enforced, in the order of the images.
fn of_rules(policy: &Policy, found: &[FoundImage]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for finding in found.iter().filter(|finding| finding.not_covered.is_none() && !is_ephemeral(finding)) {
        let rule = match &finding.verdict {
            Some(Verdict::Rewrite { rule, .. } | Verdict::NotRewritten { rule: Some(rule), would_be: Some(_), .. }) => {
                rule
            }
            Some(Verdict::NotRewritten { .. }) | None => continue,
        };
        for name in policy.rules().iter().filter(|one| one.name == *rule).flat_map(|rule| &rule.image_pull_secrets) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

fn is_ephemeral(finding: &FoundImage) -> bool {
    matches!(&finding.place, Location::Cluster { place, .. } if place.starts_with("ephemeralContainers/"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::scan::kind::built_in;
    use crate::config;
    use crate::engine::Question;
    use crate::manifest::Known;
    use crate::scan::{NotCovered, Use};

    const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n\
        - {name: hub, from: [docker.io], to: c.example/hub, imagePullSecrets: [of-hub]}\n\
        - {name: quay, from: [quay.io], to: c.example/quay, imagePullSecrets: [of-quay, of-hub], mode: observe}\n\
        - {name: bare, from: [ghcr.io], to: c.example/ghcr}\n";

    /// Returns what an object's images have: own Secrets, service account, Secrets of rules.
    fn access(
        kind: &ResourceKind,
        spec: &Value,
        not_covered: Option<NotCovered>,
    ) -> Vec<(String, Option<String>, String)> {
        let policy = Policy::from(config::parse("rules.yaml", RULES).unwrap());
        let path = kind.built_in.map(|kind| kind.pod_spec).unwrap_or_default();
        let mut object = path.iter().rev().fold(spec.clone(), |value, key| json!({*key: value}));
        object["metadata"] = json!({"name": "web", "namespace": "shop"});
        let text = object.to_string();
        let object = Object::read(kind, &text, &Known::default()).expect(&text);
        let mut found: Vec<FoundImage> = object
            .sites
            .iter()
            .map(|site| {
                let question = Question {
                    image: &site.image,
                    namespace: "shop",
                    pull_never: false,
                    previous: None,
                    included_from: None,
                };
                let verdict = Verdict::from(&policy.decide(question));
                let place = Location::Cluster {
                    api_version: "v1".to_owned(),
                    kind: kind.kind.clone(),
                    namespace: Some("shop".to_owned()),
                    name: "web".to_owned(),
                    place: site.place.clone(),
                };
                FoundImage::new(site.image.clone(), place, Use::Running, Some(verdict), not_covered)
            })
            .collect();
        set(kind, &object, Some(&policy), &mut found).expect(&text);
        let of = |finding: FoundImage| {
            let access = finding.pull_access.unwrap();
            assert_eq!((&*access.namespace, access.is_assumed), ("shop", false));
            (access.secrets.join(" "), access.service_account.clone(), access.of_rules.join(" "))
        };
        found.into_iter().map(of).collect()
    }

    #[test]
    fn pods_have_their_secrets_and_templates_those_of_their_account() {
        let kinds = built_in(&Known::default());
        let kind = |name: &str| kinds.iter().find(|kind| kind.kind == name).unwrap();
        let containers = |images: &[&str]| {
            images
                .iter()
                .enumerate()
                .map(|(index, image)| json!({"name": format!("c{index}"), "image": image}))
                .collect::<Vec<_>>()
        };
        let (hub, cached) = (containers(&["nginx:1"]), containers(&["c.example/hub/library/nginx:1"]));
        let own = json!([{"name": "own"}, {}]);
        for (name, spec, secrets, account, of_rules) in [
            ("Pod", json!({"containers": hub}), "", None, "of-hub"),
            (
                "Pod",
                json!({"containers": hub, "imagePullSecrets": own, "serviceAccountName": "a"}),
                "own",
                None,
                "of-hub",
            ),
            ("Deployment", json!({"containers": hub}), "", Some("default"), "of-hub"),
            ("Deployment", json!({"containers": hub, "serviceAccountName": "a"}), "", Some("a"), "of-hub"),
            (
                "CronJob",
                json!({"containers": hub, "serviceAccount": "old", "serviceAccountName": ""}),
                "",
                Some("old"),
                "of-hub",
            ),
            (
                "Job",
                json!({"containers": hub, "imagePullSecrets": own, "serviceAccountName": "a"}),
                "own",
                None,
                "of-hub",
            ),
            ("Deployment", json!({"containers": cached, "imagePullSecrets": []}), "", Some("default"), ""),
            // A new Pod has the Secrets of the rules of all its images, also of those that only observe.
            (
                "Pod",
                json!({"containers": containers(&["ghcr.io/x:1", "quay.io/x:1", "nginx:1"])}),
                "",
                None,
                "of-quay of-hub",
            ),
        ] {
            let found = access(kind(name), &spec, None);
            let expected = (secrets.to_owned(), account.map(str::to_owned), of_rules.to_owned());
            assert!(!found.is_empty() && found.iter().all(|one| *one == expected), "{name} {spec}: {found:?}");
        }
        // The webhook adds nothing to Pods that it does not cover, and to containers of `kubectl debug`.
        assert_eq!(access(kind("Pod"), &json!({"containers": hub}), Some(NotCovered::Namespace))[0].2, "");
        let spec = json!({"containers": hub, "ephemeralContainers": containers(&["quay.io/debug:1"])});
        let of_rules: Vec<_> = access(kind("Pod"), &spec, None).into_iter().map(|(.., of_rules)| of_rules).collect();
        assert_eq!(of_rules, ["of-hub", ""]);
    }

    #[test]
    fn the_account_of_custom_resources_is_assumed() {
        let (known, json) = (Known::default(), r#"{"metadata": {"name": "db", "namespace": "shop"}}"#);
        let mut object = Object::read(&built_in(&known)[0], json, &known).unwrap();
        object.pod = None;
        let kind = ResourceKind {
            api: "apis/a.io/v1".to_owned(),
            kind: "Database".to_owned(),
            resource: "databases".to_owned(),
            namespaced: true,
            built_in: None,
            declared: true,
        };
        let place = Location::Node { node: String::new() };
        let mut found = [FoundImage::new("nginx".to_owned(), place, Use::Template, None, None)];
        set(&kind, &object, None, &mut found).unwrap();
        let access = found[0].pull_access.as_deref().unwrap();
        assert_eq!((access.is_assumed, access.service_account.as_deref()), (true, Some(DEFAULT_ACCOUNT)));
    }
}
