//! docs/reference/helm-values.md: the values of the chart, by its values.yaml and its schema.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::is_current;

const VALUES: &str = "manifests/chart/values.yaml";
const SCHEMA: &str = "manifests/chart/values.schema.json";
const PAGE: &str = "docs/reference/helm-values.md";

const HEAD: &str = "# Helm values

Use this page to look up a value of the chart: its type, its default, and its effect. `make generate` writes it from `values.yaml` and
`values.schema.json` of the chart. [Install with Helm](../start/install-with-helm.md) describes how to set values, and
[Install with kustomize](../start/install-with-kustomize.md#change-settings) how to render the chart with them.
";

/// What a line of values.yaml is.
enum Line<'a> {
    Section(&'a str),
    Comment(&'a str),
    Key {
        indent: usize,
        key: &'a str,
        comment: Option<&'a str>,
    },
    /// A part of the value above it.
    Other,
    Blank,
}

fn line(text: &str) -> Line<'_> {
    let trimmed = text.trim_start();
    if trimmed.is_empty() {
        Line::Blank
    } else if let Some(title) = trimmed.strip_prefix("## ") {
        Line::Section(title)
    } else if let Some(comment) = trimmed.strip_prefix('#') {
        Line::Comment(comment.strip_prefix(' ').unwrap_or(comment))
    } else {
        match trimmed.split_once(':') {
            Some((key, rest)) if !trimmed.starts_with('-') => {
                let comment = rest.split_once(" # ").map(|(_, comment)| comment);
                Line::Key { indent: text.len() - trimmed.len(), key, comment }
            }
            _ => Line::Other,
        }
    }
}

/// The lines of a comment as one cell of a table: a list in it stays one.
fn cell(comment: &[&str]) -> String {
    let mut text = String::new();
    for line in comment {
        let is_item = line.starts_with("- ");
        text += if text.is_empty() { "" } else { [" ", "<br>"][usize::from(is_item)] };
        text += line.trim_start();
    }
    text.replace('|', "\\|")
}

/// The type of a value, or the values that it may have.
fn kind(schema: &Value, root: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return kind(root.pointer(reference.trim_start_matches('#')).expect(reference), root);
    }
    if let Some(value) = schema["const"].as_str() {
        return format!("`{value}`");
    }
    match (&schema["enum"], &schema["type"]) {
        (Value::Array(values), _) => {
            values.iter().map(|value| format!("`{}`", value.as_str().expect("a text"))).collect::<Vec<_>>().join(", ")
        }
        (_, Value::String(kind)) => kind.replace("array", "list"),
        _ => {
            let kinds = ["oneOf", "anyOf"].iter().find_map(|key| schema[key].as_array());
            let kinds = kinds.unwrap_or_else(|| panic!("{SCHEMA}: no type in {schema}"));
            let kinds: BTreeSet<String> = kinds.iter().map(|schema| kind(schema, root)).collect();
            kinds.into_iter().collect::<Vec<_>>().join(", ")
        }
    }
}

/// `GENERATED=overwrite cargo test --test cmd` writes the page again.
#[test]
fn the_values_of_the_chart_are_documented() {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let text = read(VALUES);
    let defaults: Value = serde_saphyr::from_str(&text).expect("YAML");
    let schema: Value = serde_json::from_str(&read(SCHEMA)).expect("JSON");

    let mut page = HEAD.to_owned();
    let (mut comment, mut path, mut documented): (Vec<&str>, Vec<(usize, &str)>, usize) = (Vec::new(), Vec::new(), 0);
    for text in text.lines() {
        match line(text) {
            Line::Section(title) => {
                let _ =
                    write!(page, "\n## {title}\n\n| Value | Type | Default | Meaning |\n| --- | --- | --- | --- |\n");
            }
            Line::Comment(text) => {
                comment.push(text);
                continue;
            }
            Line::Key { indent, key, comment: beside } => {
                path.retain(|(outer, _)| *outer < indent);
                path.push((indent, key));
                let find = |root: &Value, below: &str| {
                    path.iter().try_fold(root.clone(), |at, (_, key)| {
                        let at = if below.is_empty() { &at } else { at.get(below)? };
                        at.get(*key).cloned()
                    })
                };
                // Keys below a value whose content the schema leaves open are a part of its default.
                if let Some(value) = find(&schema, "properties") {
                    let default = find(&defaults, "").unwrap_or_else(|| panic!("{VALUES}: {path:?}"));
                    let is_group = value.get("properties").is_some();
                    comment.extend(beside);
                    let name = path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
                    if !is_group || !comment.is_empty() {
                        let default = if is_group { String::new() } else { format!("`{default}`") };
                        let meaning = cell(&comment);
                        let _ = writeln!(page, "| `{name}` | {} | {default} | {meaning} |", kind(&value, &schema));
                    }
                    documented += 1;
                }
            }
            Line::Other | Line::Blank => {}
        }
        comment.clear();
    }
    assert!(documented > 50, "{documented} values");
    is_current(PAGE, &page, "the page with the values that the chart has");
}
