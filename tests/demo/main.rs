//! `make demo`: a real API server, the webhook registered with it, and Pods before and after. It leaves nothing behind.

#[path = "../harness/mod.rs"]
mod harness;

use std::time::Duration;

use anyhow::{Context, Result};
use harness::{ControlPlane, Options, Webhook, wait_for};
use serde_json::{Value, json};

const RULES: &str = "\
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
  - name: kubernetes
    from: [registry.k8s.io, k8s.gcr.io]
    to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/docker-hub
    except: [docker.io/library/busybox]
";
const DEADLINE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    println!("Starting etcd and kube-apiserver (the first run compiles them, in about 6 minutes) ...");
    let cluster = ControlPlane::start(&Options::default())?;
    let webhook = Webhook::start(RULES)?;
    println!("Kubernetes 1.{} is up. The rules:\n\n{RULES}", cluster.minor());

    let configuration = webhook.configuration(&[])?.to_string();
    cluster.kubectl_with(&["apply", "-f", "-"], &configuration).ok();
    println!(
        "$ pullthrough export webhook --rules rules.yaml --url {} --ca-file ca.crt | kubectl apply -f -\n",
        webhook.url()
    );
    let answered = || {
        webhook.metrics().map(|metrics| metrics.keys().any(|series| series.contains("requests_total{dry_run=\"true\"")))
    };
    wait_for(DEADLINE, || {
        dry_run(&cluster, &pod("probe", &["example.com/probe"]));
        answered().unwrap_or_default().then_some(())
    })
    .context("the API server does not call the webhook")?;

    for pod in [
        pod("pause", &["registry.k8s.io/pause:3.10"]),
        pod("short-names", &["nginx", "bitnami/redis:7.2"]),
        pod(
            "hard-names",
            &[
                "K8S.gcr.io:443/ingress-nginx/controller:v1@sha256:5516d103a9c2ecc4f026efbd4b40662ce22dc1f824fb129ed121460aaa5c47f8",
            ],
        ),
        pod(
            "not-rewritten",
            &["quay.io/prometheus/node-exporter:v1.9.1", "busybox", "harbor.example.com/docker-hub/library/nginx"],
        ),
    ] {
        show(&cluster, &pod);
    }

    let audited = wait_for(DEADLINE, || {
        let events = cluster.audit_events();
        events.iter().rev().filter(|event| event["objectRef"]["name"] == "not-rewritten").find_map(|event| {
            let annotations = event["annotations"].as_object()?;
            annotations
                .iter()
                .find(|(key, _)| key.contains("pullthrough"))
                .map(|(key, value)| (key.clone(), value.clone()))
        })
    });
    let (key, value) = audited.context("the audit log has no decisions")?;
    println!(
        "The audit log has the decision on every image, here of the last Pod:\n  {key}: {}\n",
        value.as_str().unwrap_or_default()
    );

    println!("$ curl http://{}/metrics", webhook.metrics_address());
    for (series, value) in webhook.metrics()? {
        let counts = [
            "pullthrough_image_rewrites_total",
            "pullthrough_images_not_rewritten_total",
            "pullthrough_admission_requests_total",
        ];
        if value > 0.0 && counts.iter().any(|name| series.starts_with(name)) {
            println!("{series} {value}");
        }
    }
    Ok(())
}

fn pod(name: &str, images: &[&str]) -> Value {
    let containers: Vec<Value> =
        images.iter().enumerate().map(|(n, image)| json!({"name": format!("c{n}"), "image": image})).collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}})
}

fn dry_run(cluster: &ControlPlane, pod: &Value) -> (Value, String) {
    let output = cluster.dev().run_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod.to_string());
    let warnings = output.stderr.clone();
    (output.json(), warnings)
}

fn show(cluster: &ControlPlane, pod: &Value) {
    let (created, warnings) = dry_run(cluster, pod);
    println!("$ kubectl create --dry-run=server -f {}.yaml", pod["metadata"]["name"].as_str().unwrap_or_default());
    print!("{warnings}");
    let images = |pod: &Value| -> Vec<String> {
        let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        containers.iter().map(|container| container["image"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (before, after) in images(pod).iter().zip(images(&created)) {
        if *before == after {
            println!("  {before}\n  not rewritten");
        } else {
            println!("  {before}\n  → {after}");
        }
    }
    println!();
}
