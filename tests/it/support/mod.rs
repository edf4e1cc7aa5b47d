//! Shared by the tests: a server process, a client, certificates, and load.

pub mod certificates;
pub mod client;
pub mod load;
pub mod process;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Returns the AdmissionReview of a Pod that is created, as the API server sends it.
pub fn review() -> Vec<u8> {
    review_of("pod-1", "registry.k8s.io/pause:3.10")
}

/// Returns the AdmissionReview of a Pod with one container.
pub fn review_of(name: &str, image: &str) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "f0a5ad2c-0000-4000-8000-000000000001",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "namespace": "default",
            "name": name,
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }))
    .unwrap()
}

/// Waits for a condition. Fails the test after 60 s: other work may keep processors and disk busy.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(what, Duration::from_secs(60), condition).await;
}

/// Waits for a condition that takes long.
pub async fn until_within(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "timeout: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
