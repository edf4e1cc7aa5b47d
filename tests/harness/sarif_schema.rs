//! The schema of SARIF 2.1.0.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

/// The schema of OASIS, as in the crate serde-sarif 0.8 (MIT).
static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    // Its pattern of languages, which pullthrough does not write, has an unbalanced bracket.
    let text = include_str!("../data/sarif-schema-2.1.0.json").replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    let schema = serde_json::from_str(&text).expect("JSON");
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
});

/// Returns what is wrong with a log.
pub fn errors(log: &Value) -> Vec<String> {
    SCHEMA.iter_errors(log).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Returns the log of a text, which must be valid.
#[track_caller]
pub fn valid_log(text: &str) -> Value {
    assert!(!text.contains('\u{1b}'));
    let log = serde_json::from_str(text).expect("JSON");
    assert_eq!(errors(&log), [""; 0]);
    log
}
