//! For any body: it is answered or rejected. A patch applies to its object. A request is denied only if it creates or updates a
//! Pod and the rules say so.
#![no_main]

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use libfuzzer_sys::fuzz_target;
use pullthrough_engine::config;
use pullthrough_engine::{AnswerOptions, Context, MAX_PATCH_BYTES, Operation, Outcome, Policy, Resource, answer};
use serde_json::Value;

const RULES: &str = "
rules:
  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s, imagePullSecrets: [one]}
  - {name: hub, from: [docker.io], to: cache.example.com/hub, except: [docker.io/library/busybox]}
  - {name: gitlab, pattern: 'registry\\.gitlab\\.com/([^/]+)/(.+)', to: 'cache.example.com/gitlab-$1/$2'}
  - {name: ecr, from: [public.ecr.aws], to: cache.example.com/ecr, mode: observe}
";

/// One policy for each combination of settings in a rules file.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let head = |bits: u8| {
        let is = |bit: u8| bits & bit != 0;
        let when = if is(4) { "deny" } else { "allow" };
        format!(
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nallowOptOut: {}\nrecordOriginals: {}\nwhenNotUnderstood: {when}{RULES}",
            is(1),
            is(2)
        )
    };
    (0..8).map(|bits| Policy::from(config::parse("rules.yaml", &head(bits)).expect("valid rules"))).collect()
});

const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];
const RESOURCES: [(&str, &str); 4] =
    [("pods", ""), ("pods", "ephemeralcontainers"), ("pods", "status"), ("secrets", "")];

// The first byte selects the settings, the second the request around the objects. Or the body is used without change.
fuzz_target!(|input: (u8, u8, &str, &str)| {
    let (settings, request, object, old_object) = input;
    let policy = &POLICIES[usize::from(settings & 7)];
    let options = AnswerOptions { warnings: settings & 8 == 0 };
    let context = Context { options, ..Context::of(policy) };
    let operation = OPERATIONS[usize::from(request & 3)];
    let (resource, subresource) = RESOURCES[usize::from(request >> 2 & 3)];
    let body = match request & 16 {
        0 => object.to_owned(),
        _ => format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","resource":{{"group":"","resource":"{resource}"}},
            "subResource":"{subresource}","operation":"{operation}","userInfo":{{"username":"jane"}},"object":{object},"oldObject":{old_object}}}}}"#
        ),
    };
    let Ok(answer) = answer(context, body.as_bytes()) else { return };
    let review: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let summary = answer.summary;
    assert_eq!(review["response"]["allowed"], summary.outcome != Outcome::Denied);
    if summary.outcome == Outcome::Denied {
        assert!(settings & 4 != 0);
        assert!(matches!(summary.operation, Operation::Create | Operation::Update));
        assert!(matches!(summary.resource, Resource::Pods | Resource::PodsEphemeralContainers));
    }
    let Some(patch) = review["response"].get("patch") else { return };
    let patch = BASE64_STANDARD.decode(patch.as_str().expect("a string")).expect("base64");
    assert!(patch.len() <= MAX_PATCH_BYTES);
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON patch");
    // The body has something that this crate does not read, such as a number that is too large. The engine skips it.
    let Ok(mut review) = serde_json::from_str::<Value>(&body) else { return };
    json_patch::patch(&mut review["request"]["object"], &patch).expect("the patch applies");
});
