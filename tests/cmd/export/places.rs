//! Exports and manifests cover every list and kind of the engine that has images.

use std::fmt::Write;

use pullthrough::engine::{Kustomize, List, PodKind};
use serde_json::{Value, json};

use crate::program::{file, pullthrough, pullthrough_with};

const CACHE: &str = "cache.example.com/quay";

/// Returns an object with one image, in this list of its PodSpec.
fn object(api_version: &str, kind: &PodKind, list: List) -> Value {
    let image = list.entries().image().iter().rev().fold(json!("quay.io/a/b:1"), |value, key| json!({*key: value}));
    let mut entry = json!({"name": "a"});
    entry.as_object_mut().expect("an object").extend(image.as_object().expect("an object").clone());
    let spec = json!({list.as_str(): [entry]});
    let mut object = kind.pod_spec.iter().rev().fold(spec, |value, key| json!({*key: value}));
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind.kind);
    object["metadata"] = json!({"name": "a"});
    object
}

fn rules() -> tempfile::NamedTempFile {
    let rule = format!("{{name: a, from: [quay.io], to: {CACHE}}}");
    file("rules.yaml", &format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: [{rule}]\n"))
}

#[test]
fn policies_and_conditions_look_at_every_list() {
    let rules = rules();
    for export in [
        "admission-policy --action rewrite",
        "admission-policy --action audit",
        "kyverno --kind MutatingPolicy",
        "kyverno --kind ClusterPolicy",
        "webhook --service a/b --skip-unaffected-pods",
    ] {
        let arguments: Vec<&str> = ["export"].into_iter().chain(export.split(' ')).collect();
        let rules = rules.path().display().to_string();
        let output = pullthrough(&[&arguments[..], &["--rules", &rules]].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        for list in List::ALL {
            assert!(
                text.contains(&format!("bject.spec.?{}.", list.as_str()))
                    || text.contains(&format!("bject.spec.{} ", list.as_str())),
                "{export}: {list:?}\n{text}"
            );
        }
    }
}

#[test]
fn manifests_of_every_kind_are_rewritten_in_every_list() {
    let mut manifests = String::new();
    let mut count = 0;
    for kind in PodKind::ALL {
        for group in kind.groups {
            let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
            for list in List::ALL {
                let _ = writeln!(manifests, "{}\n---", object(&api_version, kind, list));
                count += 1;
            }
        }
    }
    let rules = rules();
    let rules = rules.path().display().to_string();
    let output = pullthrough_with(&["rewrite", "--rules", &rules, "-"], &manifests);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!((text.matches(CACHE).count(), text.matches("quay.io").count()), (count, 0), "{text}");
}

#[test]
fn kustomize_renames_where_it_looks() {
    let rules = rules();
    let rules = rules.path().display().to_string();
    let pod = &PodKind::ALL[0];
    for list in List::ALL {
        let output = pullthrough_with(
            &["export", "kustomize", "--strict", "--rules", &rules, "-"],
            &object("v1", pod, list).to_string(),
        );
        let told = String::from_utf8(output.stderr).expect("text");
        let is_reached = list.kustomize() != Kustomize::Nowhere;
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains(CACHE), is_reached, "{list:?}: {told}");
        assert_eq!(output.status.code(), Some(i32::from(!is_reached)), "{list:?}: {told}");
    }
}
