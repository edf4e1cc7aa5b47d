//! Warnings and audit annotations.

use pullthrough_engine::{AnswerOptions, Context, answer};
use serde_json::{Value, json};

use super::{KUBERNETES, ask, create, pod};
use crate::policy;

#[test]
fn people_are_warned_and_machines_are_not() {
    let long = "q".repeat(160);
    let policy = policy(&format!("{KUBERNETES}  - {{name: long, from: [quay.io], to: c.io/{long}}}\n"));
    let object = pod(json!({"containers": [
        {"name": "a", "image": "k8s.gcr.io/a"}, {"name": "b", "image": "registry.k8s.io/b"}, {"name": "c", "image": "quay.io/c"},
    ]}));
    let warned = ask(&policy, &create(object.clone()));
    assert_eq!(
        warned.warnings()[0],
        "pullthrough: 2 images are pulled through cache.example.com/k8s (rule kubernetes)"
    );
    assert_eq!(warned.warnings().len(), 2);
    for warning in warned.warnings() {
        assert!(warning.chars().count() <= 120 && !warning.contains(char::is_control), "{warning}");
    }
    for user in ["system:serviceaccount:a:b", "system:node:n"] {
        let mut review = create(object.clone());
        review["request"]["userInfo"]["username"] = json!(user);
        assert!(ask(&policy, &review).warnings().is_empty(), "{user}");
    }
    let body = create(object).to_string();
    let silent =
        answer(Context { options: AnswerOptions { warnings: false }, ..Context::of(&policy) }, body.as_bytes())
            .expect("a response");
    assert!(!String::from_utf8_lossy(&silent.body).contains("warnings"));
}

#[test]
fn a_warning_counts_the_images_of_a_rule_in_either_mode() {
    let rules: String = ["enforce", "observe", "observe", "enforce", "observe"]
        .iter()
        .enumerate()
        .map(|(n, mode)| format!("  - {{name: r{n}, from: [r{n}.io], to: c.io/r{n}, mode: {mode}}}\n"))
        .collect();
    let images = ["r0.io/a", "r1.io/a", "r1.io/b", "r2.io/a", "r3.io/a", "r4.io/a"];
    let containers: Vec<Value> =
        images.iter().enumerate().map(|(n, image)| json!({"name": format!("c{n}"), "image": image})).collect();
    let warned = ask(&policy(&rules), &create(pod(json!({"containers": containers}))));
    assert_eq!(
        warned.warnings(),
        [
            "pullthrough: 1 image is pulled through c.io/r0 (rule r0)",
            "pullthrough: 2 images would be pulled through c.io/r1 (rule r1)",
            "pullthrough: 1 image would be pulled through c.io/r2 (rule r2)",
            "pullthrough: 2 more rules match images",
        ]
    );
}

#[test]
fn two_rounds_have_two_audit_keys() {
    let policy = policy(KUBERNETES);
    let object = pod(json!({"containers": [{"name": "c", "image": "registry.k8s.io/c"}]}));
    let first = ask(&policy, &create(object.clone()));
    let second = ask(&policy, &create(first.apply(object)));
    assert_ne!(first.decisions().0, second.decisions().0);
    assert_eq!(second.decisions().1["containers/c"], json!({"reason": "already_cached"}));
}

#[test]
fn an_audit_annotation_has_a_bounded_size() {
    let containers: Vec<Value> =
        (0..2000).map(|n| json!({"name": format!("c{n}"), "image": "registry.k8s.io/c"})).collect();
    let answered = ask(&policy(KUBERNETES), &create(pod(json!({"containers": containers}))));
    let (_, decisions) = answered.decisions();
    let listed = decisions.as_object().expect("an object").len() - 1;
    assert_eq!(decisions["more"], 2000 - listed);
    assert!(decisions.to_string().len() < 17 << 10);
    assert_eq!(answered.patch().len(), 2000);
}
