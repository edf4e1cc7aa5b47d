//! Installed as the manifests are, pullthrough rewrites nothing until it is told to.

use std::fs;

use serde_json::{Value, json};

use super::{CACHE, rendered};
use crate::harness::installation::manifests;
use crate::scene::{PROBE, Scene, image, simple_pod};

/// The rules that the chart installs with these values of `cache`.
fn chart(cache: &Value) -> String {
    let objects = rendered(&json!({"cache": cache})).unwrap_or_else(|error| panic!("{error}"));
    objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn rewriting_begins_where_and_when_the_user_says_so() {
    const NAMESPACE: &str = "steps";
    let base = fs::read_to_string(manifests("base/rules.yaml")).unwrap();
    let scene = Scene::new(NAMESPACE, &base);
    let in_namespace =
        |namespace: &str| chart(&json!({"prefix": CACHE, "mode": "enforce", "namespaces": {"include": [namespace]}}));
    let steps = [
        ("kustomize, as it is", base.clone(), Err("would be pulled through cache.example.com/k8s")),
        ("Helm, as it is", chart(&json!({"prefix": CACHE})), Err("would be pulled through cache.corp.internal/k8s")),
        ("one namespace, another", in_namespace("other"), Err("would be pulled through cache.corp.internal/k8s")),
        ("one namespace, this", in_namespace(NAMESPACE), Ok("cache.corp.internal/k8s/probe:1")),
        ("all namespaces", chart(&json!({"prefix": CACHE, "mode": "enforce"})), Ok("cache.corp.internal/k8s/probe:1")),
        ("kustomize, enforcing", base.replace("mode: observe", "mode: enforce"), Ok("cache.example.com/k8s/probe:1")),
    ];
    for (step, rules, expected) in steps {
        if fs::read_to_string(scene.webhook.rules_file()).unwrap() != rules {
            scene.webhook.change_rules(&rules).unwrap_or_else(|error| panic!("{step}: {error:#}\n{rules}"));
        }
        let created = scene.create(&simple_pod("p", PROBE), &["--dry-run=server"]);
        let warnings = created.stderr.clone();
        let stored = image(&created.json()).to_owned();
        match expected {
            Ok(rewritten) => {
                assert_eq!(stored, rewritten, "{step}");
                assert!(warnings.contains("1 image is pulled through"), "{step}: {warnings}");
            }
            Err(warning) => {
                assert_eq!(stored, PROBE, "{step}");
                assert!(warnings.contains(warning), "{step}: {warnings}");
                assert_eq!(warnings.is_empty(), warning.is_empty(), "{step}: {warnings}");
            }
        }
    }
    scene
        .webhook
        .wait_for_log("rules loaded; all observe, no image is rewritten; next: to enforce a rule in one namespace");
}

/// The rule of the chart and that of kustomize are the built-in one.
#[test]
fn the_installed_rule_is_the_built_in_one() {
    let observing = |prefix: &str| {
        let config = pullthrough::config::Config::for_cache(prefix).unwrap();
        format!("{:?}", config.rules).replace("mode: Enforce", "mode: Observe")
    };
    let base = fs::read_to_string(manifests("base/rules.yaml")).unwrap();
    for (text, prefix) in [(chart(&json!({"prefix": CACHE})), CACHE), (base, "cache.example.com/k8s")] {
        let config = pullthrough::config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(format!("{:?}", config.rules), observing(prefix));
    }
}
