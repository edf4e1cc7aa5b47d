//! The Pods of the cluster, evaluated by the engine as if they were created now.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::engine::{self, AnswerOptions, Context, Decision, Origin, Policy, Reason, User};
use crate::words::parse_secs;

/// Examples of each kind in each namespace.
const EXAMPLES: usize = 3;

/// The number of a namespace's Pods of one kind, with the names of some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: usize,
    pub examples: Vec<String>,
}

impl Tally {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// Existing Pods whose images the rules would rewrite.
#[derive(Debug, Clone, Default)]
pub struct Stale {
    /// Pods that were created before [`Scope::since_secs`].
    pub before: Tally,
    pub since: Tally,
}

/// Pods of a known operator that compares images.
#[derive(Debug, Clone, Default)]
pub struct Comparing {
    /// Those that the rules would rewrite now.
    pub rewritten: Tally,
    /// The number of those that the rules skip.
    pub skipped: usize,
}

/// A summary of all Pods.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    pub pods: usize,
    /// By namespace.
    pub mirror: BTreeMap<String, Tally>,
    pub opted_out: BTreeMap<String, Tally>,
    pub stale: BTreeMap<String, Stale>,
    /// By the name of a known operator.
    pub operators: BTreeMap<&'static str, Comparing>,
    /// Pods of other custom resources that the rules would rewrite now, by `KIND.GROUP` of the owner.
    pub custom: BTreeMap<String, Tally>,
    /// For each rule, an image that it would rewrite, and its namespace.
    pub examples: HashMap<String, (String, String)>,
    /// Why the list is incomplete.
    pub incomplete: Option<Failure>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    creation_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    phase: Option<String>,
}

/// Which Pods to evaluate, and since when the webhook should have rewritten new ones.
pub struct Scope<'s> {
    pub policy: &'s Policy,
    pub is_covered: &'s dyn Fn(&str) -> bool,
    pub since_secs: Option<i64>,
}

impl Survey {
    /// Reads all Pods of the cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if the first page is unavailable.
    pub async fn take(api: &Api, scope: &Scope<'_>) -> Result<Self, Failure> {
        let target = Target { api: "api/v1", resource: "pods", namespace: None, name: None };
        let mut survey = Self::default();
        let mut pages = Pages::of(api, target);
        loop {
            // A page is dropped once it is evaluated, so memory does not grow with the cluster.
            match pages.next().await {
                Ok(Some(page)) => page.items().for_each(|pod| survey.add(pod, scope)),
                Ok(None) => return Ok(survey),
                Err(failure) if survey.pods == 0 => return Err(failure),
                Err(failure) => {
                    survey.incomplete = Some(failure);
                    return Ok(survey);
                }
            }
        }
    }

    fn add(&mut self, raw: &str, scope: &Scope<'_>) {
        self.pods += 1;
        let Ok(Pod { metadata, status }) = serde_json::from_str::<Pod>(raw) else { return };
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        if !(scope.is_covered)(&metadata.namespace) || matches!(phase.as_str(), "Succeeded" | "Failed") {
            return;
        }
        let review = review(raw, &metadata.namespace);
        let context = Context { options: AnswerOptions { warnings: false }, ..Context::of(scope.policy) };
        let Ok(answer) = engine::answer(context, review.as_bytes()) else { return };
        let images = &answer.summary.images;
        let has_reason = |reason| images.iter().any(|image| image.decision.reason() == Some(reason));
        let rewritten = images.iter().find_map(|image| match &image.decision {
            Decision::Rewrite { rule, .. } => Some((image, *rule)),
            _ => None,
        });
        let Metadata { name, namespace, creation_timestamp } = metadata;
        let Origin { operator, owner } = &answer.summary.origin;
        if let Some(operator) = operator.filter(|_| rewritten.is_some()) {
            let comparing = self.operators.entry(operator.name).or_default();
            // Who created the Pod is unknown.
            if scope.policy.settings().operators.skips(operator, &namespace, User::Unknown) {
                comparing.skipped += 1;
                return;
            }
            comparing.rewritten.add(|| format!("{namespace}/{name}"));
        } else if let Some(owner) = owner.as_ref().filter(|_| rewritten.is_some()) {
            self.custom.entry(owner.kind_and_group()).or_default().add(|| format!("{namespace}/{name}"));
        }
        if has_reason(Reason::MirrorPod) {
            self.mirror.entry(namespace).or_default().add(|| name);
        } else if has_reason(Reason::OptedOut) {
            self.opted_out.entry(namespace).or_default().add(|| name);
        } else if let Some((image, rule)) = rewritten {
            let example = || (image.image.to_string(), namespace.clone());
            self.examples.entry(rule.name.clone()).or_insert_with(example);
            let created_secs = creation_timestamp.as_deref().and_then(parse_secs);
            let stale = self.stale.entry(namespace).or_default();
            let is_since = scope.since_secs.zip(created_secs).is_some_and(|(since, created)| created > since);
            let tally = if is_since { &mut stale.since } else { &mut stale.before };
            tally.add(|| format!("{name} ({})", image.image));
        }
    }
}

/// Returns the review that the API server would send for the Pod's creation.
fn review(pod: &str, namespace: &str) -> String {
    let request = serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "doctor",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "namespace": namespace,
            "object": "OBJECT",
        },
    });
    request.to_string().replacen("\"OBJECT\"", pod, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::json;

    fn survey(items: &[serde_json::Value]) -> Survey {
        let policy = Policy::from(Config::for_cache("cache.corp.internal").unwrap());
        let is_covered = |namespace: &str| namespace != "out";
        let scope = Scope { policy: &policy, is_covered: &is_covered, since_secs: Some(1_000_000_000) };
        let mut survey = Survey::default();
        items.iter().for_each(|item| survey.add(&item.to_string(), &scope));
        survey
    }

    fn pod(namespace: &str, image: &str) -> serde_json::Value {
        json!({
            "metadata": {"name": "p", "namespace": namespace, "creationTimestamp": "2020-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "c", "image": image}]},
            "status": {"phase": "Running"},
        })
    }

    #[test]
    fn pods_are_counted_by_kind() {
        let mut old = pod("a", "registry.k8s.io/x");
        old["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
        let mut mirror = pod("a", "registry.k8s.io/x");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "y"});
        let mut ended = pod("a", "registry.k8s.io/x");
        ended["status"]["phase"] = json!("Succeeded");
        let items = [
            pod("a", "registry.k8s.io/x"),
            old,
            mirror,
            ended,
            pod("a", "cache.corp.internal/x"),
            pod("out", "registry.k8s.io/x"),
            json!({"metadata": 7}),
            json!({"metadata": {}, "spec": []}),
        ];
        let survey = survey(&items);
        assert_eq!(survey.pods, items.len());
        let stale = &survey.stale["a"];
        assert_eq!((stale.before.count, stale.since.count), (1, 1));
        assert_eq!(stale.since.examples, ["p (registry.k8s.io/x)"]);
        assert_eq!(survey.mirror["a"].count, 1);
        assert_eq!(survey.examples["kubernetes"], ("registry.k8s.io/x".to_owned(), "a".to_owned()));
        assert_eq!(survey.stale.len(), 1);
    }

    #[test]
    fn pods_of_operators_are_counted() {
        let owned = |api_version: &str, kind: &str, image: &str| {
            let mut pod = pod("a", image);
            pod["metadata"]["labels"] = json!({"cnpg.io/cluster": "db"});
            pod["metadata"]["ownerReferences"] =
                json!([{"apiVersion": api_version, "kind": kind, "name": "db", "controller": true}]);
            pod
        };
        let survey = survey(&[
            owned("postgresql.cnpg.io/v1", "Cluster", "registry.k8s.io/x"),
            owned("postgresql.cnpg.io/v1", "Cluster", "cache.corp.internal/x"),
            owned("example.com/v1", "Widget", "registry.k8s.io/x"),
            owned("apps/v1", "ReplicaSet", "registry.k8s.io/x"),
        ]);
        let comparing = &survey.operators["cloudnative-pg"];
        assert_eq!((comparing.rewritten.count, comparing.skipped, survey.operators.len()), (1, 0, 1));
        assert_eq!(survey.custom.keys().collect::<Vec<_>>(), ["Widget.example.com"]);
    }
}
