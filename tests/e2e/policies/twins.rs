//! A namespace with a webhook for Pods with one label, and the exported policy for Pods with another.

use std::process::Command;

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Client, ControlPlane, wait_for};
use crate::scene::{Scene, image, simple_pod};
use crate::{CLUSTER, DEADLINE};

/// The label that selects the webhook or the policy.
const WAY: &str = "way";
/// An image that all rules rewrite.
const PROBE: &str = "docker.io/probe/probe:1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Webhook,
    Policy,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Webhook, Self::Policy];

    fn label(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Policy => "policy",
        }
    }

    /// Sets the label and a name.
    pub fn mark(self, pod: &Value) -> Value {
        let mut pod = pod.clone();
        pod["metadata"]["labels"][WAY] = json!(self.label());
        pod["metadata"]["name"] =
            json!(format!("{}-{}", pod["metadata"]["name"].as_str().expect("a name"), self.label()));
        pod
    }
}

/// The Pod without the fields that differ between two creations, or the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(pub Result<Value, String>);

pub struct Twins {
    pub scene: Scene,
    client: Client,
    /// The standard error of the export.
    pub left_out: String,
}

impl Twins {
    /// Creates the namespace. Nothing is registered yet.
    pub fn new(namespace: &'static str, rules: &str) -> Self {
        Self::within(&CLUSTER, namespace, rules)
    }

    /// Creates the namespace in a cluster of the test.
    pub fn within(cluster: &'static ControlPlane, namespace: &'static str, rules: &str) -> Self {
        let scene = Scene::within(cluster, namespace, rules);
        Self { scene, client: cluster.client(), left_out: String::new() }
    }

    /// Registers both with the current rules, and waits until both have an effect.
    pub fn register(&mut self) {
        self.register_webhook();
        for object in self.policy(&[]) {
            self.scene.cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string()).ok();
        }
        self.wait();
    }

    /// Returns the exported policy and its binding, for the Pods of the policy.
    pub fn policy(&mut self, arguments: &[&str]) -> Vec<Value> {
        let (objects, left_out) = export(&self.scene, arguments);
        self.left_out = left_out;
        limited(&self.scene, objects, &json!({"matchLabels": {WAY: Way::Policy.label()}}))
    }

    /// Waits until both have an effect.
    pub fn wait(&self) {
        for way in Way::BOTH {
            self.wait_until(way, true);
        }
    }

    pub fn register_webhook(&self) {
        let mut configuration = self.scene.configuration(&[]);
        let webhook = &mut configuration["webhooks"][0];
        let by_label = json!({"key": WAY, "operator": "In", "values": [Way::Webhook.label()]});
        match webhook["objectSelector"]["matchExpressions"].as_array_mut() {
            Some(requirements) => requirements.push(by_label),
            None => webhook["objectSelector"] = json!({"matchExpressions": [by_label]}),
        }
        self.scene.cluster.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    }

    pub fn wait_until(&self, way: Way, rewrites: bool) {
        let probe = way.mark(&simple_pod("probe", PROBE));
        let waited = wait_for(DEADLINE, || {
            let created = self.client.dry_run(self.scene.namespace, &probe).expect("the probe is allowed");
            ((image(&created) != PROBE) == rewrites).then_some(())
        });
        waited.unwrap_or_else(|error| panic!("{way:?}: {error}"));
    }

    /// Creates a Pod without storing it.
    pub fn dry_run(&self, way: Way, pod: &Value) -> Outcome {
        self.send(way, Method::POST, "?dryRun=All", &way.mark(pod))
    }

    /// Replaces a stored Pod, or its subresource, without storing the result.
    pub fn dry_update(&self, way: Way, name: &str, subresource: &str, change: impl FnOnce(&mut Value)) -> Outcome {
        let name = format!("{name}-{}", way.label());
        let mut pod = self.client.get(&format!("{}/{name}", self.path())).expect("the stored Pod");
        change(&mut pod);
        self.send(way, Method::PUT, &format!("/{name}{subresource}?dryRun=All"), &pod)
    }

    pub fn create(&self, pod: &Value) {
        for way in Way::BOTH {
            self.client.post(&self.path(), &way.mark(pod)).expect("the Pod is created");
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.scene.namespace)
    }

    fn send(&self, way: Way, method: Method, rest: &str, pod: &Value) -> Outcome {
        let sent = self.client.request(method, &(self.path() + rest), pod.to_string().into_bytes());
        let without_way = |text: String| text.replace(&format!("-{}", way.label()), "");
        Outcome(match sent {
            Ok(mut pod) => {
                let metadata = pod["metadata"].as_object_mut().expect("metadata");
                for field in ["uid", "creationTimestamp", "managedFields", "labels", "name", "resourceVersion"] {
                    metadata.remove(field);
                }
                // Their order has no meaning.
                if let Some(secrets) = pod["spec"]["imagePullSecrets"].as_array_mut() {
                    secrets.sort_by_key(ToString::to_string);
                }
                Ok(pod)
            }
            Err(error) => Err(without_way(error.to_string())),
        })
    }
}

/// Returns the objects of `pullthrough export admission-policy` for the rules of a webhook, and its standard error.
pub fn export(scene: &Scene, arguments: &[&str]) -> (Vec<Value>, String) {
    try_export(scene, arguments).unwrap_or_else(|told| panic!("{told}"))
}

/// Returns the result of [`export`], or its error.
pub fn try_export(scene: &Scene, arguments: &[&str]) -> Result<(Vec<Value>, String), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["export", "admission-policy", "--rules"])
        .arg(scene.webhook.rules_file())
        .args(arguments)
        .output()
        .expect("run pullthrough");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    if output.status.success() {
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        Ok((serde_saphyr::from_multiple(&text).expect("YAML"), told))
    } else {
        Err(told)
    }
}

/// Applies policies and bindings to the Pods of one namespace that a selector selects.
pub fn bind(scene: &Scene, objects: Vec<Value>, selector: &Value) {
    for object in limited(scene, objects, selector) {
        scene.cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string()).ok();
    }
}

/// The end of the names of objects in static manifests.
pub const STATIC: &str = ".static.k8s.io";

/// Returns policies and bindings, under other names, for the Pods of one namespace that a selector selects.
fn limited(scene: &Scene, objects: Vec<Value>, selector: &Value) -> Vec<Value> {
    let name = |object: &Value| {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let (name, end) = name.strip_suffix(STATIC).map_or((name, ""), |name| (name, STATIC));
        json!(format!("{name}-{}{end}", scene.namespace))
    };
    let limited = objects.into_iter().map(|mut object| {
        object["metadata"]["name"] = name(&object);
        if object["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding")) {
            object["spec"]["policyName"] = object["metadata"]["name"].clone();
            object["spec"]["matchResources"] = json!({
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
                "objectSelector": selector,
            });
        }
        object
    });
    limited.collect()
}
