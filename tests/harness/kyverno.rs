//! Kyverno's admission controller beside the API server, registered by address, as Kyverno's developers run it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ControlPlane, Server, assets, free_port};

const NAMESPACE: &str = "kyverno";

/// Starts the controller with this data in its ConfigMap.
pub fn start(cluster: &ControlPlane, configuration: Value) -> Result<Server> {
    let folder = assets(Some("kyverno"), &[])?;
    cluster.kubectl(&["create", "-R", "-f", &folder.join("kyverno-crds").display().to_string()]).ok();
    cluster.create_namespace(NAMESPACE);
    let object = |version: &str, kind: &str, name: &str, field: &str, value: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, field: value});
    // Kyverno reads its own Deployment to find out whether it is being removed.
    let deployment = json!({
        "selector": {"matchLabels": {"app": "kyverno"}},
        "template": {
            "metadata": {"labels": {"app": "kyverno"}},
            "spec": {"containers": [{"name": "kyverno", "image": "example.com/kyverno"}]},
        },
    });
    for object in [
        object("v1", "ConfigMap", "kyverno", "data", configuration),
        object("v1", "ConfigMap", "kyverno-metrics", "data", json!({})),
        object("v1", "Service", "kyverno-svc", "spec", json!({"ports": [{"port": 443}]})),
        object("apps/v1", "Deployment", "kyverno", "spec", deployment),
    ] {
        cluster.kubectl_with(&["create", "-f", "-"], &object.to_string()).ok();
    }
    let own = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?.keep();
    let port = free_port()?;
    let arguments = [
        "KYVERNO_NAMESPACE=kyverno".to_owned(),
        "KYVERNO_POD_NAME=kyverno".to_owned(),
        "KYVERNO_SERVICEACCOUNT_NAME=kyverno".to_owned(),
        "KYVERNO_ROLE_NAME=kyverno".to_owned(),
        "KYVERNO_DEPLOYMENT=kyverno".to_owned(),
        "KYVERNO_SVC=kyverno-svc".to_owned(),
        "INIT_CONFIG=kyverno".to_owned(),
        "METRICS_CONFIG=kyverno-metrics".to_owned(),
        folder.join("kyverno-controller").display().to_string(),
        format!("--kubeconfig={}", cluster.kubeconfig().display()),
        format!("--serverIP=127.0.0.1:{port}"),
        "--webhookServerHost=127.0.0.1".to_owned(),
        format!("--webhookServerPort={port}"),
        "--caSecretName=kyverno-ca".to_owned(),
        "--tlsSecretName=kyverno-tls".to_owned(),
        "--disableMetrics=true".to_owned(),
        "--controllerRuntimeMetricsAddress=0".to_owned(),
    ];
    Server::start(Path::new("env"), arguments, &own)
}
