//! Pods that are not rewritten: the API server does not call the webhook for them. If it does, the reason is counted.

use serde_json::{Value, json};

use crate::harness::wait_for;
use crate::scene::{KUBERNETES, Scene, image, rules, simple_pod};
use crate::{CLUSTER, DEADLINE};

const IMAGE: &str = "registry.k8s.io/app:1";

/// Removes all selectors and conditions from the configuration.
fn stripped(mut configuration: Value) -> Value {
    let webhook = &mut configuration["webhooks"][0];
    webhook["matchConditions"] = json!([]);
    webhook["objectSelector"] = json!({});
    let selector = webhook["namespaceSelector"]["matchExpressions"].as_array_mut().expect("requirements");
    selector.retain(|requirement| requirement["operator"] == "In");
    configuration
}

fn with_metadata(name: &str, metadata: Value) -> Value {
    let mut pod = simple_pod(name, IMAGE);
    for (key, value) in metadata.as_object().expect("an object") {
        pod["metadata"][key] = value.clone();
    }
    pod
}

/// Creates a mirror Pod. Only the kubelet of its node may do so.
fn create_mirror_pod(scene: &Scene) -> Value {
    let mut pod = with_metadata("mirror", json!({"annotations": {"kubernetes.io/config.mirror": "hash"}}));
    pod["spec"]["nodeName"] = json!("node-1");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}});
    let node = CLUSTER.kubectl_with(&["apply", "-o", "json", "-f", "-"], &node.to_string()).json();
    pod["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["metadata"]["uid"], "controller": true},
    ]);
    let as_kubelet = ["--as=system:node:node-1", "--as-group=system:nodes"];
    scene.create_as(CLUSTER.admin(), &pod, &as_kubelet).json()
}

/// Updates a Pod while it is being deleted. A finalizer delays the deletion.
fn update_deleting_pod(scene: &Scene) -> Value {
    scene.kubectl(&["delete", "pod", "deleting", "--wait=false"]).ok();
    let set = r#"{"spec":{"containers":[{"name":"c","image":"registry.k8s.io/app:2"}]}}"#;
    scene.kubectl(&["patch", "pod", "deleting", "-o", "json", "-p", set]).json()
}

fn release(scene: &Scene) {
    scene.kubectl(&["patch", "pod", "deleting", "-p", r#"{"metadata":{"finalizers":null}}"#]).ok();
    let gone = || scene.kubectl(&["get", "pod", "deleting"]).status.success().then_some(()).is_none().then_some(());
    wait_for(DEADLINE, gone).expect("the Pod is gone");
}

#[test]
fn the_webhook_is_not_called_for_excluded_pods() {
    let scene = Scene::new("exclusions", &rules("allowOptOut: true\n", KUBERNETES));
    let deleting = with_metadata("deleting", json!({"finalizers": ["example.com/hold"]}));
    let opted_out = with_metadata("opted-out", json!({"labels": {"pullthrough.dev/rewrite": "disabled"}}));

    scene.create(&deleting, &[]).ok();
    let asked = scene.asked();
    assert_eq!(image(&create_mirror_pod(&scene)), IMAGE);
    assert_eq!(image(&update_deleting_pod(&scene)), "registry.k8s.io/app:2");
    assert_eq!(image(&scene.create(&opted_out, &["--dry-run=server"]).json()), IMAGE);
    assert_eq!(scene.asked(), asked, "the webhook was not called");
    release(&scene);
    scene.kubectl(&["delete", "pod", "mirror", "--force", "--grace-period=0"]).ok();

    // Without selectors and conditions, the webhook itself leaves the same Pods unchanged.
    scene.register_as(&stripped(scene.configuration(&[])));
    scene.create(&deleting, &[]).ok();
    let reasons = ["mirror_pod", "deleting", "opted_out"];
    let counts = || reasons.map(|reason| scene.kept(reason));
    let before = wait_for(DEADLINE, || {
        // The API server loads the new configuration after some time.
        scene.create(&opted_out, &["--dry-run=server"]).ok();
        (counts()[2] > 0.0).then(counts)
    })
    .expect("the webhook is called for opted-out Pods");
    assert_eq!(image(&create_mirror_pod(&scene)), IMAGE);
    assert_eq!(image(&update_deleting_pod(&scene)), "registry.k8s.io/app:2");
    assert_eq!(image(&scene.create(&opted_out, &["--dry-run=server"]).json()), IMAGE);
    let after = counts();
    assert_eq!([0, 1, 2].map(|n| after[n] - before[n]), [1.0; 3], "{reasons:?}");
    release(&scene);
}

#[test]
fn a_namespace_can_be_switched_off() {
    let scene = Scene::new("exclusions-label", &rules("allowOptOut: true\n", KUBERNETES));
    CLUSTER.kubectl(&["label", "namespace", scene.namespace, "pullthrough.dev/rewrite=disabled"]).ok();
    let left_alone = wait_for(DEADLINE, || {
        let asked = scene.asked();
        let created = scene.create(&simple_pod("p", IMAGE), &["--dry-run=server"]).json();
        (image(&created) == IMAGE && scene.asked() == asked).then_some(())
    });
    left_alone.expect("the webhook is not called any more");
}

#[test]
fn rules_leave_namespaces_and_preloaded_images_alone() {
    let entries = KUBERNETES.replace("}\n", ", namespaces: {exclude: ['exclusions-rul*']}}\n")
        + "  - {name: other, from: [registry.k8s.io/probe, quay.io], to: cache.example.com/other}\n";
    let scene = Scene::new("exclusions-rules", &rules("", &entries));
    let excluded = scene.kept("namespace_excluded");
    assert_eq!(image(&scene.create(&simple_pod("p", IMAGE), &["--dry-run=server"]).json()), IMAGE);
    assert_eq!(scene.kept("namespace_excluded") - excluded, 1.0);

    let mut preloaded = simple_pod("p", "quay.io/app:1");
    preloaded["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    assert_eq!(image(&scene.create(&preloaded, &["--dry-run=server"]).json()), "quay.io/app:1");
    assert_eq!(scene.kept("pull_never"), 1.0);
}

#[test]
fn the_webhook_is_not_asked_about_its_own_namespace() {
    let scene = Scene::new("exclusions-own", &rules("", KUBERNETES));
    scene.register(&[]);
    let own = scene.configuration(&["--own-namespace", scene.namespace]);
    CLUSTER.kubectl_with(&["apply", "-f", "-"], &own.to_string()).ok();
    let left_alone = wait_for(DEADLINE, || {
        let created = scene.create(&simple_pod("p", IMAGE), &["--dry-run=server"]).json();
        (image(&created) == IMAGE).then_some(())
    });
    left_alone.expect("the webhook is not called");
}
