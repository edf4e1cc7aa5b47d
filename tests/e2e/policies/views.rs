//! Two replicas with different views of a cache, alone and one after the other, with the policy and without it.

use serde_json::{Value, json};

use super::mutating_policies_are_served;
use super::twins::{bind, export};
use crate::harness::{Output, Webhook, wait_for};
use crate::registry::{self, Reply};
use crate::scene::{Scene, rules};
use crate::{CLUSTER, DEADLINE};

const NAMESPACE: &str = "policies-views";
/// The label with the replicas that are called: `a`, `b`, or both.
const VIEWS: &str = "views";
const POLICY: &str = "policy";

/// The rules of a replica, which differ in how often it probes. Before three probes failed, a cache is up.
fn of_replica(first: &str, second: &str, interval: &str) -> String {
    rules(
        &format!(
            "caches:\n- {{prefix: '{first}', health: {{interval: {interval}}}}}\n- {{prefix: '{second}', health: {{}}}}\n"
        ),
        &format!("  - {{name: k8s, from: [registry.k8s.io], to: '{first}/k8s', failover: ['{second}/k8s']}}\n"),
    )
}

/// The caches, and two replicas. The first cache is up for the replica `a`, and down for `b`.
struct Replicas {
    a: Scene,
    _b: Scene,
    caches: [String; 2],
}

impl Replicas {
    fn start() -> Self {
        let [first, second] = ["503 Service Unavailable", "200 OK"]
            .map(|status| registry::start(move |_| Reply { status, headers: Vec::new(), body: String::new() }));
        let state = |webhook: &Webhook, cache: &str, state: &str| {
            let series = format!("pullthrough_cache_state{{cache=\"{cache}\",state=\"{state}\"}}");
            wait_for(DEADLINE, || (webhook.metric(&series) == 1.0).then_some(())).unwrap_or_else(|error| {
                panic!("{cache} is not {state}: {error:#}\n{}", webhook.log());
            });
        };
        let a = Scene::unregistered(NAMESPACE, &of_replica(&first, &second, "1h"));
        state(&a.webhook, &first, "up");
        let webhook = Webhook::start(&of_replica(&first, &second, "1s")).unwrap_or_else(|error| panic!("{error:#}"));
        state(&webhook, &first, "down");
        let b = Scene { cluster: a.cluster, namespace: NAMESPACE, webhook };
        for (replica, scene) in [("a", &a), ("b", &b)] {
            let mut configuration = scene.configuration(&[]);
            configuration["metadata"]["name"] = json!(format!("zz-pullthrough-{NAMESPACE}-{replica}"));
            let webhook = &mut configuration["webhooks"][0];
            let expression = format!(
                "has(object.metadata.labels) && '{VIEWS}' in object.metadata.labels && object.metadata.labels['{VIEWS}'].contains('{replica}')"
            );
            let conditions = webhook["matchConditions"].as_array_mut().expect("conditions");
            conditions.push(json!({"name": "views", "expression": expression}));
            CLUSTER.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
        }
        let (objects, _) = export(&a, &["--action=rewrite"]);
        bind(&a, objects, &json!({"matchLabels": {POLICY: "true"}}));
        let replicas = Self { a, _b: b, caches: [first, second] };
        for (views, has_policy) in [("a", false), ("b", false), ("", true)] {
            wait_for(DEADLINE, || {
                let pod = replicas.apply(&manifest("probe", views, has_policy), &["--dry-run=server"]);
                (images(&pod.json()) == replicas.expected(views, has_policy)).then_some(())
            })
            .unwrap_or_else(|error| panic!("views {views:?}, policy {has_policy}: {error:#}"));
        }
        replicas
    }

    /// Returns the name of an image. A policy names the first cache, and replicas leave it.
    fn given(&self, rest: &str, views: &str, has_policy: bool) -> String {
        let [first, second] = &self.caches;
        let cache = if has_policy || views.starts_with('a') { first } else { second };
        format!("{cache}/k8s/{rest}")
    }

    fn expected(&self, views: &str, has_policy: bool) -> [String; 3] {
        ["init:1", "app:1", "volume:1"].map(|rest| self.given(rest, views, has_policy))
    }

    fn apply(&self, manifest: &Value, arguments: &[&str]) -> Output {
        let apply = ["--namespace", NAMESPACE, "apply", "-o", "json", "-f", "-"];
        CLUSTER.kubectl_with(&[&apply, arguments].concat(), &manifest.to_string())
    }
}

fn manifest(name: &str, views: &str, has_policy: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {VIEWS: views, POLICY: has_policy.to_string()}},
        "spec": {
            "initContainers": [{"name": "i", "image": "registry.k8s.io/init:1"}],
            "containers": [{"name": "c", "image": "registry.k8s.io/app:1"}],
            "volumes": [{"name": "v", "image": {"reference": "registry.k8s.io/volume:1"}}],
        },
    })
}

fn images(pod: &Value) -> [String; 3] {
    let spec = &pod["spec"];
    [&spec["initContainers"][0]["image"], &spec["containers"][0]["image"], &spec["volumes"][0]["image"]["reference"]]
        .map(|image| image.as_str().expect("an image").to_owned())
}

#[test]
fn replicas_that_see_caches_differently_move_no_image() {
    if !mutating_policies_are_served() {
        return;
    }
    let replicas = Replicas::start();
    let kubectl = |arguments: &[&str]| replicas.a.kubectl(arguments);
    for has_policy in [false, true] {
        for (created_by, updated_by) in [("a", "b"), ("b", "a"), ("ab", "b"), ("b", "ab")] {
            let what = format!("created by {created_by}, updated by {updated_by}, policy {has_policy}");
            let name = format!("{created_by}-{updated_by}-{has_policy}");
            let pod = replicas.apply(&manifest(&name, created_by, has_policy), &[]).json();
            let stored = replicas.expected(created_by, has_policy);
            assert_eq!(images(&pod), stored, "{what}");

            // The old manifest again has the images as written. An image volume can't be changed.
            let pod = replicas.apply(&manifest(&name, updated_by, has_policy), &[]).json();
            assert_eq!((images(&pod), &pod["metadata"]["generation"]), (stored.clone(), &json!(1)), "{what}");

            let other = replicas.caches.iter().find(|cache| !stored[1].starts_with(*cache)).expect("another");
            let set = |image: &str| kubectl(&["set", "image", &format!("pod/{name}"), &format!("c={image}")]).ok();
            set(&format!("{other}/k8s/app:1"));
            let debug = format!("pod/{name}");
            kubectl(&["debug", &debug, "--image=registry.k8s.io/debug:1", "--attach=false", "--profile=general"]).ok();
            let pod = replicas.a.get(&name);
            assert_eq!(images(&pod), stored, "{what}");
            let debugging = &pod["spec"]["ephemeralContainers"][0]["image"];
            assert_eq!(*debugging, json!(replicas.given("debug:1", updated_by, has_policy)), "{what}");

            // A new image gets the name that the replica gives it now.
            set("registry.k8s.io/app:2");
            let pod = replicas.a.get(&name);
            let new = replicas.given("app:2", updated_by, has_policy);
            assert_eq!(images(&pod), [stored[0].clone(), new, stored[2].clone()], "{what}");
        }
    }
}
