//! Additions beside the images (pull secrets, annotations), and rules that only observe.

use serde_json::{Value, json};

use crate::scene::{KUBERNETES, Scene, image, pod, rules};

fn two_containers(name: &str) -> Value {
    pod(name, json!({"containers": [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "registry.k8s.io/b"}]}))
}

#[test]
fn pull_secrets_and_originals_stand_beside_what_was_there() {
    let entries = KUBERNETES.replace("}\n", ", imagePullSecrets: [cache-pull]}\n")
        + "  - {name: hub, from: [docker.io], to: cache.example.com/hub, imagePullSecrets: [cache-pull, hub-pull]}\n";
    let scene = Scene::new("additions", &rules("recordOriginals: true\n", &entries));

    let bare = scene.create(&two_containers("bare"), &[]).json();
    let secrets = json!([{"name": "cache-pull"}, {"name": "hub-pull"}]);
    assert_eq!(bare["spec"]["imagePullSecrets"], secrets);
    let originals = r#"{"containers/a":"nginx:1","containers/b":"registry.k8s.io/b"}"#;
    assert_eq!(bare["metadata"]["annotations"], json!({"pullthrough.dev/original-images": originals}));

    let mut furnished = two_containers("furnished");
    furnished["metadata"]["annotations"] = json!({"example.com/kept": "yes"});
    furnished["spec"]["imagePullSecrets"] = json!([{"name": "mine"}, {"name": "hub-pull"}]);
    let furnished = scene.create(&furnished, &[]).json();
    let secrets = json!([{"name": "mine"}, {"name": "hub-pull"}, {"name": "cache-pull"}]);
    assert_eq!(furnished["spec"]["imagePullSecrets"], secrets);
    assert_eq!(furnished["metadata"]["annotations"]["example.com/kept"], "yes");
    assert_eq!(furnished["metadata"]["annotations"]["pullthrough.dev/original-images"], originals);
}

#[test]
fn an_observing_rule_counts_and_changes_nothing() {
    let entries =
        format!("{KUBERNETES}  - {{name: hub, from: [docker.io], to: cache.example.com/hub, mode: observe}}\n");
    let scene = Scene::new("additions-observe", &rules("", &entries));
    let created = scene.create(&two_containers("p"), &[]).json();
    assert_eq!(image(&created), "nginx:1");
    assert_eq!(created["spec"]["containers"][1]["image"], "cache.example.com/k8s/b");
    assert_eq!(scene.kept("observed"), 1.0);
}
