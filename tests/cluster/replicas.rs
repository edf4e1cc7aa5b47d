//! The Pods of the webhook's Deployment.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::harness::{Client, wait_for};
use crate::installation::NAMESPACE;

/// The time for Pods to start, or to drain and end, one after the other.
const DEADLINE: Duration = Duration::from_secs(180);

pub struct Replicas<'a> {
    cluster: &'a Cluster,
    pub client: Client,
}

impl<'a> Replicas<'a> {
    pub fn of(cluster: &'a Cluster) -> Self {
        Self { cluster, client: cluster.control_plane.client() }
    }

    /// Returns all Pods, including those that are terminating.
    pub fn pods(&self) -> Vec<Value> {
        let pods = self.get("/api/v1", "pods");
        pods["items"].as_array().cloned().unwrap_or_default()
    }

    pub fn pod(&self, name: &str) -> Value {
        self.get("/api/v1", &format!("pods/{name}"))
    }

    /// Returns the metrics of a Pod; nothing if it does not answer.
    pub fn metrics(&self, pod: &str) -> String {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        self.cluster.kubectl(&["get", "--raw", &path]).stdout
    }

    pub fn ready_count(&self) -> usize {
        self.pods().iter().filter(|pod| is_ready(pod)).count()
    }

    /// Returns whether the Service sends requests to the Pod.
    pub fn is_endpoint(&self, pod: &str) -> bool {
        let slices = self.get("/apis/discovery.k8s.io/v1", "endpointslices");
        let slices = slices["items"].as_array().into_iter().flatten();
        let mut endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints.any(|endpoint| endpoint["targetRef"]["name"] == pod && endpoint["conditions"]["ready"] == true)
    }

    pub fn restart(&self) {
        self.kubectl(&["rollout", "restart", "deployment/pullthrough"]);
    }

    pub fn scale(&self, count: usize) {
        self.kubectl(&["scale", "deployment/pullthrough", &format!("--replicas={count}")]);
    }

    /// Waits until `count` Pods of the current template are ready, and no others exist.
    pub fn wait_until_settled(&self, count: usize) {
        let settled = wait_for(DEADLINE, || {
            let deployment = self.get("/apis/apps/v1", "deployments/pullthrough");
            let (status, generation) = (&deployment["status"], &deployment["metadata"]["generation"]);
            let is = |field: &str| status[field].as_u64().unwrap_or_default() == count as u64;
            let done = status["observedGeneration"] == *generation
                && ["replicas", "updatedReplicas", "readyReplicas"].into_iter().all(is);
            (done && self.pods().len() == count && self.ready_count() == count).then_some(())
        });
        settled.unwrap_or_else(|error| panic!("{count} replicas: {error:#}"));
    }

    fn get(&self, group: &str, what: &str) -> Value {
        let path = format!("{group}/namespaces/{NAMESPACE}/{what}");
        self.client.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn kubectl(&self, arguments: &[&str]) {
        self.cluster.kubectl(&[&["--namespace", NAMESPACE], arguments].concat()).ok();
    }
}

pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a name")
}

/// Returns whether a Pod is ready and not terminating.
pub fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}
