//! Inputs of the benchmarks: recorded reviews, a large review made of them, and rules files of any length.
#![allow(dead_code, reason = "each benchmark uses another part")]

use std::fmt::Write as _;

use serde_json::Value;

/// An AdmissionReview as the API server sends it.
#[derive(Debug, Clone)]
pub struct Review {
    pub name: &'static str,
    pub body: Vec<u8>,
}

macro_rules! recorded {
    ($name:literal) => {
        Review { name: $name, body: include_bytes!(concat!("../../../tests/data/reviews/", $name, ".json")).to_vec() }
    };
}

/// Returns a review with one container, which is rewritten; 1.9 KB.
pub fn one() -> Review {
    recorded!("a-one")
}

/// Returns a review of a Deployment's Pod with three containers and two init containers, three of them rewritten; 12 KB.
pub fn realistic() -> Review {
    recorded!("b-realistic")
}

/// Returns a review with one container, which is not rewritten; 2.2 KB.
pub fn none() -> Review {
    recorded!("c-none")
}

/// Returns an update that adds an ephemeral container, so it has `oldObject`; 4.2 KB.
pub fn ephemeral() -> Review {
    recorded!("e-ephemeral")
}

const LARGE_BYTES: usize = 1 << 20;
/// The bytes of one annotation. The API server accepts 256 KiB of annotations.
const LAST_APPLIED_BYTES: usize = 200 << 10;

/// Returns [`realistic`] with its containers, and their entries in `managedFields`, repeated under other names up to 1 MiB.
/// Of these, 200 KiB are an annotation with JSON in a string, as `kubectl apply` writes it. So there are hundreds of images, deep
/// objects with few keys, flat objects with hundreds of keys, and escapes.
pub fn large() -> Review {
    let Review { body, .. } = realistic();
    let mut review: Value = serde_json::from_slice(&body).expect("a recorded review");
    let object = &mut review["request"]["object"];
    let containers = object["spec"]["containers"].as_array().expect("containers").clone();
    let fields = |metadata: &mut Value| metadata["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"].take();
    let mut managed = fields(&mut object["metadata"]);

    let spec = Value::from(containers.clone()).to_string();
    let last_applied = spec.repeat(LAST_APPLIED_BYTES / spec.len());
    let mut size_bytes = body.len() + Value::from(last_applied.as_str()).to_string().len();
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = last_applied.into();

    for (copy, container) in containers.iter().cycle().enumerate() {
        if size_bytes >= LARGE_BYTES {
            break;
        }
        let name = container["name"].as_str().expect("a name");
        let entry = managed[key(name)].clone();
        let new_name = format!("{name}-{copy}");
        let mut container = container.clone();
        container["name"] = new_name.as_str().into();
        size_bytes += container.to_string().len() + entry.to_string().len() + key(&new_name).len();
        managed[key(&new_name)] = entry;
        object["spec"]["containers"].as_array_mut().expect("containers").push(container);
    }
    object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"] = managed;
    Review { name: "1 MiB", body: review.to_string().into_bytes() }
}

/// Returns the key of a container in `managedFields`.
fn key(name: &str) -> String {
    format!("k:{{\"name\":\"{name}\"}}")
}

const HEADER: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n";

/// Returns a file of `count` rules. The last one matches registry.k8s.io.
pub fn rules(count: usize) -> String {
    let mut text = HEADER.to_owned();
    for index in 1..count {
        let _ = write!(
            text,
            "- name: registry-{index}\n  from: [registry-{index}.example.com]\n  to: cache.example.com/registry-{index}\n"
        );
    }
    text + &kubernetes("cache.example.com")
}

/// Returns a file of the same rule with a failover. Both caches are probed each second.
pub fn failover(cache: &str, other: &str) -> String {
    let entry = |cache| format!("- {{prefix: '{cache}', health: {{interval: 1s, timeout: 1s}}}}\n");
    let caches = entry(cache) + &entry(other);
    format!("{HEADER}{}  failover: ['{other}/k8s']\ncaches:\n{caches}", kubernetes(cache))
}

fn kubernetes(cache: &str) -> String {
    let from = pullthrough_engine::config::KUBERNETES_REGISTRY.join(", ");
    format!("- name: kubernetes\n  from: [{from}]\n  to: '{cache}/k8s'\n")
}

/// Returns a file of one rule with `count` sources. The last one is registry.k8s.io.
pub fn sources(count: usize) -> String {
    let mut text = format!("{HEADER}- name: many\n  to: cache.example.com/k8s\n  from:\n");
    for index in 1..count {
        let _ = writeln!(text, "  - registry-{index}.example.com");
    }
    text + "  - registry.k8s.io\n"
}
