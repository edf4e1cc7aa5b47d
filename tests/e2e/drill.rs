//! `pullthrough drill` of a cluster: its workloads, and nodes with images. There are no kubelets: the test writes the status of nodes.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{ControlPlane, Options};
use crate::scene::rules;

const NAMESPACE: &str = "drill";
const RULES: &str = "  - {name: hub, from: [docker.io], to: cache.example.com/hub}\n";
const CACHES: &str = "caches:\n  - {prefix: cache.example.com, product: distribution}\n";

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

/// Writes the storage of a cache with `hub/library/app:1` for linux/amd64, as distribution does (registry/storage/paths.go).
fn store(root: &Path) {
    let version = root.join("docker/registry/v2");
    let (config, layer) = (r#"{"os":"linux","architecture":"amd64"}"#, "layer");
    let descriptor =
        |text: &str| json!({"mediaType": "x", "digest": format!("sha256:{}", digest(text)), "size": text.len()});
    let manifest = json!({"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)]}).to_string();
    for (text, links) in [(config, "_layers"), (layer, "_layers"), (&manifest, "_manifests/revisions")] {
        let hex = digest(text);
        write(&version.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), text);
        let link = version.join(format!("repositories/hub/library/app/{links}/sha256/{hex}/link"));
        write(&link, &format!("sha256:{hex}"));
    }
    let tag = version.join("repositories/hub/library/app/_manifests/tags/1/current/link");
    write(&tag, &format!("sha256:{}", digest(&manifest)));
}

fn create(cluster: &ControlPlane, object: &Value) {
    cluster.kubectl_with(&["create", "-f", "-"], &object.to_string()).ok();
}

fn node(cluster: &ControlPlane, name: &str, architecture: &str, kubelet: &str, images: &[&str]) {
    let labels = json!({"kubernetes.io/arch": architecture});
    create(cluster, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}));
    let images: Vec<Value> = images.iter().map(|image| json!({"names": [image], "sizeBytes": 1})).collect();
    let info = json!({
        "operatingSystem": "linux", "architecture": architecture, "kubeletVersion": kubelet, "machineID": "", "systemUUID": "",
        "bootID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeProxyVersion": "",
    });
    let patch = json!({"status": {"images": images, "nodeInfo": info}}).to_string();
    cluster.kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &patch]).ok();
}

/// Returns a Deployment whose Pods run on nodes of an architecture.
fn deployment(name: &str, architecture: &str, image: &str, policy: &str) -> Value {
    let labels = json!({"app": name});
    let selector = json!({"kubernetes.io/arch": architecture});
    let container = json!({"name": "app", "image": image, "imagePullPolicy": policy});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"nodeSelector": selector, "containers": [container]}},
        },
    })
}

/// Returns the Pod of a Deployment that exists, with its ReplicaSet.
fn pods_of(cluster: &ControlPlane, name: &str, image: &str) -> [Value; 2] {
    let read = cluster.kubectl(&["get", "deployment", name, "-n", NAMESPACE, "-o", "json"]).json();
    let owner = |kind: &str, name: &str, uid: &Value| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let revision = format!("{name}-1");
    let replica_set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": revision, "namespace": NAMESPACE, "ownerReferences": owner("Deployment", name, &read["metadata"]["uid"])},
        "spec": {"selector": read["spec"]["selector"], "template": read["spec"]["template"]},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{name}-1-a"), "namespace": NAMESPACE, "ownerReferences": owner("ReplicaSet", &revision, &json!("1"))},
        "spec": {"containers": [{"name": "app", "image": image, "imagePullPolicy": "IfNotPresent"}]},
    });
    [replica_set, pod]
}

#[test]
fn workloads_of_a_cluster_are_judged_by_caches_and_nodes() {
    let options = Options { users: vec![("nobody", "nobody")], ..Options::default() };
    let cluster = ControlPlane::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    write(&file, &rules(CACHES, RULES));
    store(folder.path());
    cluster.create_namespace(NAMESPACE);
    let everywhere = "quay.io/org/everywhere:1";
    node(&cluster, "amd64-1", "amd64", "v1.33.1", &[everywhere, "quay.io/org/once:1", "ghcr.io/org/unused:1"]);
    node(&cluster, "amd64-2", "amd64", "v1.33.1", &[everywhere]);
    node(&cluster, "arm64-1", "arm64", "v1.35.0", &["quay.io/org/verified:1"]);
    let pinned = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pinned", "namespace": NAMESPACE},
        "spec": {"nodeName": "amd64-1", "containers": [{"name": "app", "image": "quay.io/org/once:1", "imagePullPolicy": "Never"}]},
    });
    create(&cluster, &pinned);
    for (name, architecture, image, policy) in [
        ("cached", "amd64", "app:1", "IfNotPresent"),
        ("cached-elsewhere", "arm64", "app:1", "IfNotPresent"),
        ("lost", "amd64", "other:1", "IfNotPresent"),
        ("on-nodes", "amd64", everywhere, "IfNotPresent"),
        ("always", "amd64", everywhere, "Always"),
        ("on-one-node", "amd64", "quay.io/org/once:1", "IfNotPresent"),
        ("verified", "arm64", "quay.io/org/verified:1", "IfNotPresent"),
    ] {
        create(&cluster, &deployment(name, architecture, image, policy));
    }
    // It exists, and is rewritten already.
    for object in pods_of(&cluster, "cached", "cache.example.com/hub/library/app:1") {
        create(&cluster, &object);
    }

    let drill = |kubeconfig: &Path, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.arg("drill").arg("--kubeconfig").arg(kubeconfig).arg("--rules").arg(&file).args(arguments);
        command.arg("--storage").arg(format!("cache.example.com={}", folder.path().display()));
        let output = command.output().expect("the binary runs");
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        (output.status.code().expect("an exit code"), stdout, stderr)
    };
    let (code, stdout, stderr) = drill(&cluster.kubeconfig(), &["-o", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut found: Vec<(String, &str, String)> = lines
        .iter()
        .filter(|line| line["namespace"] == NAMESPACE)
        .map(|line| {
            let evidence = line["evidence"].as_array().expect("evidence").iter().filter_map(|one| one["text"].as_str());
            let workload = line["workload"].as_str().expect("a workload").to_owned();
            (workload, line["verdict"].as_str().expect("a verdict"), evidence.collect::<Vec<_>>().join("; "))
        })
        .collect();
    found.sort();
    for ((workload, verdict, evidence), (name, expected, part)) in found.iter().zip([
        (
            "Deployment drill/always",
            "no",
            "on 2 of 2 nodes where the Pod may run, but the pull policy Always asks the registry",
        ),
        ("Deployment drill/cached", "yes", "has every part of it"),
        ("Deployment drill/cached-elsewhere", "no", "linux/arm64: the image is for linux/amd64"),
        ("Deployment drill/lost", "no", "tag 1: not stored"),
        (
            "Deployment drill/on-nodes",
            "yes",
            "on 2 of 2 nodes where the Pod may run, and the pull policy is IfNotPresent",
        ),
        ("Deployment drill/on-one-node", "unknown", "on 1 of 2 nodes where the Pod may run; not reported by amd64-2"),
        ("Deployment drill/verified", "unknown", "may have the registry verify the Pod's credentials"),
        ("Pod drill/pinned", "yes", "on 1 of 1 nodes where the Pod may run, and the pull policy is Never"),
    ]) {
        assert!(
            workload == name && *verdict == expected && evidence.contains(part),
            "{workload}: {verdict}: {evidence}"
        );
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(stderr.contains("1 image not judged, only stored on nodes: ghcr.io/org/unused:1"), "{stderr}");

    // Nodes are not read, and no image is safe because of them.
    let (_, stdout, _) =
        drill(&cluster.kubeconfig(), &["-o", "json", "--namespace", NAMESPACE, "--platform", "linux/amd64"]);
    assert!(!stdout.contains("where the Pod may run") && stdout.contains("has every part of it"), "{stdout}");
    let (code, _, stderr) = drill(&cluster.kubeconfig(), &["--fail-on", "no"]);
    assert_eq!(code, 1, "{stderr}");
    // Without rights, there is nothing to judge.
    let (code, _, stderr) = drill(&cluster.kubeconfig_of("nobody"), &["--fail-on", "no"]);
    assert!(code == 2 && stderr.contains("forbidden"), "{stderr}");
}
