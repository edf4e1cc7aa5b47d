//! The built-in catalogue: each path leads to an image, and declarations in the rules file take precedence.

use pullthrough::engine::Policy;
use pullthrough::manifest::{Catalogue, Known};
use serde_json::{Map, Value, json};

use super::{read, result, rules};

const IMAGE: &str = "k8s.gcr.io/a/b:v1";

fn catalogue() -> Vec<Value> {
    let text = include_str!("../../../src/manifest/catalogue.yaml");
    let mut file: Value = serde_saphyr::from_str(text).expect("YAML");
    file["manifests"].as_array_mut().map(std::mem::take).expect("a list")
}

fn known() -> Known {
    Known { catalogue: Catalogue::built_in().expect("a valid catalogue"), ..Known::default() }
}

fn policy() -> Policy {
    rules("rules: [{name: a, from: [k8s.gcr.io], to: c.io/x}]").into()
}

fn texts<'v>(entry: &'v Value, key: &str) -> Vec<&'v str> {
    entry[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns an object with this value at the end of a path, and nothing else.
fn object(path: &str, value: Value) -> Value {
    let Some((step, rest)) = first(path) else { return value };
    let (name, filter) = match step {
        Step::Name(name) => (name, None),
        Step::Anything => ("x".to_owned(), None),
        Step::Filter(name, value) => ("x".to_owned(), Some((name, value))),
    };
    let mut inner = object(rest, value);
    if let (Some((name, value)), Some(inner)) = (filter, inner.as_object_mut()) {
        inner.insert(name, value.into());
    }
    Value::Object(Map::from_iter([(name, inner)]))
}

enum Step {
    Name(String),
    Anything,
    Filter(String, String),
}

/// Returns the first step of a path, and the rest. Lists count as mappings, because `[*]` selects in both.
fn first(path: &str) -> Option<(Step, &str)> {
    if path.is_empty() {
        return None;
    }
    if let Some(rest) = path.strip_prefix(".*").or_else(|| path.strip_prefix("[*]")) {
        return Some((Step::Anything, rest));
    }
    if let Some(filter) = path.strip_prefix("[?@.") {
        let (filter, rest) = filter.split_once("']").expect("a filter");
        let (name, value) = filter.split_once(" == '").expect("a comparison");
        return Some((Step::Filter(name.to_owned(), value.to_owned()), rest));
    }
    if let Some(quoted) = path.strip_prefix("['") {
        let (name, rest) = quoted.split_once("']").expect("a quoted name");
        return Some((Step::Name(name.to_owned()), rest));
    }
    let name = path.trim_start_matches('.');
    let end = name.find(['.', '[']).unwrap_or(name.len());
    Some((Step::Name(name[..end].to_owned()), &name[end..]))
}

#[test]
fn every_path_leads_to_an_image_that_is_rewritten() {
    let (known, policy) = (known(), policy());
    let split = json!({"repository": "k8s.gcr.io/a/b", "tag": "v1"});
    let pod = json!({"containers": [{"image": IMAGE}]});
    let mut paths = 0;
    for entry in catalogue() {
        let values = [
            ("podSpecs", pod.clone()),
            ("images", json!(IMAGE)),
            ("qualifiedImages", json!(IMAGE)),
            ("splitImages", split.clone()),
            ("helmValues", json!({"image": split})),
            ("objects", json!({"apiVersion": "v1", "kind": "Pod", "spec": pod})),
        ];
        for (key, value) in values {
            for path in texts(&entry, key) {
                let mut document = object(path.trim_start_matches('$'), value.clone());
                let (mut file, group, kind) = ("a.yaml", &entry["group"], &entry["kind"]);
                if let (Some(group), Some(kind)) = (group.as_str(), kind.as_str()) {
                    document["apiVersion"] = json!(format!("{group}/v1"));
                    document["kind"] = json!(kind);
                }
                for key in texts(&entry, "keys") {
                    let fields = document.as_object_mut().expect("a mapping");
                    fields.entry(key).or_insert(json!({}));
                }
                if !entry["files"].is_null() {
                    file = "values.yaml";
                }
                let text = document.to_string();
                let manifest = read(file, &text, &known);
                let images: Vec<&str> = manifest.fields().iter().map(|field| field.image.as_str()).collect();
                assert_eq!(images, [IMAGE], "{path} of {entry}: {text}");
                let lookalikes = manifest.lookalikes();
                assert!(lookalikes.is_empty(), "{path} of {entry}: {lookalikes:?}");
                let written = manifest.write(|field| result(&policy, field));
                assert_eq!(written.text, text.replace("k8s.gcr.io", "c.io/x"), "{path}");
                paths += 1;
            }
        }
    }
    assert!(paths > 300, "{paths} paths");
}

/// A kind must not have two entries, or be defined by Kubernetes.
#[test]
fn each_kind_is_declared_once() {
    let mut kinds: Vec<(String, String)> = catalogue()
        .iter()
        .filter_map(|entry| Some((entry["group"].as_str()?.to_owned(), entry["kind"].as_str()?.to_owned())))
        .collect();
    kinds.sort();
    let count = kinds.len();
    kinds.dedup();
    assert_eq!(kinds.len(), count, "a kind has a duplicate entry");
    assert!(kinds.iter().all(|(group, _)| !["", "apps", "batch"].contains(&group.as_str())));
}

#[test]
fn flags_and_variables_of_operators_are_found() {
    let entry = &catalogue()[0];
    let flags = texts(entry, "args").into_iter().map(|flag| json!(format!("{flag}={IMAGE}")));
    let names = texts(entry, "env").into_iter();
    let env = names.map(|name| json!({"name": name.replace('*', "A"), "value": IMAGE}));
    let container = json!({"name": "a", "args": flags.collect::<Vec<_>>(), "env": env.collect::<Vec<_>>()});
    let count = container["args"].as_array().map_or(0, Vec::len) + container["env"].as_array().map_or(0, Vec::len);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}).to_string();
    let known = known();
    let manifest = read("a.yaml", &pod, &known);
    assert_eq!(manifest.fields().len(), count);
    let written = manifest.write(|field| result(&policy(), field));
    assert_eq!(written.text, pod.replace("k8s.gcr.io", "c.io/x"));
}

#[test]
fn the_rules_file_wins_for_a_kind_that_it_declares() {
    let text = "apiVersion: ray.io/v1\nkind: RayCluster\nspec: {autoscalerOptions: {image: k8s.gcr.io/a}, tool: k8s.gcr.io/b, otherImage: k8s.gcr.io/c}\n";
    let found = |known: &Known| {
        let manifest = read("a.yaml", text, known);
        let paths = |image: &str| image.trim_start_matches("k8s.gcr.io/").to_owned();
        let found: Vec<String> = manifest.fields().iter().map(|field| paths(&field.image)).collect();
        let mut reported: Vec<String> = manifest.lookalikes().iter().map(|field| paths(&field.image)).collect();
        reported.sort();
        (found.join(""), reported.join(""))
    };
    assert_eq!(found(&known()), ("a".to_owned(), "c".to_owned()));
    let declared = rules("rules: []\nmanifests: [{group: ray.io, kind: RayCluster, images: [$.spec.tool]}]").manifests;
    // The image that the catalogue would have found is reported.
    assert_eq!(found(&Known { declared: declared.clone(), ..known() }), ("b".to_owned(), "ac".to_owned()));
    assert_eq!(found(&Known { declared, ..Known::default() }), ("b".to_owned(), String::new()));
    assert_eq!(found(&Known::default()), (String::new(), "ac".to_owned()));
}

/// These values look like images, and are not.
#[test]
fn what_is_no_image_is_neither_found_nor_reported() {
    for text in [
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {volumes: [{name: a, rbd: {monitors: [a], image: foo}}]}\n",
        "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nspec: {image: ghcr.io/a/b}\n",
        "apiVersion: nvidia.com/v1\nkind: ClusterPolicy\nspec: {driver: {image: driver, version: v1}, other: {enabled: true}}\n",
    ] {
        let known = known();
        let manifest = read("a.yaml", text, &known);
        assert_eq!(manifest.fields().len(), 0, "{text}");
    }
}
