//! The objects that `manifests/` installs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ControlPlane;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const NAMESPACE: &str = "pullthrough";
pub const CHART: &str = "manifests/chart";
pub const WEBHOOK_CONFIGURATION: &str = "mutatingwebhookconfiguration/zz-pullthrough";

pub fn manifests(path: &str) -> PathBuf {
    Path::new(ROOT).join("manifests").join(path)
}

/// The objects that a folder or the chart renders to.
pub struct Objects(pub Vec<Value>);

impl Objects {
    pub fn parse(yaml: &str) -> Objects {
        Objects(serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}")))
    }

    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.find(kind).find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    pub fn find(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// Returns a List for kubectl, without objects of operators that the tests do not install.
    pub fn list(&self) -> Value {
        let of_operators = ["cert-manager.io/v1", "monitoring.coreos.com/v1"];
        let is_known = |object: &&Value| of_operators.iter().all(|version| object["apiVersion"] != *version);
        json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": self.0.iter().filter(is_known).collect::<Vec<_>>(),
        })
    }
}

/// Returns the entry of a list that has the name.
#[track_caller]
pub fn entry<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// Sets the `caBundle`, as pullthrough and cert-manager do.
pub fn publish(cluster: &ControlPlane, ca_bundle: &str) {
    let mut published = cluster.kubectl(&["get", WEBHOOK_CONFIGURATION, "-o", "json"]).json();
    published["webhooks"][0]["clientConfig"]["caBundle"] = ca_bundle.into();
    // `kubectl replace` would record the field as applied by kubectl; a raw request does not.
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-pullthrough";
    cluster.kubectl_with(&["replace", "--raw", path, "-f", "-"], &published.to_string()).ok();
}
