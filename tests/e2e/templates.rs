//! `export webhook --warn-templates`: users of kubectl learn which field names an upstream.

use std::time::{Duration, Instant};

use axum::http::Method;
use pullthrough::engine::PodKind;
use serde_json::{Value, json};

use crate::CLUSTER;
use crate::scene::{KUBERNETES, Scene, rules};

const IMAGE: &str = "registry.k8s.io/pause:3.10";
const CACHED: &str = "cache.example.com/k8s/pause:3.10";

fn scene(namespace: &'static str) -> Scene {
    let scene = Scene::unregistered(namespace, &rules("whenNotUnderstood: deny\n", KUBERNETES));
    scene.register(&["--warn-templates"]);
    scene
}

/// Returns an object of a kind, and the field of its image.
fn workload(kind: &PodKind, name: &str, image: &str) -> (Value, String) {
    let restart = if matches!(kind.kind, "Job" | "CronJob") { "Never" } else { "Always" };
    let labels = json!({"app": name});
    let spec = json!({"containers": [{"name": "app", "image": image}], "restartPolicy": restart});
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let spec = match kind.kind {
        "PodTemplate" => Value::Null,
        "Job" => json!({"template": template}),
        "CronJob" => json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}),
        "ReplicationController" => json!({"selector": labels, "template": template}),
        "StatefulSet" => json!({"selector": {"matchLabels": labels}, "serviceName": "s", "template": template}),
        _ => json!({"selector": {"matchLabels": labels}, "template": template}),
    };
    let group = kind.groups[0];
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let mut object = json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": name}});
    if spec.is_null() {
        object["template"] = template;
    } else {
        object["spec"] = spec;
    }
    (object, format!("{}.containers[app].image", kind.pod_spec.join(".")))
}

fn warning(field: &str) -> String {
    format!("Warning: pullthrough: change {field} from {IMAGE} to {CACHED}")
}

#[test]
fn kubectl_shows_the_field_of_each_kind_and_of_lists() {
    let scene = scene("templates-kinds");
    let apply = ["--namespace", scene.namespace, "apply", "-f", "-"];
    let mut items = Vec::new();
    let mut expected = Vec::new();
    for kind in PodKind::with_template() {
        let (object, field) = workload(kind, "web", IMAGE);
        let applied = CLUSTER.dev().run_with(&apply, &object.to_string());
        assert_eq!(applied.stderr.lines().collect::<Vec<_>>(), [warning(&field)], "{}", kind.kind);
        assert!(applied.ok().contains("/web created"), "{}", kind.kind);
        let stored = scene.kubectl(&["get", kind.resource, "web", "-o", "json"]).json();
        let pointer = format!("/{}/containers/0/image", kind.pod_spec.join("/"));
        assert_eq!(stored.pointer(&pointer), Some(&json!(IMAGE)), "{}", kind.kind);
        // As the manifest should be.
        let (object, _) = workload(kind, "cached", CACHED);
        let applied = CLUSTER.dev().run_with(&apply, &object.to_string());
        assert_eq!(applied.stderr, "", "{}", kind.kind);
        applied.ok();
        items.push(workload(kind, "listed", IMAGE).0);
        expected.push(warning(&field));
    }
    assert_eq!(items.len(), 8);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let applied = CLUSTER.dev().run_with(&apply, &list.to_string());
    // kubectl shows equal warnings once.
    expected.sort();
    expected.dedup();
    let mut shown: Vec<&str> = applied.stderr.lines().collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown, expected);
    let (created, warned) = (applied.ok().lines().count(), 2.0 * 8.0);
    assert_eq!(created, 8);
    assert_eq!(scene.sum("pullthrough_template_images_warned_total{dry_run=\"false\",rule=\"kubernetes\"}"), warned);
    assert_eq!(
        scene.sum("pullthrough_admission_requests_total{dry_run=\"false\",operation=\"CREATE\",outcome=\"warned\""),
        warned
    );

    // As with Pod Security, an update of anything else shows the warning again.
    let annotated = CLUSTER.dev().run(&["--namespace", scene.namespace, "annotate", "deployment", "web", "a=b"]);
    assert_eq!(annotated.stderr.trim(), warning("spec.template.spec.containers[app].image"));
    annotated.ok();
    let scaled = CLUSTER.dev().run(&["--namespace", scene.namespace, "scale", "deployment", "web", "--replicas=0"]);
    assert_eq!(scaled.stderr, "");
    scaled.ok();
}

/// The API server does not even call the webhook for controllers, which would log the warnings.
#[test]
fn controllers_are_not_warned() {
    let scene = scene("templates-controllers");
    let namespace = scene.namespace;
    scene.kubectl(&["create", "serviceaccount", "controller"]).ok();
    let subject = format!("--serviceaccount={namespace}:controller");
    scene.kubectl(&["create", "rolebinding", "controller", "--clusterrole=cluster-admin", &subject]).ok();
    let controller = CLUSTER.service_account(namespace, "controller");
    let asked = scene.asked();
    for kind in PodKind::with_template() {
        let (object, _) = workload(kind, "web", IMAGE);
        let created = controller.run_with(&["--namespace", namespace, "create", "-f", "-"], &object.to_string());
        assert_eq!(created.stderr, "", "{}", kind.kind);
        created.ok();
    }
    assert_eq!(scene.asked(), asked);
}

#[test]
fn without_the_webhook_workloads_are_applied_as_fast() {
    let mut scene = scene("templates-down");
    scene.webhook.stop();
    let deployment = PodKind::of("apps", "Deployment").expect("a kind");
    let (object, _) = workload(deployment, "web", IMAGE);
    let start = Instant::now();
    let created = CLUSTER.dev().run_with(&["--namespace", scene.namespace, "create", "-f", "-"], &object.to_string());
    let elapsed = start.elapsed();
    assert_eq!(created.stderr, "");
    created.ok();
    println!("with the webhook down, kubectl create took {elapsed:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn the_latency_is_printed() {
    let scene = Scene::unregistered("templates-latency", &rules("", KUBERNETES));
    let client = CLUSTER.client();
    let deployment = PodKind::of("apps", "Deployment").expect("a kind");
    let body = workload(deployment, "web", IMAGE).0.to_string();
    let path = format!("/apis/apps/v1/namespaces/{}/deployments?dryRun=All", scene.namespace);
    let median = || {
        let mut times: Vec<Duration> = (0..100)
            .map(|_| {
                let start = Instant::now();
                client.request(Method::POST, &path, body.clone().into_bytes()).expect("a Deployment");
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    median();
    let without = median();
    scene.register(&["--warn-templates"]);
    median();
    let with = median();
    println!("a Deployment takes {without:?} without and {with:?} with warnings (median of 100 dry runs)");
    assert!(scene.sum("pullthrough_template_images_warned_total{dry_run=\"true\"") >= 100.0);
}
