//! The size of a Pod that the API server stores does not let it bypass the rules.

use serde_json::{Map, Value, json};

use crate::CLUSTER;
use crate::scene::{KUBERNETES, PROBE, Scene, image, pod, rules};

/// [`PROBE`] in the cache.
const REWRITTEN: &str = "cache.example.com/k8s/probe:1";

fn padded(name: &str, pad: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod(name, json!({"containers": [{"name": "c", "image": PROBE}]}));
    pad(&mut pod);
    pod
}

fn entries(count: usize) -> Map<String, Value> {
    (0..count).map(|at| (format!("k{at}"), json!(""))).collect()
}

/// The webhook has `failurePolicy: Fail`. So a Pod is only stored if the webhook was called.
fn failing(namespace: &'static str, entries: &str) -> Scene {
    let scene = Scene::unregistered(namespace, &rules("", entries));
    // On a busy machine, a debug build takes seconds for the largest Pods.
    scene.register(&["--failure-policy", "Fail", "--timeout-seconds", "10"]);
    scene
}

#[test]
fn no_number_of_entries_gets_past_the_rules() {
    let scene = failing("evasion-count", &KUBERNETES.replace("k8s}", "k8s, imagePullSecrets: [ours]}"));
    for (what, pad) in [
        (
            "pull-secrets",
            (|pod| {
                pod["spec"]["imagePullSecrets"] = (0..8193).map(|at| json!({"name": format!("s{at}")})).collect();
            }) as fn(&mut Value),
        ),
        ("volumes", |pod| {
            pod["spec"]["volumes"] = (0..8193).map(|at| json!({"name": format!("v{at}"), "emptyDir": {}})).collect();
        }),
        ("labels", |pod| pod["metadata"]["labels"] = Value::Object(entries(65_537))),
        // Annotations have at most 256 KiB together, which are fewer than 65,536 entries.
        ("annotations", |pod| pod["metadata"]["annotations"] = Value::Object(entries(40_000))),
        ("selector", |pod| {
            let selector = json!({"matchLabels": Value::Object(entries(65_537))});
            let term = json!({"topologyKey": "a", "labelSelector": selector});
            pod["spec"]["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }),
    ] {
        let created = scene.create(&padded(what, pad), &["--dry-run=server"]).json();
        assert_eq!(image(&created), REWRITTEN, "{what}");
        let secrets = created["spec"]["imagePullSecrets"].as_array().expect("a list");
        assert_eq!(secrets.last().expect("a secret")["name"], "ours", "{what}");
    }
}

/// Fields that the API server drops from a new Pod must not count.
#[test]
fn a_pod_that_says_it_is_being_deleted_is_rewritten() {
    let scene = failing("evasion-deleting", KUBERNETES);
    let pod = padded("deleting", |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T05:47:46Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    });
    let created = scene.create(&pod, &["--dry-run=server"]).json();
    assert_eq!(image(&created), REWRITTEN);
}

#[test]
fn other_names_of_a_registry_are_rewritten() {
    let hub = "  - {name: hub, from: [docker.io], to: cache.example.com/hub}\n  \
               - {name: ecr, from: [public.ecr.aws], to: cache.example.com/ecr}\n";
    let scene = failing("evasion-names", &format!("{KUBERNETES}{hub}"));
    for (written, expected) in [
        ("registry.k8s.io:0443/app:1", "cache.example.com/k8s/app:1"),
        ("registry.hub.docker.com/library/nginx", "cache.example.com/hub/library/nginx"),
        ("Registry.Hub.Docker.com:00443/nginx", "cache.example.com/hub/library/nginx"),
        ("ecr-public.aws.com/a/b:1", "cache.example.com/ecr/a/b:1"),
    ] {
        let mut pod = padded("names", |_| {});
        pod["spec"]["containers"][0]["image"] = json!(written);
        assert_eq!(image(&scene.create(&pod, &["--dry-run=server"]).json()), expected, "{written}");
    }
}

/// The API server encodes `<` as six bytes, and an update has the old object too.
#[test]
fn no_size_gets_past_the_rules() {
    let scene = failing("evasion-size", KUBERNETES);
    let pod = padded("large", |pod| {
        pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "<".repeat(1_300_000)}]);
    });
    // kubectl would send six bytes too, and the API server accepts 3 MiB.
    let create = ["create", "--raw", "/api/v1/namespaces/evasion-size/pods", "-f", "-"];
    let created = CLUSTER.kubectl_with(&create, &pod.to_string()).json();
    assert_eq!(image(&created), REWRITTEN);
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "registry.k8s.io/other:2"}]}}).to_string();
    let patched = ["patch", "pod", "large", "--type", "strategic", "-p", &patch, "-o", "json"];
    assert_eq!(image(&scene.kubectl(&patched).json()), "cache.example.com/k8s/other:2");
}
