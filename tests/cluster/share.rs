//! A rule with `rollout` on a real node: all Pods of a Deployment get the cache, or all keep the upstream, and they run.

use pullthrough::engine::Workload;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::harness::wait_for;
use crate::installation::{Installation, mount_again};
use crate::replicas::{Replicas, name};
use crate::{DEADLINE, ROLLOUT_TIMEOUT, step};

const NAMESPACE: &str = "share";
const PERCENT: u8 = 50;
const REPLICAS: usize = 3;
/// Other parts check that the node has their images from the cache alone.
const IMAGE: &str = "k8s/share:1";

pub fn is_of_deployments(cluster: &Cluster, installation: &Installation) {
    // The node can pull from this upstream.
    let rules = json!({
        "apiVersion": "pullthrough.dev/v1alpha1",
        "kind": "Rules",
        "rules": [{
            "name": "share", "from": [cluster.upstream.image("k8s")], "to": cluster.cache.image("k8s"),
            "rollout": format!("{PERCENT}%"),
        }],
    });
    step("each replica has a rule with a rollout", || {
        installation.apply_with(cluster, &rules, &[]);
        mount_again(cluster);
        let replicas = Replicas::of(cluster);
        let are_loaded = || replicas.pods().iter().all(|pod| has_rule(&replicas, name(pod))).then_some(());
        wait_for(DEADLINE, are_loaded).expect("the rules are loaded");
    });
    let names: Vec<String> = (0..20).map(|number| format!("web-{number}")).collect();
    let of = |is_included: bool| {
        let is_it = |name: &&String| {
            (Workload::new("Deployment", name.as_str()).included_from(NAMESPACE).get() <= PERCENT) == is_included
        };
        names.iter().find(is_it).expect("some workload")
    };
    cluster.control_plane.create_namespace(NAMESPACE);
    let cases = [(of(true), cluster.cache.image(IMAGE)), (of(false), cluster.upstream.image(IMAGE))];
    step("the Pods of each Deployment have one image, and run", || {
        for (name, _) in &cases {
            cluster.apply(NAMESPACE, &deployment(name, &cluster.upstream.image(IMAGE)));
        }
        for (name, expected) in &cases {
            runs_with(cluster, name, expected);
        }
    });
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
    installation.restore(cluster);
}

fn deployment(name: &str, image: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                // The program has no handler for SIGTERM.
                "spec": {"containers": [{"name": "web", "image": image}], "terminationGracePeriodSeconds": 1},
            },
        },
    })
}

/// Waits until the Pods of a Deployment run, and checks their images.
fn runs_with(cluster: &Cluster, name: &str, expected: &str) {
    let deployment = format!("deployment/{name}");
    cluster.kubectl(&["rollout", "status", &deployment, "--namespace", NAMESPACE, ROLLOUT_TIMEOUT]).ok();
    let selector = format!("--selector=app={name}");
    let pods = cluster.kubectl(&["get", "pods", "--namespace", NAMESPACE, &selector, "--output=json"]).json();
    let images =
        pods["items"].as_array().expect("a list of Pods").iter().map(|pod| &pod["spec"]["containers"][0]["image"]);
    assert_eq!(images.collect::<Vec<_>>(), [expected; REPLICAS], "{name}");
}

/// Returns whether a replica has loaded the rule.
fn has_rule(replicas: &Replicas, pod: &str) -> bool {
    replicas.metrics(pod).contains("pullthrough_rollout_ratio{rule=\"share\"} 0.5")
}
