//! Whatever the body, it is answered or refused; and a patch applies to the object that it was made for.
#![no_main]

use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use libfuzzer_sys::fuzz_target;
use pullthrough::config;
use pullthrough::engine::{Options, Policy, answer};
use serde_json::Value;

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
allowOptOut: true
recordOriginals: true
rules:
  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s, imagePullSecrets: [one]}
  - {name: hub, from: [docker.io], to: cache.example.com/hub, except: [docker.io/library/busybox]}
  - {name: gitlab, pattern: 'registry\\.gitlab\\.com/([^/]+)/(.+)', to: 'cache.example.com/gitlab-$1/$2'}
";
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::from(config::parse("rules.yaml", RULES).expect("valid rules")));

fuzz_target!(|body: &[u8]| {
    let Ok(answer) = answer(&POLICY, Options { warnings: true }, body) else { return };
    let review: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(review["response"]["allowed"], true);
    let Some(patch) = review["response"].get("patch") else { return };
    let patch = BASE64_STANDARD.decode(patch.as_str().expect("a string")).expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON patch");
    let mut object = serde_json::from_slice::<Value>(body).expect("JSON")["request"]["object"].take();
    json_patch::patch(&mut object, &patch).expect("the patch applies");
});
