//! For any string: it parses or is rejected, and a rewritten image is not rewritten again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pullthrough_engine::config;
use pullthrough_engine::{Decision, ImageRef, Policy, Question};

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
  - {name: hosts, from: [docker.io, 'a.io:5000', '[::1]', localhost], to: 'Cache.example.com:443/x'}
  - {name: pattern, pattern: '([a-z.]+)\\.io/(x)?(.+)', to: 'cache.example.com/$1/p$2$3'}
";
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::from(config::parse("rules.yaml", RULES).expect("valid rules")));

fuzz_target!(|image: &str| {
    let question = |image| Question { image, namespace: "default", pull_never: false, previous: None, included_from: None };
    let parsed = ImageRef::parse(image);
    if let Decision::Rewrite { result, .. } = POLICY.decide(question(image)) {
        let before = parsed.expect("only references are rewritten");
        let after = ImageRef::parse(&result).expect("a result is a reference");
        assert_eq!(before.suffix(), after.suffix());
        assert!(POLICY.decide(question(&result)).reason().is_some(), "{result} was rewritten again");
    }
});
