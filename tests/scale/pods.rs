//! Pods of realistic size, without nodes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use axum::http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{ControlPlane, request};

const NAMESPACES: usize = 50;
/// The number of images. Every Pod has two of them, and one that all have.
const IMAGES: usize = 300;
const CLIENTS: usize = 16;
const ATTEMPTS: usize = 5;
const INIT_IMAGE: &str = "docker.io/istio/proxyv2:1.27.0";

fn image(number: usize) -> String {
    let registry = ["registry.k8s.io", "docker.io", "ghcr.io", "quay.io"][number % 4];
    format!("{registry}/team-{}/service-{}:v1.{}", number % 7, number % IMAGES, number % IMAGES)
}

/// Returns the count of each image in this number of Pods.
pub fn images(pods: usize) -> BTreeMap<String, usize> {
    let mut images = BTreeMap::new();
    for number in 0..pods {
        for image in [image(number % IMAGES), image((number + 1) % IMAGES), INIT_IMAGE.to_owned()] {
            *images.entry(image).or_default() += 1;
        }
    }
    images
}

pub fn create(cluster: &ControlPlane, numbers: Range<usize>) -> Result<()> {
    if numbers.start == 0 {
        (0..NAMESPACES).for_each(|number| cluster.create_namespace(&format!("team-{number}")));
    }
    let config = cluster.client_config(cluster.admin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let mut clients: JoinSet<Result<()>> = JoinSet::new();
        for _ in 0..CLIENTS {
            // A connection for each task.
            let client = kube::Client::try_from(config.clone())?;
            let (next, end) = (Arc::clone(&next), numbers.end);
            clients.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok(());
                    }
                    create_one(&client, number).await.with_context(|| format!("create Pod {number}"))?;
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done??;
        }
        Ok(())
    })
}

async fn create_one(client: &kube::Client, number: usize) -> Result<()> {
    let path = format!("/api/v1/namespaces/team-{}/pods", number % NAMESPACES);
    let body = pod(number).to_string().into_bytes();
    let mut attempt = 1;
    loop {
        match client.request::<Value>(request(Method::POST, &path, body.clone())).await {
            Ok(_) => return Ok(()),
            // It was created, but the response was lost.
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
            Err(error) if attempt == ATTEMPTS => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    }
}

fn pod(number: usize) -> Value {
    let env: Vec<Value> = (0..12)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("https://service-{n}.team-{}.svc:8443/path", number % 7)}))
        .collect();
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 3, "periodSeconds": 10});
    let container = |name: &str, image: &str| {
        json!({
            "name": name,
            "image": image,
            "args": ["--log-level=info", "--listen=:8080", "--metrics=:9090"],
            "env": env,
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": probe("/livez"),
            "readinessProbe": probe("/readyz"),
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "tmp", "mountPath": "/tmp"}],
        })
    };
    let mut init = container("init", INIT_IMAGE);
    for key in ["livenessProbe", "readinessProbe"] {
        init.as_object_mut().expect("an object").remove(key);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("service-{}-7d9c5b8f6d-{number:05}", number % IMAGES),
            "labels": {
                "app.kubernetes.io/name": format!("service-{}", number % IMAGES),
                "app.kubernetes.io/part-of": "platform",
                "pod-template-hash": "7d9c5b8f6d",
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "checksum/config": "5516d103a9c2ecc4f026efbd4b40662c"},
        },
        "spec": {
            "initContainers": [init],
            "containers": [container("app", &image(number % IMAGES)), container("sidecar", &image((number + 1) % IMAGES))],
            "volumes": [{"name": "config", "configMap": {"name": "config"}}, {"name": "tmp", "emptyDir": {}}],
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "apps", "effect": "NoSchedule"}],
        },
    })
}
