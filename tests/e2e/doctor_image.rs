//! `pullthrough doctor --image` with Pods that fail to pull. There is no kubelet: the test writes its status and its events.

use std::process::Command;

use serde_json::{Value, json};

use crate::CLUSTER;
use crate::cache::{Cache, PASSWORD};
use crate::scene::rules;

const NAMESPACE: &str = "doctor-image";
const REFUSED: &str = "connect: connection refused";

/// Creates a Pod whose container waits, as a kubelet reports it, with an event.
fn create(name: &str, image: &str, secrets: &Value, cause: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "app", "image": image}], "imagePullSecrets": secrets},
    });
    CLUSTER.kubectl_with(&["create", "-f", "-"], &pod.to_string()).ok();
    let waiting = json!({"reason": "ImagePullBackOff", "message": format!("Back-off pulling image \"{image}\"")});
    let status = json!({"name": "app", "image": image, "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": waiting}});
    let patch = json!({"status": {"phase": "Pending", "containerStatuses": [status]}}).to_string();
    CLUSTER
        .kubectl(&["patch", "pod", name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", &patch])
        .ok();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.1"), "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": NAMESPACE}, "reason": "Failed", "type": "Warning",
        "message": format!("Failed to pull image \"{image}\": rpc error: code = Unknown desc = failed to resolve reference \"{image}\": {cause}"),
    });
    CLUSTER.kubectl_with(&["create", "-f", "-"], &event.to_string()).ok();
}

/// Runs the command for an image of the Kubernetes project.
fn doctor(rules: &str, image: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args([
        "doctor",
        "--image",
        image,
        "--image-namespace",
        NAMESPACE,
        "--no-upstream",
        "--rules",
        rules,
        "-o",
        "json",
    ]);
    command.arg("--kubeconfig").arg(CLUSTER.kubeconfig()).args(arguments).env("DOCKER_CONFIG", "/nonexistent");
    let output = command.output().expect("the binary runs");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(!stdout.contains(PASSWORD) && !stderr.contains(PASSWORD), "{stdout}{stderr}");
    let report = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (output.status.code().expect("an exit code"), report)
}

fn causes(report: &Value) -> Vec<&str> {
    report["image"]["causes"].as_array().expect("causes").iter().filter_map(|cause| cause["cause"].as_str()).collect()
}

fn has(report: &Value, text: &str) -> bool {
    report["checks"].to_string().contains(text)
}

#[test]
fn failing_pods_and_their_secrets_are_diagnosed() {
    let host = Cache::start().host;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml").display().to_string();
    let entry = format!("  - {{name: kubernetes, from: [registry.k8s.io], to: \"{host}/k8s\"}}\n");
    std::fs::write(&file, rules("", &entry)).expect("a file");
    CLUSTER.create_namespace(NAMESPACE);
    let auths = json!({"auths": {host.as_str(): {"username": "jane", "password": PASSWORD}}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": NAMESPACE},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auths},
    });
    CLUSTER.kubectl_with(&["create", "-f", "-"], &secret.to_string()).ok();
    let image = format!("{host}/k8s/app:1");
    create("web", &image, &json!([{"name": "pull"}, {"name": "absent"}]), REFUSED);
    create("old", "registry.k8s.io/app:1", &json!([]), "dial tcp: lookup registry.k8s.io: no such host");

    // Without the Secret, the cache denies the request.
    let (code, report) = doctor(&file, "registry.k8s.io/app:1", &[]);
    assert_eq!(
        (code, &report["image"]["status"], causes(&report)),
        (1, &json!("denied"), vec!["no_credentials"]),
        "{report:#}"
    );

    // With it, the cache serves the image, and the cause is what the node reports.
    let (code, report) = doctor(&file, "registry.k8s.io/app:1", &["--read-pull-secrets"]);
    assert_eq!(
        (code, &report["image"]["status"], causes(&report)),
        (1, &json!("served"), vec!["connection_refused"]),
        "{report:#}"
    );
    assert_eq!(report["image"]["of_node"], true);
    assert!(has(&report, &format!("Secret {NAMESPACE}/pull: key {host}")), "{report:#}");
    assert!(has(&report, "pull-secret-unusable") && has(&report, &format!("Secret {NAMESPACE}/absent")), "{report:#}");
    assert!(has(&report, "pod-not-rewritten"), "{report:#}");
    let pods = report["image"]["pods"].as_array().expect("Pods");
    let of = |name: &str| pods.iter().find(|pod| pod["pod"] == name).unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(
        (&of("web")["reason"], &of("web")["causes"]),
        (&json!("ImagePullBackOff"), &json!(["connection_refused"]))
    );
    assert!(of("web")["messages"][1].as_str().is_some_and(|message| message.ends_with(REFUSED)), "{report:#}");
    assert_eq!(of("old")["causes"], json!(["dns"]));

    // An image without a Pod has the Secrets of the service account.
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE},
        "imagePullSecrets": [{"name": "pull"}],
    });
    CLUSTER.kubectl_with(&["apply", "-f", "-"], &account.to_string()).ok();
    let (_, report) = doctor(&file, "registry.k8s.io/other:1", &["--read-pull-secrets"]);
    assert_eq!(report["image"]["status"], "served", "{report:#}");
    assert!(has(&report, &format!("of service account {NAMESPACE}/default")), "{report:#}");
}

/// A user without permissions learns which are missing.
#[test]
fn what_a_user_may_not_read_is_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml").display().to_string();
    std::fs::write(&file, rules("", "  - {name: kubernetes, from: [registry.k8s.io], to: \"127.0.0.1:1/k8s\"}\n"))
        .expect("a file");
    CLUSTER.create_namespace("doctor-image-blind");
    CLUSTER.kubectl(&["create", "serviceaccount", "blind", "-n", "doctor-image-blind"]).ok();
    let kubeconfig = CLUSTER.service_account_kubeconfig("doctor-image-blind", "blind").expect("a kubeconfig");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args([
        "doctor",
        "--image",
        "registry.k8s.io/app:1",
        "--rules",
        &file,
        "--read-pull-secrets",
        "--no-upstream",
        "-o",
        "json",
    ]);
    let output = command.arg("--kubeconfig").arg(kubeconfig).output().expect("the binary runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    for needs in [
        "list pods in namespace default",
        "list nodes in the whole cluster",
        "get serviceaccounts in namespace default",
    ] {
        assert!(has(&report, needs), "{needs}: {report:#}");
    }
    assert_eq!(causes(&report), ["connection_refused"]);
}
