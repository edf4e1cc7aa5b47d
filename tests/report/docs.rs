//! What docs/scan.md shows is what is printed.

use pullthrough::scan::OutOfReach;
use pullthrough::scan::report::{json, markdown, sarif, table};
use serde_json::Value;

use crate::sample;
use crate::text::plain;

const PAGE: &str = include_str!("../../docs/scan.md");

#[test]
fn examples_are_what_is_printed() {
    let report = sample::documented();
    let sarif: Value = serde_json::from_str(&sarif::sarif(&report).to_string()).expect("JSON");
    let result = format!("{:#}", sarif["runs"][0]["results"][0]);
    let line = json::line(&report.entries[0].finding);
    let markdown = markdown::markdown(&report);
    let markdown = markdown.split("\n### ").next().expect("text");
    for (what, text) in [
        ("table", plain(&table::table(&report, Some(100)))),
        ("JSON", line),
        ("SARIF", result),
        ("Markdown", markdown.to_owned()),
    ] {
        assert!(PAGE.contains(&format!("\n{}\n", text.trim_end())), "docs/scan.md does not show this {what}:\n{text}");
    }
}

#[test]
fn everything_is_named() {
    let report = sample::cluster();
    let line: Value = serde_json::from_str(&json::line(&report.entries[0].finding)).expect("JSON");
    let sarif: Value = serde_json::from_str(&sarif::sarif(&report).to_string()).expect("JSON");
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
    let rules = rules.iter().map(|rule| rule["id"].as_str().expect("an id").to_owned());
    let reaches = OutOfReach::ALL.map(|why| why.as_str().to_owned());
    let keys = line.as_object().expect("an object").keys().cloned();
    for name in rules.chain(reaches).chain(keys) {
        assert!(PAGE.contains(&format!("`{name}`")), "docs/scan.md does not name {name}");
    }
}
