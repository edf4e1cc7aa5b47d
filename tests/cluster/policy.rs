//! The exported MutatingAdmissionPolicy beside the webhook. Either can be removed while Pods run.

use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::installation::rewrites;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, run_program, step};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pullthrough");
const NAMESPACE: &str = "turns";
/// A metric of the API server.
const POLICY_METRIC: &str = "apiserver_mutating_admission_policy_check_total{";
const WEBHOOK_METRIC: &str =
    "apiserver_admission_webhook_admission_duration_seconds_count{name=\"rewrite.pullthrough.dev\"";
const WEBHOOK: [&str; 2] = ["mutatingwebhookconfiguration", "zz-pullthrough"];

pub fn takes_turns_with_the_webhook(cluster: &Cluster) {
    let prefix = cluster.cache.image("k8s");
    let policy = run_program(Path::new(PROGRAM), &["export", "admission-policy", "--cache", &prefix]).unwrap();
    let mut webhook = cluster.kubectl(&["get", WEBHOOK[0], WEBHOOK[1], "--output=json"]).json();
    webhook["metadata"] = json!({"name": WEBHOOK[1], "labels": webhook["metadata"]["labels"]});

    cluster.control_plane.create_namespace(NAMESPACE);
    let labels = json!({"app": "turns"});
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "hello", "image": HELLO}], "terminationGracePeriodSeconds": 1},
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "turns"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    });
    cluster.apply(NAMESPACE, &deployment);
    let first = scale(cluster, 1);

    step("with webhook and policy, then without the webhook", || {
        let before = counted(cluster, POLICY_METRIC);
        cluster.control_plane.kubectl_with(&["apply", "--filename=-"], &policy).ok();
        wait_until_counted(cluster, POLICY_METRIC, before);
        cluster.kubectl(&[&["delete"][..], &WEBHOOK].concat()).ok();
    });
    let second = scale(cluster, 2);
    step("with webhook and policy, then without the policy", || {
        let before = counted(cluster, WEBHOOK_METRIC);
        cluster.control_plane.kubectl_with(&["create", "--filename=-"], &webhook.to_string()).ok();
        wait_until_counted(cluster, WEBHOOK_METRIC, before);
        cluster.control_plane.kubectl_with(&["delete", "--filename=-"], &policy).ok();
    });
    let third = scale(cluster, 3);

    let is_kept = |before: &[Value], after: &[Value]| before.iter().all(|pod| after.contains(pod));
    assert!(is_kept(&first, &second) && is_kept(&second, &third), "{first:#?} {second:#?} {third:#?}");
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
}

/// Waits until the metrics of the API server show a new evaluation or call.
fn wait_until_counted(cluster: &Cluster, metric: &str, before: f64) {
    let again = wait_for(DEADLINE, || {
        rewrites(cluster);
        (counted(cluster, metric) > before).then_some(())
    });
    again.unwrap_or_else(|error| panic!("{metric}: {error:#}"));
}

fn counted(cluster: &Cluster, metric: &str) -> f64 {
    let metrics = cluster.kubectl(&["get", "--raw=/metrics"]).ok();
    metrics
        .lines()
        .filter(|line| line.starts_with(metric))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Scales the Deployment. Returns the fields of its Pods that change if a Pod is recreated, restarted or changed. Each Pod must have the
/// cache's image.
fn scale(cluster: &Cluster, replicas: usize) -> Vec<Value> {
    let in_namespace = |arguments: &[&str]| cluster.kubectl(&[arguments, &["--namespace", NAMESPACE]].concat());
    in_namespace(&["scale", "deployment/turns", &format!("--replicas={replicas}")]).ok();
    in_namespace(&["rollout", "status", "deployment/turns", ROLLOUT_TIMEOUT]).ok();
    let running = wait_for(DEADLINE, || {
        let pods = in_namespace(&["get", "pods", "--output=json"]).json()["items"].as_array().cloned()?;
        let running = pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true);
        (running && pods.len() == replicas).then_some(pods)
    });
    let pods = running.unwrap_or_else(|error| panic!("{replicas} Pods: {error:#}"));
    let identity = |pod: Value| {
        let container = &pod["status"]["containerStatuses"][0];
        assert_eq!(pod["spec"]["containers"][0]["image"], cluster.cache.image("k8s/hello:1"));
        json!([
            pod["metadata"]["uid"],
            pod["metadata"]["generation"],
            container["containerID"],
            container["restartCount"]
        ])
    };
    pods.into_iter().map(identity).collect()
}
