//! Updates: unchanged images stay, changed ones are rewritten, and immutable ones stay as stored.

use serde_json::{Value, json};

use crate::CLUSTER;
use crate::DEADLINE;
use crate::harness::wait_for;
use crate::scene::{KUBERNETES, Scene, image, pod, rules, simple_pod};

#[test]
fn kubectl_debug_adds_a_rewritten_container_and_touches_no_other() {
    let scene = Scene::unregistered("update-debug", &rules("", KUBERNETES));
    scene.create(&simple_pod("p", "registry.k8s.io/app:1"), &[]).ok();
    scene.register(&[]);
    let debug = ["debug", "p", "--image", "registry.k8s.io/busybox:1.29", "--container", "dbg", "--attach=false"];
    let told = CLUSTER.dev().run(&[&["--namespace", scene.namespace], &debug[..]].concat());
    assert!(told.stderr.contains("1 image is pulled through cache.example.com/k8s"), "{}", told.stderr);
    told.ok();
    let after = scene.get("p");
    assert_eq!(after["spec"]["ephemeralContainers"][0]["image"], "cache.example.com/k8s/busybox:1.29");
    assert_eq!(image(&after), "registry.k8s.io/app:1");
    // A second ephemeral container does not change the first.
    let second = ["debug", "p", "--image", "k8s.gcr.io/tools:1", "--container", "dbg2", "--attach=false"];
    scene.kubectl(&second).ok();
    let images: Vec<Value> = scene.get("p")["spec"]["ephemeralContainers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|container| container["image"].clone())
        .collect();
    assert_eq!(images, ["cache.example.com/k8s/busybox:1.29", "cache.example.com/k8s/tools:1"]);
}

#[test]
fn a_pod_from_before_the_webhook_keeps_its_images_until_they_change() {
    let scene = Scene::unregistered("update-before", &rules("", KUBERNETES));
    let spec = json!({
        "initContainers": [{"name": "i", "image": "registry.k8s.io/init:1"}],
        "containers": [{"name": "a", "image": "registry.k8s.io/a:1"}, {"name": "b", "image": "registry.k8s.io/b:1"}],
    });
    scene.create(&pod("p", spec.clone()), &[]).ok();
    scene.register(&[]);
    let kept = scene.kept("unchanged");
    scene.kubectl(&["label", "pod", "p", "x=y"]).ok();
    let labelled = scene.get("p");
    for list in ["initContainers", "containers"] {
        let images = |spec: &Value| -> Vec<Value> {
            spec[list].as_array().expect("a list").iter().map(|container| container["image"].clone()).collect()
        };
        assert_eq!(images(&labelled["spec"]), images(&spec));
    }
    assert_eq!(scene.kept("unchanged") - kept, 3.0);

    scene.kubectl(&["set", "image", "pod/p", "b=k8s.gcr.io/b:2"]).ok();
    let set = scene.get("p");
    assert_eq!(image(&set), "registry.k8s.io/a:1");
    assert_eq!(set["spec"]["containers"][1]["image"], "cache.example.com/k8s/b:2");
}

/// Returns a Pod with images at every place that a manifest can have.
fn manifest() -> Value {
    pod(
        "p",
        json!({
            "initContainers": [{"name": "i", "image": "registry.k8s.io/init:1"}],
            "containers": [{"name": "c", "image": "registry.k8s.io/a/app:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "image": {"reference": "registry.k8s.io/data/model:1", "pullPolicy": "IfNotPresent"}}],
        }),
    )
}

fn has_image_volumes(pod: &Value) -> bool {
    let has = pod["spec"]["volumes"][0].get("image").is_some();
    if !has {
        println!("skipped: image volumes, which this API server drops");
    }
    has
}

#[test]
fn an_original_manifest_applied_again_changes_nothing() {
    let scene = Scene::new("update-reapply", &rules("", KUBERNETES));
    let apply = ["--namespace", scene.namespace, "apply", "-f", "-"];
    CLUSTER.kubectl_with(&apply, &manifest().to_string()).ok();
    let before = scene.get("p");
    assert_eq!(image(&before), "cache.example.com/k8s/a/app:1");
    if has_image_volumes(&before) {
        assert_eq!(before["spec"]["volumes"][0]["image"]["reference"], "cache.example.com/k8s/data/model:1");
    }
    CLUSTER.kubectl_with(&apply, &manifest().to_string()).ok();
    // Other tools send the whole object.
    let mut whole = before.clone();
    for pointer in ["/spec/initContainers/0/image", "/spec/containers/0/image", "/spec/volumes/0/image/reference"] {
        if let Some(image) = whole.pointer_mut(pointer) {
            *image = manifest().pointer(pointer).expect("an image").clone();
        }
    }
    CLUSTER.kubectl_with(&["--namespace", scene.namespace, "replace", "-f", "-"], &whole.to_string()).ok();
    assert_eq!(scene.get("p")["spec"], before["spec"]);
}

#[test]
fn after_the_cache_has_moved_an_old_manifest_is_still_accepted() {
    let scene = Scene::new("update-moved", &rules("", KUBERNETES));
    let apply = ["--namespace", scene.namespace, "apply", "-f", "-"];
    CLUSTER.kubectl_with(&apply, &manifest().to_string()).ok();
    let before = scene.get("p");
    let moved = KUBERNETES.replace("cache.example.com/k8s", "new.example.com/mirror/k8s");
    scene.webhook.change_rules(&rules("", &moved)).expect("the rules are loaded");

    // The apply has a change. Otherwise the API server would not call the webhook.
    let mut again = manifest();
    again["metadata"]["labels"] = json!({"applied": "again"});
    CLUSTER
        .kubectl_with(
            &["--namespace", scene.namespace, "apply", "--server-side", "--force-conflicts", "-f", "-"],
            &again.to_string(),
        )
        .ok();
    let after = wait_for(DEADLINE, || {
        let pod = scene.get("p");
        (pod["metadata"]["labels"]["applied"] == "again").then_some(pod)
    })
    .expect("the label is set");
    assert_eq!(image(&after), "new.example.com/mirror/k8s/a/app:1", "mutable images must follow the rules");
    if has_image_volumes(&before) {
        assert_eq!(after["spec"]["volumes"], before["spec"]["volumes"], "immutable images must stay as stored");
    }
}
