//! The API server has the properties that the other tests depend on.

use std::env;

use serde_json::Value;

use crate::harness::{ControlPlane, Options, wait_for};
use crate::{CLUSTER, DEADLINE};

const POD: &str = r#"{
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "nginx:1.29"}]}
}"#;

#[test]
fn runs_the_version_asked_for() {
    let minor = CLUSTER.minor();
    if env::var_os("KUBEBUILDER_ASSETS").is_none() {
        let version = env::var("KUBERNETES_VERSION").unwrap_or("1.36".into());
        assert_eq!(version.split('.').nth(1), Some(minor.to_string().as_str()));
    }
    let version = CLUSTER.kubectl(&["version", "-o", "json"]).json();
    for side in ["clientVersion", "serverVersion"] {
        assert_eq!(version[side]["minor"], minor.to_string(), "{side}");
    }
}

#[test]
fn a_dry_run_creates_no_pod() {
    CLUSTER.create_namespace("dry-run");
    let create = ["create", "-n", "dry-run", "-o", "json", "-f", "-"];
    let pod = CLUSTER.kubectl_with(&[&create[..], &["--dry-run=server"]].concat(), POD).json();
    assert_eq!(pod["spec"]["containers"][0]["terminationMessagePath"], "/dev/termination-log");
    assert!(CLUSTER.kubectl(&["get", "pod", "web", "-n", "dry-run"]).err().contains("NotFound"));

    let pod = CLUSTER.kubectl_with(&create, POD).json();
    assert_eq!(pod["spec"]["containers"][0]["image"], "nginx:1.29");
}

#[test]
fn the_audit_log_has_the_pod() {
    CLUSTER.create_namespace("audit");
    CLUSTER.dev().run_with(&["create", "-n", "audit", "-f", "-"], POD).ok();
    let is_create = |event: &Value| {
        event["verb"] == "create"
            && event["objectRef"]["resource"] == "pods"
            && event["objectRef"]["namespace"] == "audit"
    };
    let event = wait_for(DEADLINE, || CLUSTER.audit_events().into_iter().find(is_create)).unwrap();
    assert_eq!(event["user"]["username"], "dev");
    assert_eq!(event["responseObject"]["spec"]["containers"][0]["image"], "nginx:1.29");
}

#[test]
fn a_service_account_may_what_its_role_allows() {
    let namespace = "service-account";
    CLUSTER.create_namespace(namespace);
    CLUSTER.kubectl(&["create", "serviceaccount", "reader", "-n", namespace]).ok();
    CLUSTER.kubectl(&["create", "role", "reader", "--verb=list", "--resource=pods", "-n", namespace]).ok();
    let subject = format!("--serviceaccount={namespace}:reader");
    CLUSTER.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject, "-n", namespace]).ok();

    let reader = CLUSTER.service_account(namespace, "reader");
    let review = reader.run(&["auth", "whoami", "-o", "json"]).json();
    assert_eq!(review["status"]["userInfo"]["username"], format!("system:serviceaccount:{namespace}:reader"));
    reader.run(&["get", "pods", "-n", namespace]).ok();
    assert!(reader.run_with(&["create", "-n", namespace, "-f", "-"], POD).err().contains("Forbidden"));
}

#[test]
fn a_dropped_control_plane_leaves_nothing() {
    let cluster = ControlPlane::start(&Options::default()).unwrap();
    let kubeconfig = cluster.kubeconfig();
    let folder = kubeconfig.parent().unwrap();
    assert!(folder.exists());
    drop(cluster);
    assert!(!folder.exists());
}
