//! kustomize, which runs `rewrite --fn`, and kubectl behind a pipe.

use serde_json::{Value, json};

use super::workshop::Workshop;
use super::{NGINX, PAUSE, tool};
use crate::CLUSTER;

const HEADING: &str = "kustomize";

#[test]
fn kustomize_transforms() {
    let workshop = Workshop::new(HEADING).with("kustomize", &tool("kustomize"));
    let built = workshop.ok_as_shown();
    for image in [PAUSE, &format!("{NGINX}:1.30"), "quay.io/prometheus/node-exporter:v1.9.1"] {
        assert!(built.contains(&format!("image: {image}\n")), "{image}\n{built}");
    }
    workshop.write("kustomization.yaml", "resources: [deploy/web.yaml]\nimages: [{name: nginx, newTag: \"1.30\"}]\n");
    let plain = workshop.ok("kustomize build .");
    let expected = plain
        .replace("image: nginx:1.30", &format!("image: {NGINX}:1.30"))
        .replace("image: registry.k8s.io/pause:3.10", &format!("image: {PAUSE}"));
    assert_eq!(built, expected, "only images may differ");
}

#[test]
fn kustomize_takes_a_config_map_and_shows_what_is_wrong() {
    let workshop = Workshop::new(HEADING).with("kustomize", &tool("kustomize"));
    let config_map = |data: &str| {
        let function = "{config.kubernetes.io/function: 'exec: {path: pullthrough, args: [rewrite, --fn, --rewrite-short-names]}'}";
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: p, annotations: {function}}}\ndata: {data}\n")
    };
    workshop.write("pullthrough.yaml", &config_map("{cache: cache.example.com/k8s}"));
    let built = workshop.ok_as_shown();
    assert!(built.contains(&format!("image: {PAUSE}\n")) && built.contains("image: nginx:1.30\n"), "{built}");

    workshop.write("pullthrough.yaml", &config_map("{chache: cache.example.com/k8s}"));
    let failed = workshop.run(&workshop.section.script);
    let stderr = String::from_utf8_lossy(&failed.stderr);
    assert!(
        !failed.status.success() && stderr.contains("functionConfig has the unknown key `chache` in its data"),
        "{stderr}"
    );
}

/// A list as kustomize passes it. Comments and everything but images stay.
#[test]
fn a_resource_list_changes_in_images_only() {
    let workshop = Workshop::new(HEADING);
    let list = "\
apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: v1 # the first
  kind: Pod
  metadata:
    name: a
    namespace: shop
    annotations:
      internal.config.kubernetes.io/path: 'a.yaml'
      internal.config.kubernetes.io/index: '0'
  spec:
    containers:
    - name: a
      image: \"nginx\" # quoted
    - name: b
      image: &shared registry.k8s.io/pause:3.10
      args: [*shared]
functionConfig:
  apiVersion: v1
  kind: ConfigMap
  data:
    rules.yaml: |
      apiVersion: pullthrough.dev/v1alpha1
      kind: Rules
      rules:
      - {name: all, from: [docker.io, registry.k8s.io], to: cache.example.com/all, namespaces: {include: [shop]}}
";
    workshop.write("list.yaml", list);
    let printed = workshop.ok("pullthrough rewrite --fn --rewrite-short-names <list.yaml");
    let head = list.replace("\"nginx\"", "\"cache.example.com/all/library/nginx\"") + "results:\n- ";
    let result = printed.strip_prefix(&head).unwrap_or_else(|| panic!("{printed}"));
    let result: Value = serde_json::from_str(result).expect("one result");
    assert!(result["message"].as_str().is_some_and(|message| message.contains("*shared")), "{result}");
    let expected = json!({
        "severity": "warning",
        "message": result["message"],
        "resourceRef": {"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": "shop"},
        "field": {
            "path": "spec.containers[1].image",
            "currentValue": "registry.k8s.io/pause:3.10",
            "proposedValue": "cache.example.com/all/pause:3.10",
        },
        "file": {"path": "a.yaml", "index": 0},
    });
    assert_eq!(result, expected);
}

#[test]
fn what_is_not_a_resource_list_is_rejected() {
    let workshop = Workshop::new(HEADING);
    for (input, message) in [
        ("", "standard input is not a ResourceList"),
        ("kind: Pod\napiVersion: v1\n", "but Pod of v1"),
        ("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n", "functionConfig has no rules"),
        (
            "{apiVersion: config.kubernetes.io/v1, kind: ResourceList, functionConfig: {kind: Deployment}}",
            "the kind `Deployment` of functionConfig",
        ),
    ] {
        workshop.write("input", input);
        let output = workshop.run("pullthrough rewrite --fn <input");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{input:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn kubectl_applies_what_is_piped() {
    let workshop = Workshop::new("kubectl")
        .with("kubectl", &CLUSTER.assets().join("kubectl"))
        .with_variable("KUBECONFIG", CLUSTER.kubeconfig().display().to_string());
    workshop.write("kustomization.yaml", "resources: [deploy/web.yaml]\n");
    assert_eq!(workshop.ok_as_shown(), "deployment.apps/web created (server dry run)\n");
    let script = workshop.section.script.replace("--dry-run=server", "--dry-run=server -o yaml");
    let stored = workshop.ok(&script);
    for image in [PAUSE, &format!("{NGINX}:1.29"), "quay.io/prometheus/node-exporter:v1.9.1"] {
        assert!(stored.contains(&format!("image: {image}\n")), "{image}\n{stored}");
    }
}
