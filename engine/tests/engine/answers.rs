//! From the bytes of an AdmissionReview to the bytes of the response.

mod any;
mod templates;
mod warnings;

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use pullthrough_engine::{Context, MAX_IMAGES, Operation, Outcome, Policy, Reason, Resource, answer};
use serde_json::{Value, json};

use crate::{file, policy};

const KUBERNETES: &str = "  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}\n";

fn review(operation: &str, object: Value, old_object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "6865b445-bca3-4c70-af5c-369df42f5614",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "p",
            "namespace": "default",
            "operation": operation,
            "userInfo": {"username": "jane"},
            "object": object,
            "oldObject": old_object,
            "dryRun": false,
        },
    })
}

fn create(object: Value) -> Value {
    review("CREATE", object, Value::Null)
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

/// The parsed response.
struct Answered {
    response: Value,
    outcome: Outcome,
    reasons: Vec<Option<Reason>>,
}

impl Answered {
    fn patch(&self) -> Vec<Value> {
        match self.response.get("patch") {
            None => Vec::new(),
            Some(patch) => {
                assert_eq!(self.response["patchType"], "JSONPatch");
                let patch = BASE64_STANDARD.decode(patch.as_str().expect("a string")).expect("base64");
                serde_json::from_slice(&patch).expect("a JSON array")
            }
        }
    }

    /// Applies the patch to the object, as the API server does.
    fn apply(&self, mut object: Value) -> Value {
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(self.patch())).expect("a JSON patch");
        json_patch::patch(&mut object, &patch).expect("the patch applies");
        object
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings = self.response.get("warnings").and_then(Value::as_array);
        warnings.into_iter().flatten().map(|warning| warning.as_str().expect("a string")).collect()
    }

    fn decisions(&self) -> (String, Value) {
        let annotations: BTreeMap<String, String> =
            serde_json::from_value(self.response["auditAnnotations"].clone()).expect("audit annotations");
        let (key, value) = annotations.into_iter().next().expect("one annotation");
        (key, serde_json::from_str(&value).expect("JSON"))
    }
}

fn ask_bytes(policy: &Policy, body: &[u8]) -> Result<Answered, String> {
    let answer = answer(Context::of(policy), body).map_err(|error| error.to_string())?;
    let review: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    let response = review["response"].clone();
    assert_eq!(response["allowed"], true, "the Pod must be allowed");
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
    let reasons = answer.summary.images.iter().map(|image| image.decision.reason()).collect();
    Ok(Answered { response, outcome: answer.summary.outcome, reasons })
}

fn ask(policy: &Policy, review: &Value) -> Answered {
    ask_bytes(policy, review.to_string().as_bytes()).expect("a response")
}

fn recorded(name: &str) -> Value {
    let path = format!("{}/../tests/data/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("a recorded review")).expect("JSON")
}

/// Adds to `found` the JSON pointer of every string of `after` that differs from `before`.
fn changes(before: &Value, after: &Value, pointer: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let child = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                changes(&child(before), &child(after), &format!("{pointer}/{key}"), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                changes(before, after, &format!("{pointer}/{index}"), found);
            }
        }
        _ if before != after => found.push(pointer.to_owned()),
        _ => {}
    }
}

#[test]
fn recorded_reviews_change_in_their_images_alone() {
    let policy = policy(KUBERNETES);
    for (name, expected) in [
        ("a-one", vec!["/spec/containers/0/image"]),
        ("b-realistic", vec!["/spec/containers/0/image", "/spec/containers/1/image", "/spec/initContainers/0/image"]),
        ("c-none", vec![]),
        ("e-ephemeral", vec!["/spec/ephemeralContainers/0/image"]),
    ] {
        let review = recorded(name);
        let answered = ask(&policy, &review);
        assert_eq!(answered.response["uid"], review["request"]["uid"]);
        assert_eq!(answered.outcome, if expected.is_empty() { Outcome::Unchanged } else { Outcome::Patched });
        let object = review["request"]["object"].clone();
        let mut found = Vec::new();
        changes(&object, &answered.apply(object.clone()), "", &mut found);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn images_are_found_at_all_four_kinds_of_place() {
    let image = "registry.k8s.io/pause";
    let object = pod(json!({
        "initContainers": [{"name": "i", "image": image, "restartPolicy": "Always"}],
        "containers": [{"name": "c", "image": image}, {"name": "never", "image": image, "imagePullPolicy": "Never"}],
        "ephemeralContainers": [{"name": "e", "image": image}],
        "volumes": [
            {"name": "v", "image": {"reference": image}},
            {"name": "never", "image": {"reference": image, "pullPolicy": "Never"}},
            {"name": "other", "emptyDir": {}},
        ],
    }));
    let answered = ask(&policy(KUBERNETES), &create(object.clone()));
    let after = answered.apply(object);
    let rewritten = "cache.example.com/k8s/pause";
    assert_eq!(after["spec"]["initContainers"][0]["image"], rewritten);
    assert_eq!(after["spec"]["containers"][0]["image"], rewritten);
    assert_eq!(after["spec"]["containers"][1]["image"], image);
    assert_eq!(after["spec"]["ephemeralContainers"][0]["image"], rewritten);
    assert_eq!(after["spec"]["volumes"][0]["image"]["reference"], rewritten);
    assert_eq!(after["spec"]["volumes"][1]["image"]["reference"], image);
    let (key, decisions) = answered.decisions();
    assert!(key.len() <= 63, "{key} must be the name part of a qualified name");
    assert_eq!(decisions["containers/c"], json!({"from": image, "to": rewritten, "rule": "kubernetes"}));
    assert_eq!(decisions["volumes/never"], json!({"reason": "pull_never"}));
}

#[test]
fn a_pod_is_not_rewritten_for_what_it_is() {
    let spec = json!({"containers": [{"name": "c", "image": "registry.k8s.io/pause"}]});
    let with = |metadata: Value| json!({"metadata": metadata, "spec": spec});
    let opt_out = json!({"labels": {"pullthrough.dev/rewrite": "disabled"}});
    let mirror = json!({"annotations": {"kubernetes.io/config.mirror": "hash"}});
    let all = json!({
        "labels": opt_out["labels"],
        "annotations": mirror["annotations"],
        "deletionTimestamp": "2026-11-21T05:47:46Z",
    });
    let strict = policy(KUBERNETES);
    let lenient = file(&format!("allowOptOut: true\nrules:\n{KUBERNETES}"));
    for (policy, metadata, reason) in [
        (&strict, json!({}), None),
        (&strict, opt_out.clone(), None),
        (&lenient, opt_out, Some(Reason::OptedOut)),
        (&lenient, json!({"labels": {"pullthrough.dev/rewrite": "enabled"}}), None),
        (&strict, mirror, Some(Reason::MirrorPod)),
        (&lenient, all, Some(Reason::Deleting)),
    ] {
        let answered = ask(policy, &create(with(metadata.clone())));
        assert_eq!(answered.reasons, [reason], "{metadata}");
        assert_eq!(answered.patch().is_empty(), reason.is_some());
    }
}

#[test]
fn an_update_touches_only_what_differs() {
    let policy = policy(KUBERNETES);
    let before = pod(json!({
        "containers": [{"name": "a", "image": "registry.k8s.io/a:1"}, {"name": "b", "image": "registry.k8s.io/b:1"}],
        "volumes": [{"name": "v", "image": {"reference": "cache.example.com/k8s/v:1"}}],
    }));
    let mut after = before.clone();
    after["metadata"]["labels"] = json!({"x": "y"});
    let answered = ask(&policy, &review("UPDATE", after.clone(), before.clone()));
    assert_eq!(answered.reasons, [Some(Reason::Unchanged); 3]);
    assert_eq!(answered.outcome, Outcome::Unchanged);

    after["spec"]["containers"][1]["image"] = json!("registry.k8s.io/b:2");
    after["spec"]["volumes"][0]["image"]["reference"] = json!("registry.k8s.io/v:1");
    let result = ask(&policy, &review("UPDATE", after.clone(), before)).apply(after);
    assert_eq!(result["spec"]["containers"][0]["image"], "registry.k8s.io/a:1");
    assert_eq!(result["spec"]["containers"][1]["image"], "cache.example.com/k8s/b:2");
    assert_eq!(result["spec"]["volumes"][0]["image"]["reference"], "cache.example.com/k8s/v:1");
}

#[test]
fn the_request_says_what_is_asked_and_not_the_object() {
    let policy = policy(KUBERNETES);
    let spec = json!({
        "containers": [{"name": "c", "image": "registry.k8s.io/c"}],
        "ephemeralContainers": [{"name": "e", "image": "registry.k8s.io/e"}],
    });
    let lies = json!({"apiVersion": "v7", "kind": "Secret", "metadata": {"namespace": "elsewhere"}, "spec": spec});
    for (resource, subresource, operation, patches, outcome) in [
        ("pods", Value::Null, "CREATE", 2, Outcome::Patched),
        ("pods", json!("ephemeralcontainers"), "UPDATE", 1, Outcome::Patched),
        ("pods", json!("ephemeralcontainers"), "CREATE", 0, Outcome::Unchanged),
        ("pods", json!("status"), "UPDATE", 0, Outcome::Unchanged),
        ("pods", Value::Null, "DELETE", 0, Outcome::Unchanged),
        ("pods", json!("exec"), "CONNECT", 0, Outcome::Unchanged),
        ("deployments", Value::Null, "CREATE", 0, Outcome::NotUnderstood),
    ] {
        let mut review = review(operation, lies.clone(), Value::Null);
        review["request"]["resource"]["resource"] = json!(resource);
        review["request"]["subResource"] = subresource.clone();
        let answered = ask(&policy, &review);
        assert_eq!(answered.patch().len(), patches, "{resource}/{subresource} {operation}");
        assert_eq!(answered.outcome, outcome, "{resource}/{subresource} {operation}");
    }
}

#[test]
fn pull_secrets_and_originals_are_added_beside_what_is_there() {
    let policy = file(
        "recordOriginals: true\nrules:\n  - {name: hub, from: [docker.io], to: c.io/hub, imagePullSecrets: [one, two]}\n  \
         - {name: quay, from: [quay.io], to: c.io/quay, imagePullSecrets: [two, three]}\n",
    );
    let spec = |secrets: Value| {
        let mut spec = json!({"containers": [{"name": "c", "image": "nginx"}], "initContainers": [{"name": "i", "image": "quay.io/x"}]});
        if !secrets.is_null() {
            spec["imagePullSecrets"] = secrets;
        }
        spec
    };
    let names = |object: &Value| {
        let secrets = object["spec"]["imagePullSecrets"].as_array().cloned().unwrap_or_default();
        secrets.iter().map(|secret| secret["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let both = ["two", "three", "one"];
    for (present, expected) in [
        (Value::Null, both.to_vec()),
        (json!([]), both.to_vec()),
        (json!([{"name": "mine"}, {"name": "three"}]), vec!["mine", "three", "two", "one"]),
    ] {
        for annotations in [Value::Null, json!({}), json!({"a/b~c": "kept"})] {
            let mut object = pod(spec(present.clone()));
            if !annotations.is_null() {
                object["metadata"]["annotations"] = annotations.clone();
            }
            let after = ask(&policy, &create(object.clone())).apply(object);
            assert_eq!(names(&after), expected);
            let annotations_after = &after["metadata"]["annotations"];
            assert_eq!(annotations_after.get("a/b~c"), annotations.get("a/b~c"));
            let originals: Value = serde_json::from_str(
                annotations_after["pullthrough.dev/original-images"].as_str().expect("an annotation"),
            )
            .expect("JSON");
            assert_eq!(originals, json!({"containers/c": "nginx", "initContainers/i": "quay.io/x"}));

            // Reinvocation after another webhook has added a container.
            let mut again = after.clone();
            again["spec"]["containers"]
                .as_array_mut()
                .expect("a list")
                .push(json!({"name": "sidecar", "image": "envoy"}));
            let reinvoked = ask(&policy, &create(again.clone())).apply(again);
            assert_eq!(names(&reinvoked), expected);
            let originals =
                reinvoked["metadata"]["annotations"]["pullthrough.dev/original-images"].as_str().expect("a string");
            assert_eq!(
                originals,
                r#"{"containers/c":"nginx","containers/sidecar":"envoy","initContainers/i":"quay.io/x"}"#
            );
        }
    }
    let bare = json!({"spec": spec(Value::Null)});
    let after = ask(&policy, &create(bare.clone())).apply(bare);
    assert!(after["metadata"]["annotations"]["pullthrough.dev/original-images"].is_string());

    let object = pod(spec(Value::Null));
    let updated = ask(&policy, &review("UPDATE", object.clone(), Value::Null)).apply(object);
    assert!(
        names(&updated).is_empty() && updated["metadata"].get("annotations").is_none(),
        "rewritten on another operation than CREATE"
    );
}

#[test]
fn an_observing_rule_changes_nothing() {
    let policy = file(
        "recordOriginals: true\nrules:\n  - {name: hub, from: [docker.io], to: c.io, mode: observe, imagePullSecrets: [s]}\n",
    );
    let answered = ask(&policy, &create(pod(json!({"containers": [{"name": "c", "image": "nginx"}]}))));
    assert_eq!(
        (answered.outcome, answered.reasons.as_slice()),
        (Outcome::Unchanged, [Some(Reason::Observed)].as_slice())
    );
    assert!(answered.patch().is_empty());
    assert_eq!(answered.warnings(), ["pullthrough: 1 image would be pulled through c.io (rule hub)"]);
    assert_eq!(
        answered.decisions().1["containers/c"],
        json!({"from": "nginx", "reason": "observed", "rule": "hub", "would_be": "c.io/library/nginx"})
    );
}

#[test]
fn what_an_observing_rule_would_do_has_a_bounded_size() {
    let policy = file("rules:\n  - {name: hub, from: [docker.io], to: c.io, mode: observe}\n");
    let containers: Vec<Value> =
        (0..2000).map(|n| json!({"name": format!("c{n}"), "image": "a/".repeat(60) + "b"})).collect();
    let body = create(pod(json!({"containers": containers}))).to_string();
    let answer = answer(Context::of(&policy), body.as_bytes()).expect("an answer");
    let names = answer.summary.images.iter().filter_map(|image| image.decision.would_be());
    let bytes: usize = names.map(str::len).sum();
    assert!((60 << 10..=64 << 10).contains(&bytes), "{bytes}");
    let reasons = answer.summary.images.iter().map(|image| image.decision.reason());
    assert!(reasons.clone().count() == 2000 && reasons.clone().all(|reason| reason == Some(Reason::Observed)));
}

/// Each is allowed unchanged, with a warning.
#[test]
fn an_object_that_makes_no_sense_is_allowed() {
    let policy = policy(KUBERNETES);
    let container = r#"{"name":"c","image":"registry.k8s.io/c"}"#;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for object in [
        "null".to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        deep.clone(),
        format!(r#"{{"spec":[{container}]}}"#),
        format!(r#"{{"spec":{{"containers":{container}}}}}"#),
        r#"{"spec":{"containers":[["c","registry.k8s.io/c"]]}}"#.to_owned(),
        r#"{"spec":{"containers":[null]}}"#.to_owned(),
        r#"{"spec":{"containers":[{"image":7}]}}"#.to_owned(),
        // More containers than a Pod can have, and than the engine holds in memory.
        format!(r#"{{"spec":{{"containers":[{}{{}}]}}}}"#, "{},".repeat(MAX_IMAGES)),
        // The key is duplicate, so a JSON pointer would be ambiguous.
        format!(r#"{{"spec":{{"containers":[]}},"spec":{{"containers":[{container}]}}}}"#),
        format!(r#"{{"spec":{{"containers":[{container}],"containers":[{container}]}}}}"#),
        r#"{"spec":{"containers":[{"image":"registry.k8s.io/c","image":"registry.k8s.io/c"}]}}"#.to_owned(),
        r#"{"spec":{"containers":[{"image":"registry.k8s.io/c","\u0069mage":"registry.k8s.io/c"}]}}"#.to_owned(),
        format!(r#"{{"metadata":{{}},"metadata":{{}},"spec":{{"containers":[{container}]}}}}"#),
        r#"{"spec":{"volumes":[{"image":{"reference":"a","reference":"b"}}]}}"#.to_owned(),
    ] {
        let body = create(json!("OBJECT")).to_string().replace(r#""OBJECT""#, &object);
        let shown: String = object.chars().take(100).collect();
        let answered = ask_bytes(&policy, body.as_bytes()).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(answered.outcome, Outcome::NotUnderstood, "{shown}");
        assert!(answered.patch().is_empty());
        assert_eq!(answered.warnings().len(), 1, "{shown}");
    }
}

#[test]
fn a_pod_without_images_is_nothing_to_do() {
    let policy = policy(KUBERNETES);
    for object in [
        json!({}),
        pod(Value::Null),
        pod(json!({})),
        pod(json!({"containers": null, "initContainers": null, "ephemeralContainers": null, "volumes": null})),
        pod(
            json!({"containers": [{"name": "c"}, {"name": "d", "image": null}, {"name": "e", "image": ""}, {"name": "f", "image": "auto"}]}),
        ),
        pod(json!({"containers": [], "volumes": [{"name": "v", "image": {}}]})),
    ] {
        let answered = ask(&policy, &create(object.clone()));
        assert_eq!(answered.outcome, Outcome::Unchanged, "{object}");
        assert!(answered.reasons.iter().all(|reason| *reason == Some(Reason::Placeholder)), "{object}");
    }
}

#[test]
fn what_is_not_a_review_is_rejected_with_a_reason() {
    let policy = policy(KUBERNETES);
    let whole = create(pod(json!({}))).to_string();
    let changed = |from: &str, to: &str| whole.replace(from, to).into_bytes();
    for (body, reason) in [
        (Vec::new(), "not an AdmissionReview in JSON: EOF"),
        (b"{".to_vec(), "EOF"),
        (whole.as_bytes()[..whole.len() - 1].to_vec(), "EOF"),
        (format!("{whole}x").into_bytes(), "trailing characters"),
        (b"[]".to_vec(), "expected an object"),
        ("[".repeat(100_000).into_bytes(), "expected an object"),
        (b"{}".to_vec(), "this webhook answers `AdmissionReview` of `admission.k8s.io/v1`"),
        (b"\xff{}".to_vec(), "not UTF-8"),
        (changed("admission.k8s.io/v1", "admission.k8s.io/v1beta1"), "`AdmissionReview` of `admission.k8s.io/v1beta1`"),
        (changed("AdmissionReview", "ConversionReview"), "`ConversionReview`"),
        (changed("\"request\"", "\"response\""), "no `request`"),
        (changed("\"uid\"", "\"id\""), "no `request.uid`"),
        (changed("\"userInfo\"", "\"uid\""), "duplicate key `uid`"),
    ] {
        match ask_bytes(&policy, &body) {
            Ok(_) => panic!("answered {}", String::from_utf8_lossy(&body)),
            Err(error) => assert!(error.contains(reason), "{error}"),
        }
    }
}

#[test]
fn a_summary_says_what_was_asked() {
    let policy = policy(KUBERNETES);
    let mut review = create(json!({"metadata": {"generateName": "web-"}, "spec": {"containers": []}}));
    review["request"]["dryRun"] = json!(true);
    review["request"]["name"] = json!("");
    let body = review.to_string();
    let summary = answer(Context::of(&policy), body.as_bytes()).expect("a response").summary;
    assert_eq!((summary.resource, summary.operation, summary.dry_run), (Resource::Pods, Operation::Create, true));
    assert_eq!((&*summary.name, &*summary.generate_name, &*summary.namespace), ("", "web-", "default"));

    review["request"]["object"]["metadata"]["name"] = json!("web-1");
    let body = review.to_string();
    let summary = answer(Context::of(&policy), body.as_bytes()).expect("a response").summary;
    assert_eq!((&*summary.name, &*summary.generate_name), ("web-1", ""));
}
