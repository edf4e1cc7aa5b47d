//! For any rules file: it is rejected with a problem without control characters, or it parses and its rules decide.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pullthrough_engine::config::{self, Source};
use pullthrough_engine::{Decision, ImageRef, Policy, Question};

const HEAD: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n";
const IMAGES: [&str; 4] = ["nginx", "registry.k8s.io:0443/a/b:1", "ecr-public.aws.com/a", "[::1]:5000/x/y"];

fuzz_target!(|text: &str| {
    for text in [text.to_owned(), format!("{HEAD}{text}"), format!("{HEAD}rules:\n- {text}")] {
        let config = match config::parse("rules.yaml", &text) {
            Ok(config) => config,
            Err(error) => {
                for problem in &error.problems {
                    let _ = problem.line_and_column(&Source::new("rules.yaml", &text));
                }
                assert!(!error.to_string().contains('\u{1b}'));
                continue;
            }
        };
        let policy = Policy::from(config);
        for rule in policy.rules() {
            assert!(rule.name.len() <= 63 && !rule.name.contains(char::is_control));
        }
        for image in IMAGES {
            let question = |image| Question { image, namespace: "default", pull_never: false, previous: None, included_from: None };
            if let Decision::Rewrite { result, .. } = policy.decide(question(image)) {
                assert!(ImageRef::parse(&result).is_ok());
                assert!(policy.decide(question(&result)).reason().is_some(), "{result} was rewritten again");
            }
        }
    }
});
