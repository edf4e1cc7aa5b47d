//! The Pods of the cluster, looked at by the engine as if they were created now.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::cluster::words::parse_secs;
use crate::engine::{self, Context, Decision, Options, Policy, Reason};

/// Kept of each kind in each namespace.
const EXAMPLES: usize = 3;

/// How many Pods of a namespace are of one kind, with the names of some.
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

/// Pods whose images the rules would rewrite, although they exist.
#[derive(Debug, Clone, Default)]
pub struct Stale {
    /// From before the time that was asked about.
    pub before: Tally,
    pub since: Tally,
}

/// What is kept of all Pods.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    pub pods: usize,
    /// By namespace.
    pub mirror: BTreeMap<String, Tally>,
    pub opted_out: BTreeMap<String, Tally>,
    pub stale: BTreeMap<String, Stale>,
    /// For each rule an image that it would rewrite, and the namespace.
    pub examples: HashMap<String, (String, String)>,
    /// Why the list was not read to its end.
    pub cut_short: Option<Failure>,
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

/// Whose Pods are looked at, and from when on one should have been rewritten.
pub struct Scope<'s> {
    pub policy: &'s Policy,
    pub in_reach: &'s dyn Fn(&str) -> bool,
    pub since_secs: Option<i64>,
}

impl Survey {
    /// # Errors
    ///
    /// Where there is not even a first page.
    pub async fn take(api: &Api, scope: &Scope<'_>) -> Result<Self, Failure> {
        let target = Target { api: "api/v1", resource: "pods", namespace: None, name: None };
        let mut survey = Self::default();
        let mut pages = Pages::of(api, target);
        loop {
            // Only what counts of a page outlives it.
            match pages.next().await {
                Ok(Some(page)) => page.items().for_each(|pod| survey.add(pod, scope)),
                Ok(None) => return Ok(survey),
                Err(failure) if survey.pods == 0 => return Err(failure),
                Err(failure) => {
                    survey.cut_short = Some(failure);
                    return Ok(survey);
                }
            }
        }
    }

    fn add(&mut self, raw: &str, scope: &Scope<'_>) {
        self.pods += 1;
        let Ok(Pod { metadata, status }) = serde_json::from_str::<Pod>(raw) else { return };
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        if !(scope.in_reach)(&metadata.namespace) || matches!(phase.as_str(), "Succeeded" | "Failed") {
            return;
        }
        let review = review(raw, &metadata.namespace);
        let context = Context { options: Options { warnings: false }, ..Context::of(scope.policy) };
        let Ok(answer) = engine::answer(context, review.as_bytes()) else { return };
        let images = &answer.summary.images;
        let kept_for = |reason| images.iter().any(|image| image.decision.reason() == Some(reason));
        let rewritten = images.iter().find_map(|image| match &image.decision {
            Decision::Rewrite { rule, .. } => Some((image, *rule)),
            _ => None,
        });
        let Metadata { name, namespace, creation_timestamp } = metadata;
        if kept_for(Reason::MirrorPod) {
            self.mirror.entry(namespace).or_default().add(|| name);
        } else if kept_for(Reason::OptedOut) {
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

/// What the API server would ask on the Pod's creation.
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
        let policy = Policy::from(Config::for_cache("cache.example.com").unwrap());
        let in_reach = |namespace: &str| namespace != "out";
        let scope = Scope { policy: &policy, in_reach: &in_reach, since_secs: Some(1_000_000_000) };
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
    fn pods_are_counted_by_what_is_the_matter() {
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
            pod("a", "cache.example.com/x"),
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
}
