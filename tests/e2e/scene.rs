//! A namespace with a webhook for its Pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{ControlPlane, Kubectl, Output, Webhook, wait_for};
use crate::{CLUSTER, DEADLINE};

/// The cache of the rules below.
pub const CACHE: &str = "cache.example.com/k8s";
/// An image that all rules of these tests rewrite.
pub const PROBE: &str = "registry.k8s.io/probe:1";

pub const KUBERNETES: &str = "  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}\n";

pub struct Scene {
    pub cluster: &'static ControlPlane,
    pub namespace: &'static str,
    pub webhook: Webhook,
}

/// Returns a rules file with these settings and entries of `rules`.
pub fn rules(head: &str, entries: &str) -> String {
    format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{head}rules:\n{entries}")
}

impl Scene {
    /// Creates a namespace, and registers a webhook with the output of `pullthrough export webhook`.
    pub fn new(namespace: &'static str, rules: &str) -> Self {
        let scene = Self::unregistered(namespace, rules);
        scene.register(&[]);
        scene
    }

    pub fn unregistered(namespace: &'static str, rules: &str) -> Self {
        Self::within(&CLUSTER, namespace, rules)
    }

    /// Creates the namespace in a cluster of the test.
    pub fn within(cluster: &'static ControlPlane, namespace: &'static str, rules: &str) -> Self {
        cluster.create_namespace(namespace);
        let webhook = Webhook::start(rules).unwrap_or_else(|error| panic!("{error:#}"));
        Self { cluster, namespace, webhook }
    }

    /// Returns the exported configuration, limited to this namespace.
    pub fn configuration(&self, arguments: &[&str]) -> Value {
        let mut configuration = self.webhook.configuration(arguments).unwrap_or_else(|error| panic!("{error:#}"));
        configuration["metadata"]["name"] = json!(format!("zz-pullthrough-{}", self.namespace));
        let own = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [self.namespace]});
        for webhook in configuration["webhooks"].as_array_mut().expect("a list of webhooks") {
            let selector = &mut webhook["namespaceSelector"]["matchExpressions"];
            selector.as_array_mut().expect("a list of requirements").push(own.clone());
        }
        configuration
    }

    /// Registers the webhook with these arguments of `export webhook`, and waits until the API server calls it.
    pub fn register(&self, arguments: &[&str]) {
        self.register_as(&self.configuration(arguments));
    }

    pub fn register_as(&self, configuration: &Value) {
        self.cluster.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
        self.wait_until_called();
    }

    pub fn wait_until_called(&self) {
        let probe = pod("probe", json!({"containers": [{"name": "probe", "image": PROBE}]}));
        let called = wait_for(DEADLINE, || {
            let asked = self.asked();
            self.create(&probe, &["--dry-run=server"]).ok();
            (self.asked() > asked).then_some(())
        });
        called.expect("the API server calls the webhook");
    }

    /// Returns the number of admission requests that the webhook has answered.
    pub fn asked(&self) -> f64 {
        self.sum("pullthrough_admission_requests_total{")
    }

    /// Returns the sum of the series that start with `prefix`.
    pub fn sum(&self, prefix: &str) -> f64 {
        let metrics = self.webhook.metrics().unwrap_or_else(|error| panic!("{error:#}"));
        metrics.iter().filter(|(series, _)| series.starts_with(prefix)).map(|(_, value)| value).sum()
    }

    /// Returns the number of images not rewritten for a reason, in dry runs and others.
    pub fn kept(&self, reason: &str) -> f64 {
        ["false", "true"]
            .map(|dry_run| {
                self.webhook.metric(&format!(
                    "pullthrough_images_not_rewritten_total{{dry_run=\"{dry_run}\",reason=\"{reason}\"}}"
                ))
            })
            .iter()
            .sum()
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.cluster.kubectl(&[&["--namespace", self.namespace], arguments].concat())
    }

    /// Creates a Pod as `dev`, whose kubectl prints warnings.
    pub fn create(&self, pod: &Value, arguments: &[&str]) -> Output {
        self.create_as(self.cluster.dev(), pod, arguments)
    }

    pub fn create_as(&self, user: &Kubectl, pod: &Value, arguments: &[&str]) -> Output {
        let create = ["--namespace", self.namespace, "create", "-o", "json", "-f", "-"];
        user.run_with(&[&create, arguments].concat(), &pod.to_string())
    }

    pub fn get(&self, pod: &str) -> Value {
        self.kubectl(&["get", "pod", pod, "-o", "json"]).json()
    }

    /// Returns the decisions in the audit log for requests on a Pod, oldest first.
    pub fn audited(&self, pod: &str, verb: &str) -> Vec<BTreeMap<String, Value>> {
        let events = self.cluster.audit_events();
        let of_pod = events.iter().filter(|event| {
            let object = &event["objectRef"];
            event["verb"] == verb
                && object["namespace"] == self.namespace
                && object["resource"] == "pods"
                && object["name"] == pod
        });
        let decisions = of_pod.map(|event| {
            let annotations = event["annotations"].as_object().cloned().unwrap_or_default();
            let ours = annotations.into_iter().filter(|(key, _)| key.starts_with("rewrite.pullthrough.dev/decisions-"));
            ours.map(|(key, value)| (key, serde_json::from_str(value.as_str().expect("a string")).expect("JSON")))
                .collect()
        });
        decisions.collect()
    }
}

pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// Returns a Pod of one container with an image.
pub fn simple_pod(name: &str, image: &str) -> Value {
    pod(name, json!({"containers": [{"name": "c", "image": image}]}))
}

/// Returns the image of the first container.
pub fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().expect("an image")
}
