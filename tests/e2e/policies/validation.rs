//! The ValidatingAdmissionPolicy reports exactly the images that the engine rewrites.

use std::collections::BTreeMap;

use pullthrough::config;
use pullthrough::engine::{Decision, Policy, Question};
use serde_json::{Value, json};

use super::twins::{bind, export};
use super::{RULES, images};
use crate::harness::wait_for;
use crate::scene::{Scene, pod, rules, simple_pod};
use crate::{CLUSTER, DEADLINE};

/// Returns a scene with the exported policy in effect, and without a webhook.
fn guarded(namespace: &'static str, rules: &str, actions: &str) -> (Scene, String) {
    let scene = Scene::unregistered(namespace, rules);
    let (objects, left_out) = export(&scene, &[&format!("--action={actions}")]);
    bind(&scene, objects, &json!({}));
    (scene, left_out)
}

#[test]
fn it_denies_what_the_engine_rewrites_and_nothing_else() {
    let client = CLUSTER.client();
    let images = images();
    let (mut denied, mut allowed) = (0, 0);
    for (name, head, entries) in RULES {
        let text = rules(head, entries);
        let namespace = format!("denied-policies-{name}").leak();
        let policy = Policy::from(config::parse("rules.yaml", &text).expect("valid rules"));
        let (scene, left_out) = guarded(namespace, &text, "deny");
        let probe = simple_pod("probe", "docker.io/probe/probe:1");
        wait_for(DEADLINE, || client.dry_run(scene.namespace, &probe).is_err().then_some(()))
            .expect("the policy has an effect");
        for image in &images {
            let decision =
                policy.decide(Question { image, namespace, pull_never: false, previous: None, included_from: None });
            let expected = match &decision {
                Decision::Rewrite { rule, result, .. }
                    if !left_out.contains(&format!("omitted: rule `{}`", rule.name)) =>
                {
                    Some(format!("images that do not name the cache: containers/c is {image}, write {result}"))
                }
                _ => None,
            };
            match (client.dry_run(namespace, &simple_pod("p", image)), expected) {
                (Err(error), Some(expected)) => {
                    denied += 1;
                    assert!(format!("{error:#}").contains(&format!("{expected}\"")), "{name}: {image}: {error:#}");
                }
                (Ok(_), None) => allowed += 1,
                (outcome, expected) => panic!("{name}: {image}: {outcome:?}, but {expected:?}"),
            }
        }
    }
    println!("{denied} images denied, {allowed} allowed");
    assert!(denied > 1_000 && allowed > 1_000);
}

/// Images that an unavailable webhook did not rewrite are reported at every place, and stored unchanged.
#[test]
fn users_are_warned_and_the_audit_log_has_it() {
    let text = rules("", "  - {name: hub, from: [docker.io], to: cache.example.com/hub}\n");
    let (scene, _) = guarded("denied-told", &text, "warn,audit");
    let probe = simple_pod("probe", "nginx");
    let warned = || scene.create(&probe, &["--dry-run=server"]).stderr.contains("Warning:").then_some(());
    wait_for(DEADLINE, warned).expect("the policy has an effect");
    let spec = json!({
        "initContainers": [{"name": "i", "image": "busybox"}],
        "containers": [{"name": "a", "image": "quay.io/a"}, {"name": "b", "image": "nginx:1"}, {"name": "n", "image": "nginx", "imagePullPolicy": "Never"}],
    });
    let created = scene.create(&pod("p", spec.clone()), &[]);
    let message = "images that do not name the cache: initContainers/i is busybox, write cache.example.com/hub/library/busybox; \
                   containers/b is nginx:1, write cache.example.com/hub/library/nginx:1";
    assert!(created.stderr.contains(message), "{}", created.stderr);
    created.ok();
    let audited = || {
        let events = CLUSTER.audit_events();
        let event = events.iter().find(|event| {
            event["verb"] == "create"
                && event["objectRef"]["namespace"] == scene.namespace
                && event["objectRef"]["name"] == "p"
        })?;
        event["annotations"]["validation.policy.admission.k8s.io/validation_failure"].as_str().map(str::to_owned)
    };
    let audited = wait_for(DEADLINE, audited).expect("an audit annotation");
    let failures: Vec<BTreeMap<String, Value>> = serde_json::from_str(&audited).expect("JSON");
    assert_eq!(failures[0]["message"], message);

    // Images that are not rewritten, and those that the webhook has rewritten, are not reported.
    let labelled = scene.kubectl(&["label", "pod", "p", "x=y"]);
    assert_eq!(labelled.stderr, "");
    scene.kubectl(&["delete", "pod", "p", "--now"]).ok();
    scene.register(&[]);
    let created = scene.create(&pod("q", spec), &[]);
    assert!(!created.stderr.contains("do not name the cache"), "{}", created.stderr);
    created.ok();
}
