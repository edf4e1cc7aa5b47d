//! For any rules file that parses: it can be linted, and the text of a finding has no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pullthrough::config::{self, Source};
use pullthrough::lint;

const HEAD: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n";

fuzz_target!(|text: &str| {
    for text in [text.to_owned(), format!("{HEAD}{text}"), format!("{HEAD}rules:\n- {text}")] {
        let Ok(config) = config::parse("rules.yaml", &text) else { continue };
        let source = Source::new("rules.yaml", &text);
        for finding in lint::findings(&config) {
            assert!(!finding.render(&source).contains('\u{1b}'));
        }
    }
});
