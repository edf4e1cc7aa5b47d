//! The DaemonSet that writes containerd's files on the nodes of a cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{fs, str};

use serde_json::{Value, json};

use crate::cluster::{Cluster, write};
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, step};

const NAME: &str = "pullthrough-containerd";
const NAMESPACE: &str = "kube-system";
/// The configuration of a host, written by someone else.
const FOREIGN: &str = "server = \"https://quay.example.com\"\n";

pub fn writes_on_nodes(cluster: &Cluster) {
    let node = tempfile::tempdir().unwrap();
    let kubernetes = |from: &[&str]| json!({"name": "kubernetes", "from": from, "to": cluster.cache.image("k8s")});
    let quay = json!({"name": "quay", "from": ["quay.io"], "to": cluster.cache.image("quay")});
    let export = |rules: &Value, target: &[&str]| export(cluster, node.path(), rules, target);
    let apply = |rules: &Value| {
        cluster.control_plane.kubectl_with(&["apply", "--filename=-"], &export(rules, &["--daemon-set"])).ok();
    };
    let is_written = |rules: &Value| {
        let expected = tempfile::tempdir().unwrap();
        export(rules, &["--directory", expected.path().to_str().unwrap()]);
        assert_eq!(files(node.path()), files(expected.path()));
    };
    let rollout = || {
        let status = ["rollout", "status", &format!("daemonset/{NAME}"), "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
        cluster.kubectl(&status).ok();
    };

    step("a DaemonSet writes containerd's files", || {
        let rules = json!([kubernetes(&["registry.k8s.io", "k8s.gcr.io"])]);
        apply(&rules);
        rollout();
        is_written(&rules);
    });
    let rules = json!([kubernetes(&["registry.k8s.io"])]);
    step("it updates them when the rules change", || {
        apply(&rules);
        rollout();
        is_written(&rules);
    });
    step("it does not replace a file of others, and reports it", || {
        let before = files(node.path());
        write(node.path(), "certs.d/quay.io/hosts.toml", FOREIGN).unwrap();
        apply(&json!([kubernetes(&["registry.k8s.io"]), quay]));
        let selector = format!("--selector=app.kubernetes.io/name={NAME}");
        let logs = ["logs", &selector, "--namespace", NAMESPACE, "--container=write", "--tail=-1"];
        let path = node.path().join("certs.d/quay.io/hosts.toml");
        let told = format!("{}: not created by this command", path.display());
        let tells = wait_for(DEADLINE, || cluster.kubectl(&logs).stdout.contains(&told).then_some(()));
        tells.unwrap_or_else(|error| panic!("{error}: {}", cluster.kubectl(&logs).stdout));
        let get = ["get", "pods", &selector, "--namespace", NAMESPACE, "--output=json"];
        let fails = wait_for(DEADLINE, || {
            let pods = cluster.kubectl(&get).json();
            let state = &pods["items"][0]["status"]["initContainerStatuses"][0];
            (state["restartCount"].as_u64()? > 0).then_some(())
        });
        fails.unwrap_or_else(|error| panic!("{error}: {:#}", cluster.kubectl(&get).json()));
        let mut after = files(node.path());
        assert_eq!(after.remove("certs.d/quay.io/hosts.toml").as_deref(), Some(FOREIGN));
        assert_eq!(after, before, "a file was written");
    });
    step("after its deletion the files remain", || {
        let selector = format!("--selector=app.kubernetes.io/name={NAME}");
        let kinds = "daemonsets,configmaps,serviceaccounts";
        cluster.kubectl(&["delete", kinds, &selector, "--namespace", NAMESPACE, "--timeout=60s"]).ok();
        let gone = || cluster.kubectl(&["get", "pods", "--namespace", NAMESPACE, "--output=name"]).ok().is_empty();
        wait_for(DEADLINE, || gone().then_some(())).expect("its Pods are gone");
        assert!(node.path().join("certs.d/registry.k8s.io/hosts.toml").exists());
    });
}

/// Returns the output of the export. The cache of the rules has the image that the DaemonSet's Pods wait in.
fn export(cluster: &Cluster, node: &Path, rules: &Value, target: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let rules = json!({"apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "rules": rules});
    let image = cluster.upstream.image("pullthrough:test");
    let image = if target == ["--daemon-set"] { vec!["--image", &image] } else { vec![] };
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["export", "containerd", "--sandbox-image", HELLO, "--rules"])
        .arg(write(folder.path(), "rules.yaml", &rules.to_string()).unwrap())
        .arg("--node-directory")
        .arg(node)
        .args(target)
        .args(image)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the files below a folder, by path.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path)
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}
