//! New Pods have their images rewritten, and no other change.

use serde_json::{Value, json};

use crate::CLUSTER;
use crate::scene::{CACHE, KUBERNETES, Scene, image, pod, rules};

fn digest() -> String {
    format!("sha256:{}", "0123456789abcdef".repeat(4))
}

/// Returns the Pod without the fields that differ between two creations.
fn without_identity(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    for field in ["uid", "creationTimestamp", "namespace", "resourceVersion"] {
        metadata.remove(field);
    }
    for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
        entry.as_object_mut().expect("an entry").remove("time");
    }
    pod
}

#[test]
fn kubectl_run_shows_the_cache() {
    let scene = Scene::new("create-run", &rules("", KUBERNETES));
    let run = ["run", "p", "--image", "registry.k8s.io/pause:3.9", "--dry-run=server"];
    let yaml = scene.kubectl(&[&run[..], &["-o", "yaml"]].concat()).ok();
    assert!(yaml.contains("image: cache.example.com/k8s/pause:3.9\n"), "{yaml}");
}

#[test]
fn nothing_but_image_strings_differs() {
    let _scene = Scene::new("create-mutated", &rules("", KUBERNETES));
    CLUSTER.create_namespace("create-as-is");
    let digest = digest();
    let container = |image: &str| json!({"containers": [{"name": "c", "image": image}]});
    for (what, spec, changes) in [
        ("plain", container("registry.k8s.io/pause:3.9"), vec![("/spec/containers/0/image", "/pause:3.9".to_owned())]),
        ("nested path", container("k8s.gcr.io/a/b/c:1"), vec![("/spec/containers/0/image", "/a/b/c:1".to_owned())]),
        (
            "tag and digest",
            container(&format!("registry.k8s.io/pause:3.9@{digest}")),
            vec![("/spec/containers/0/image", format!("/pause:3.9@{digest}"))],
        ),
        (
            "digest alone",
            container(&format!("registry.k8s.io/pause@{digest}")),
            vec![("/spec/containers/0/image", format!("/pause@{digest}"))],
        ),
        ("no tag", container("registry.k8s.io/pause"), vec![("/spec/containers/0/image", "/pause".to_owned())]),
        ("another registry", container("quay.io/prometheus/node-exporter:v1.9.1"), vec![]),
        (
            "init containers and sidecars",
            json!({
                "initContainers": [
                    {"name": "i", "image": "registry.k8s.io/init:1"},
                    {"name": "sidecar", "image": "registry.k8s.io/sidecar:1", "restartPolicy": "Always"},
                    {"name": "other", "image": "example.com/other:1"},
                ],
                "containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "registry.k8s.io/d:1"}],
            }),
            vec![
                ("/spec/containers/1/image", "/d:1".to_owned()),
                ("/spec/initContainers/0/image", "/init:1".to_owned()),
                ("/spec/initContainers/1/image", "/sidecar:1".to_owned()),
            ],
        ),
        (
            "image volumes",
            json!({
                "containers": [{"name": "c", "image": "nginx", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "e", "emptyDir": {}}, {"name": "v", "image": {"reference": "registry.k8s.io/v:1"}}],
            }),
            vec![("/spec/volumes/1/image/reference", "/v:1".to_owned())],
        ),
    ] {
        let pod = pod("p", spec);
        let create = |namespace| {
            let arguments =
                ["create", "-n", namespace, "--dry-run=server", "--show-managed-fields", "-o", "json", "-f", "-"];
            without_identity(CLUSTER.kubectl_with(&arguments, &pod.to_string()).json())
        };
        let (mut expected, mutated) = (create("create-as-is"), create("create-mutated"));
        if what == "image volumes" && expected["spec"]["volumes"][1].get("image").is_none() {
            println!("skipped: {what}, which this API server drops");
            continue;
        }
        for (pointer, rest) in changes {
            *expected.pointer_mut(pointer).expect("an image") = json!(format!("{CACHE}{rest}"));
        }
        assert_eq!(mutated, expected, "{what}");
    }
}

#[test]
fn counts_equal_what_was_created() {
    let scene = Scene::new("create-counts", &rules("", KUBERNETES));
    let counts = || {
        ["false", "true"].map(|dry_run| {
            let labels = format!("{{cache=\"cache.example.com/k8s\",dry_run=\"{dry_run}\",rule=\"kubernetes\"}}");
            let rewrites = scene.webhook.metric(&format!("pullthrough_image_rewrites_total{labels}"));
            let labels = format!("{{dry_run=\"{dry_run}\",reason=\"no_rule\"}}");
            [rewrites, scene.webhook.metric(&format!("pullthrough_images_not_rewritten_total{labels}"))]
        })
    };
    let before = counts();
    for number in 0..5 {
        let spec = json!({"containers": [
            {"name": "a", "image": "registry.k8s.io/a"}, {"name": "b", "image": "k8s.gcr.io/b"}, {"name": "c", "image": "nginx"},
        ]});
        let pod = pod(&format!("p{number}"), spec);
        let created = scene.create(&pod, if number < 2 { &["--dry-run=server"] } else { &[] }).json();
        assert_eq!(image(&created), "cache.example.com/k8s/a");
    }
    let after = counts();
    let difference = [0, 1].map(|dry_run| [0, 1].map(|kind| after[dry_run][kind] - before[dry_run][kind]));
    assert_eq!(difference, [[6.0, 3.0], [4.0, 2.0]], "rewritten and not rewritten, stored and in dry runs");
}
