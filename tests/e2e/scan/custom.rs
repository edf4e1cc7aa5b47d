//! Objects of kinds that Kubernetes does not define.

use serde_json::{Value, json};

use super::workloads::{Expected, object_of};
use crate::DEADLINE;
use crate::harness::{ControlPlane, wait_for};

pub const DECLARATIONS: &str = "\
manifests:
  - {group: example.com, kind: Rollout, podSpecs: [$.spec.template.spec]}
  - {group: example.com, kind: Appliance, images: ['$.spec.parts[*].image']}
  - {group: example.com, kind: Absent, images: [$.spec.image]}
  - {group: tekton.dev, kind: Pipeline, images: [$.spec.image]}
  - {group: apps, kind: StatefulSet, env: ['RELATED_IMAGE_*']}
";

/// Returns a definition with an old and a new version. The new version is preferred.
fn definition(kind: &str, plural: &str, scope: &str) -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name,
            "served": true,
            "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [version("v1alpha1", false), version("v1", true)],
        },
    })
}

/// Creates the objects. Returns the findings of every scan, and those of a scan with these declarations.
pub fn create(cluster: &ControlPlane) -> (Vec<Expected>, Vec<Expected>) {
    let client = cluster.client();
    let post = |path: &str, object: &Value| {
        let created = wait_for(DEADLINE, || client.post(path, object).ok());
        created.unwrap_or_else(|error| panic!("{path}: {error:#}"));
    };
    for definition in
        [definition("Rollout", "rollouts", "Namespaced"), definition("Appliance", "appliances", "Cluster")]
    {
        post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition);
    }
    // A field may have another meaning than the same name elsewhere.
    let rollout = json!({
        "apiVersion": "example.com/v1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": "many",
            "template": {"spec": {
                "initContainers": [{"name": "i", "image": "ghcr.io/org/init:1"}],
                "containers": [{"name": "c", "image": "registry.k8s.io/web:1"}],
            }},
        },
    });
    post("/apis/example.com/v1/namespaces/scan-b/rollouts", &rollout);
    let appliance = json!({
        "apiVersion": "example.com/v1",
        "kind": "Appliance",
        "metadata": {"name": "box"},
        "spec": {"parts": [{"image": "nginx:1"}, {"name": "none"}, {"image": "quay.io/part:2"}]},
    });
    post("/apis/example.com/v1/appliances", &appliance);
    let app = json!({"app": "operator"});
    let container = json!({"name": "c", "image": "quay.io/operator:1", "env": [
        {"name": "RELATED_IMAGE_APP", "value": "registry.k8s.io/related:1"},
        {"name": "OTHER", "value": "registry.k8s.io/other:1"},
    ]});
    let operator = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "operator"},
        "spec": {
            "selector": {"matchLabels": app},
            "template": {"metadata": {"labels": app}, "spec": {"containers": [container]}},
        },
    });
    post("/apis/apps/v1/namespaces/scan-b/statefulsets", &operator);

    let expected =
        |namespace, api_version, kind, name: &str, place: &str, image: &str, verdict: Result<&str, &str>| Expected {
            image: image.to_owned(),
            api_version,
            kind,
            name: name.to_owned(),
            place: place.to_owned(),
            in_use: "template",
            verdict: verdict.map(str::to_owned).map_err(str::to_owned),
            ..object_of(namespace)
        };
    let rollout =
        |place, image, verdict| expected(Some("scan-b"), "example.com/v1", "Rollout", "web", place, image, verdict);
    let appliance = |place, image, verdict| expected(None, "example.com/v1", "Appliance", "box", place, image, verdict);
    let operator =
        |place, image, verdict| expected(Some("scan-b"), "apps/v1", "StatefulSet", "operator", place, image, verdict);
    let always = vec![operator("containers/c", "quay.io/operator:1", Err("no_rule"))];
    let related = Ok("cache.example.com/k8s/related:1");
    let declared = vec![
        rollout("initContainers/i", "ghcr.io/org/init:1", Err("observed")),
        rollout("containers/c", "registry.k8s.io/web:1", Ok("cache.example.com/k8s/web:1")),
        appliance("$.spec.parts[0].image", "nginx:1", Ok("cache.example.com/hub/library/nginx:1")),
        appliance("$.spec.parts[2].image", "quay.io/part:2", Err("no_rule")),
        operator("containers/c/env/RELATED_IMAGE_APP", "registry.k8s.io/related:1", related),
    ];
    (always, declared)
}
