//! The examples of the pages about `scan` are the output of the program.

use std::fs;

use pullthrough::scan::NotCovered;
use pullthrough::scan::report::{json, markdown, sarif, table};
use serde_json::Value;

use super::sample;
use super::text::plain;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/scan-formats.md");
const PAGES: [&str; 2] =
    [include_str!("../../../docs/reference/scan-formats.md"), include_str!("../../../docs/how-to/find-images.md")];

/// `GENERATED=overwrite cargo test --test library` writes the page again.
#[test]
fn examples_are_what_is_printed() {
    let report = sample::documented();
    let sarif: Value = serde_json::from_str(&sarif::sarif(&report).to_string()).expect("JSON");
    let result = format!("{:#}", sarif["runs"][0]["results"][0]);
    let line = json::line(&report.entries[0].finding);
    let markdown = markdown::markdown(&report);
    let markdown = markdown.split("\n### ").next().expect("text");
    let mut page = fs::read_to_string(FILE).expect("the page");
    for (heading, start, text) in [
        ("table", "```text\n", plain(&table::table(&report, Some(100)))),
        ("json", "```json\n", line),
        ("sarif", "```json\n", result),
        ("markdown", "```markdown\n", markdown.to_owned()),
    ] {
        let (before, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
        let (intro, block) = section.split_once(start).expect(heading);
        let (_, after) = block.split_once("\n```\n").expect(heading);
        page = format!("{before}\n## {heading}\n{intro}{start}{}\n```\n{after}", text.trim_end());
    }
    if std::env::var_os("GENERATED").is_some_and(|mode| mode == "overwrite") {
        fs::write(FILE, &page).expect("the page");
    }
    let kept = fs::read_to_string(FILE).expect("the page");
    assert_eq!(kept, page, "{FILE} does not show what is printed: run `make generate`");
}

#[test]
fn everything_is_named() {
    let report = sample::cluster();
    let line: Value = serde_json::from_str(&json::line(&report.entries[0].finding)).expect("JSON");
    let sarif: Value = serde_json::from_str(&sarif::sarif(&report).to_string()).expect("JSON");
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
    let rules = rules.iter().map(|rule| rule["id"].as_str().expect("an id").to_owned());
    let reaches = NotCovered::ALL.map(|why| why.as_str().to_owned());
    let keys = line.as_object().expect("an object").keys().cloned();
    for name in rules.chain(reaches).chain(keys) {
        let is_named = PAGES.iter().any(|page| page.contains(&format!("`{name}`")));
        assert!(is_named, "neither docs/reference/scan-formats.md nor docs/how-to/find-images.md names {name}");
    }
}
