//! A Deployment that names a public registry. Its Pods run without access to it.

use serde_json::json;

use crate::cluster::Cluster;
use crate::{ROLLOUT_TIMEOUT, step};

pub const HELLO: &str = "registry.k8s.io/hello:1";
const NAMESPACE: &str = "shop";
/// The parts of an image.
const PARTS: [&str; 2] = ["manifests", "blobs"];

pub fn runs_with_an_image_from_the_cache(cluster: &Cluster) {
    let labels = json!({"app": "hello"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hello"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": "hello", "image": HELLO}],
                    // The program has no handler for SIGTERM.
                    "terminationGracePeriodSeconds": 1,
                },
            },
        },
    });
    let from_upstream = |part: &str| cluster.upstream.pulls("k8s/hello", part);
    let before = PARTS.map(from_upstream);
    cluster.control_plane.create_namespace(NAMESPACE);
    step("a Deployment's Pods run", || {
        cluster.apply(NAMESPACE, &deployment);
        let status = ["rollout", "status", "deployment/hello", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
        cluster.kubectl(&status).ok();
    });

    let get = |what: &str| cluster.kubectl(&["get", what, "--namespace", NAMESPACE, "--output=json"]).json();
    let pods = get("pods");
    let pods = pods["items"].as_array().expect("a list of Pods");
    assert_eq!(pods.len(), 2, "{pods:#?}");
    for pod in pods {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let image = cluster.cache.image("k8s/hello");
        assert_eq!(spec["containers"][0]["image"], format!("{image}:1"));
        let spec = spec.to_string();
        for upstream in ["registry.k8s.io", &cluster.upstream.image("")] {
            assert!(!spec.contains(upstream), "{upstream} in {spec}");
        }
        assert_eq!(status["phase"], "Running");
        let id = status["containerStatuses"][0]["imageID"].as_str().unwrap_or_default();
        assert!(id.starts_with(&format!("{image}@sha256:")), "{id}");
    }
    let template = &get("deployment/hello")["spec"]["template"];
    assert_eq!(template["spec"]["containers"][0]["image"], HELLO, "templates must not be rewritten");
    for part in PARTS {
        assert!(cluster.cache.pulls("k8s/hello", part) > 0, "the node did not request {part} from the cache");
    }
    assert_eq!(PARTS.map(from_upstream), before, "requests of the node to the upstream");
    // The tests that need the namespace to be gone wait for that.
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
}
