//! Warnings about the images of workload templates: never a patch, never a denial.

use pullthrough_engine::{AnswerOptions, Context, Outcome, PodKind, Policy, answer};
use serde_json::{Value, json};

use super::{Answered, KUBERNETES, ask, review};
use crate::{file, policy};

/// Returns the creation of an object of a kind, with this PodSpec.
fn workload(kind: &PodKind, spec: Value) -> Value {
    let spec = kind.pod_spec.iter().rev().fold(spec, |below, key| json!({*key: below}));
    let mut object = json!({"apiVersion": "v1", "kind": kind.kind, "metadata": {"name": "w"}});
    object.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
    let mut review = review("CREATE", object, Value::Null);
    review["request"]["resource"] = json!({"group": kind.groups[0], "version": "v1", "resource": kind.resource});
    review
}

fn deployment(spec: Value) -> Value {
    workload(PodKind::of("apps", "Deployment").expect("a kind"), spec)
}

fn with_settings(settings: &str, rules: &str) -> Policy {
    file(&format!("{settings}rules:\n{rules}"))
}

fn containers(images: &[&str]) -> Value {
    let container = |(n, image)| json!({"name": format!("c{n}"), "image": image});
    json!({"containers": images.iter().enumerate().map(container).collect::<Vec<_>>()})
}

/// Asserts that nothing but warnings is in the response.
fn warnings(answered: &Answered) -> Vec<&str> {
    for field in ["patch", "patchType", "status", "auditAnnotations"] {
        assert_eq!(answered.response.get(field), None, "{field}");
    }
    assert!(answered.reasons.is_empty(), "images of templates are not among those of Pods");
    let warnings = answered.warnings();
    let expected = if warnings.is_empty() { Outcome::Unchanged } else { Outcome::Warned };
    assert_eq!(answered.outcome, expected);
    warnings
}

#[test]
fn each_kind_names_its_field() {
    let policy = policy(KUBERNETES);
    let fields: Vec<String> = PodKind::with_template()
        .map(|kind| {
            let asked = workload(kind, containers(&["k8s.gcr.io/pause:3"]));
            let answered = ask(&policy, &asked);
            let [warning] = warnings(&answered)[..] else { panic!("{}: {:?}", kind.kind, answered.warnings()) };
            let end = ".containers[c0].image from k8s.gcr.io/pause:3 to cache.example.com/k8s/pause:3";
            let field = warning.strip_prefix("pullthrough: change ").and_then(|rest| rest.strip_suffix(end));
            format!("{} {}", kind.resource, field.unwrap_or_else(|| panic!("{warning}")))
        })
        .collect();
    let expected = [
        "deployments spec.template.spec",
        "statefulsets spec.template.spec",
        "daemonsets spec.template.spec",
        "replicasets spec.template.spec",
        "jobs spec.template.spec",
        "cronjobs spec.jobTemplate.spec.template.spec",
        "replicationcontrollers spec.template.spec",
        "podtemplates template.spec",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_warning_has_what_to_write() {
    let rules = format!(
        "{KUBERNETES}  - {{name: secret, from: [quay.io], to: cache.example.com/quay, imagePullSecrets: [one, two]}}
  - {{name: watched, from: [ghcr.io], to: cache.example.com/ghcr, mode: observe}}
  - {{name: absent, from: [gcr.io], to: cache.example.com/gcr, except: [gcr.io/a], namespaces: {{include: [other]}}}}\n"
    );
    let policy = policy(&rules);
    for (spec, expected) in [
        (
            json!({"initContainers": [{"name": "i", "image": "quay.io/a/b:1"}]}),
            "change spec.template.spec.initContainers[i].image from quay.io/a/b:1 to cache.example.com/quay/a/b:1, and add to \
             imagePullSecrets: one, two",
        ),
        (
            json!({"volumes": [{"name": "e", "emptyDir": {}}, {"name": "v", "image": {"reference": "k8s.gcr.io/data"}}]}),
            "change spec.template.spec.volumes[v].image.reference from k8s.gcr.io/data to cache.example.com/k8s/data",
        ),
        (
            containers(&["ghcr.io/x"]),
            "spec.template.spec.containers[c0].image ghcr.io/x would become cache.example.com/ghcr/x (rule watched observes)",
        ),
        // A name that is not valid could forge a line, or fill the warning.
        (
            json!({"containers": [{"name": "a\n[b]", "image": "k8s.gcr.io/x"}]}),
            "change spec.template.spec.containers[0].image from k8s.gcr.io/x to cache.example.com/k8s/x",
        ),
        (containers(&["gcr.io/b", "nginx", "auto", "cache.example.com/k8s/a", "no image"]), ""),
        (json!({"containers": [{"name": "c", "image": "k8s.gcr.io/x", "imagePullPolicy": "Never"}]}), ""),
        (json!({}), ""),
    ] {
        let answered = ask(&policy, &deployment(spec.clone()));
        let warnings = warnings(&answered);
        let expected = (!expected.is_empty()).then(|| format!("pullthrough: {expected}"));
        assert!(warnings.iter().copied().eq(expected.as_deref()), "{spec}: {warnings:?}");
    }
}

#[test]
fn warnings_are_few_and_names_in_them_are_whole() {
    let policy = policy(KUBERNETES);
    let images: Vec<String> = [10, 90, 190].map(|length| format!("k8s.gcr.io/{}", "a".repeat(length))).into();
    let result = |n: usize| images[n].replace("k8s.gcr.io", "cache.example.com/k8s");
    let field = |n: usize| format!("pullthrough: change spec.template.spec.containers[c{n}].image");
    let expected = [
        format!("{} from {} to {}", field(0), images[0], result(0)),
        format!("{} to {}", field(1), result(1)),
        format!("{} to the name that `pullthrough rewrite` writes", field(2)),
        "pullthrough: 2 more images match rules; `pullthrough rewrite` lists them".to_owned(),
    ];
    let images: Vec<&str> = images.iter().map(String::as_str).chain(["k8s.gcr.io/a", "k8s.gcr.io/b"]).collect();
    let answered = ask(&policy, &deployment(containers(&images)));
    assert_eq!(warnings(&answered), expected);
    assert!(expected.iter().all(|line| line.chars().count() <= 256));
    assert_eq!(warnings(&ask(&policy, &deployment(containers(&images[..4])))).len(), 4);
    let body = deployment(containers(&images)).to_string();
    let answer = answer(Context::of(&policy), body.as_bytes()).expect("a response");
    let counted: Vec<_> = answer.summary.warned.iter().map(|(rule, images)| (&*rule.name, *images)).collect();
    assert_eq!(counted, [("kubernetes", 5)]);
}

#[test]
fn only_users_who_can_change_the_manifest_are_warned() {
    let policy = policy(KUBERNETES);
    let asked = deployment(containers(&["k8s.gcr.io/a"]));
    let with = |pointer: &str, value: Value| {
        let mut asked = asked.clone();
        *asked.pointer_mut(pointer).expect("a field") = value;
        warnings(&ask(&policy, &asked)).len()
    };
    assert_eq!(with("/request/name", json!("w")), 1);
    for user in ["system:serviceaccount:kube-system:deployment-controller", "system:apiserver"] {
        assert_eq!(with("/request/userInfo/username", json!(user)), 0, "{user}");
    }
    assert_eq!(with("/request/operation", json!("DELETE")), 0);
    let deleted = json!({"name": "w", "deletionTimestamp": "2026-01-01T00:00:00Z"});
    assert_eq!(with("/request/object/metadata", deleted), 0);
    // As Pod Security does, an update warns of images that it does not change.
    let mut update = asked.clone();
    update["request"]["operation"] = json!("UPDATE");
    update["request"]["oldObject"] = update["request"]["object"].clone();
    assert_eq!(warnings(&ask(&policy, &update)).len(), 1);
    let silent = Context { options: AnswerOptions { warnings: false }, ..Context::of(&policy) };
    let body = asked.to_string();
    let answer = answer(silent, body.as_bytes()).expect("a response");
    assert!(!String::from_utf8_lossy(&answer.body).contains("warnings") && answer.summary.warned.is_empty());
}

#[test]
fn the_label_of_the_template_counts_and_not_that_of_the_workload() {
    let policy = with_settings("allowOptOut: true\n", KUBERNETES);
    let disabled = json!({"labels": {"pullthrough.dev/rewrite": "disabled"}});
    let mut asked = deployment(containers(&["k8s.gcr.io/a"]));
    asked["request"]["object"]["metadata"] = disabled.clone();
    assert_eq!(warnings(&ask(&policy, &asked)).len(), 1);
    asked["request"]["object"]["spec"]["template"]["metadata"] = disabled;
    assert_eq!(warnings(&ask(&policy, &asked)).len(), 0);
}

/// An image that names the cache has no failover, so such rules are left to the webhook.
#[test]
fn rules_that_depend_on_facts_have_no_warning() {
    let head = "caches: [{prefix: eu.example.com, health: {}}, {prefix: us.example.com, health: {}}]\n";
    let rules = "  - {name: hub, from: [docker.io], to: eu.example.com/hub, failover: [us.example.com/hub]}
  - {name: quay, from: [quay.io], to: eu.example.com/quay, whenCacheDown: upstream}
  - {name: ghcr, from: [ghcr.io], to: eu.example.com/ghcr, checkExists: {}}
  - {name: watched, from: [gcr.io], to: eu.example.com/gcr, failover: [us.example.com/gcr], mode: observe}
  - {name: plain, from: [k8s.gcr.io], to: eu.example.com/k8s}\n";
    let images = ["nginx", "quay.io/a", "ghcr.io/a", "gcr.io/a", "k8s.gcr.io/a"];
    let answered = ask(&with_settings(head, rules), &deployment(containers(&images)));
    let expected =
        "pullthrough: change spec.template.spec.containers[c4].image from k8s.gcr.io/a to eu.example.com/k8s/a";
    assert_eq!(warnings(&answered), [expected]);
}

#[test]
fn an_unreadable_template_is_admitted_whatever_the_rules_say() {
    let policy = with_settings("whenNotUnderstood: deny\n", KUBERNETES);
    for spec in [json!([]), json!({"template": {"spec": "a"}}), json!({"template": {"spec": {"containers": [1]}}})] {
        let mut asked = deployment(json!({}));
        asked["request"]["object"]["spec"] = spec.clone();
        let answered = ask(&policy, &asked);
        assert_eq!(answered.outcome, Outcome::NotUnderstood, "{spec}");
        let warning = answered.warnings()[0];
        assert!(warning.starts_with("pullthrough can't check the images of this object: it"), "{warning}");
    }
    for spec in [json!({}), json!({"template": null}), json!({"template": {}}), json!({"template": {"spec": null}})] {
        let mut asked = deployment(json!({}));
        asked["request"]["object"]["spec"] = spec.clone();
        assert_eq!(warnings(&ask(&policy, &asked)), [""; 0], "{spec}");
    }
    // Subresources, such as `scale`, have no template.
    let mut scale = deployment(containers(&["k8s.gcr.io/a"]));
    scale["request"]["subResource"] = json!("scale");
    assert_eq!(ask(&policy, &scale).outcome, Outcome::NotUnderstood);
}
