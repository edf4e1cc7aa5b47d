//! `export renovate` and the schema of Renovate's configuration.

use serde_json::{Value, json};

use crate::harness;
use crate::program::pullthrough;

fn schema() -> Value {
    let folder = harness::assets(Some("renovate-schema"), &[]).unwrap_or_else(|error| panic!("{error:#}"));
    let text = std::fs::read_to_string(folder.join("renovate-schema")).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_schema_of_renovate_accepts_it() {
    let schema = schema();
    let mut aliases = schema["definitions"]["registryAliases"].clone();
    // Beside a reference, a validator of this draft ignores the type of the values.
    aliases.as_object_mut().expect("an object").remove("$ref");
    let aliases = jsonschema::validator_for(&aliases).expect("a schema");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    assert!(!aliases.is_valid(&json!({"cache.example.com": 1})));
    assert!(!schema.is_valid(&json!({"registryAliases": []})));
    for arguments in [["--rules", "tests/data/rules.yaml"], ["--cache", "cache.example.com/k8s"]] {
        let output = pullthrough(&[&["export", "renovate"], &arguments[..]].concat());
        let configuration: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let errors: Vec<String> = schema.iter_errors(&configuration).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{arguments:?}: {errors:?}");
        assert!(aliases.is_valid(&configuration["registryAliases"]), "{configuration:#}");
        assert!(!configuration["registryAliases"].as_object().expect("an object").is_empty(), "{arguments:?}");
    }
}
