//! Explains why a text can't be read as the expected file: other files, YAML syntax, values of another shape.

use std::ops::Range;

use serde_saphyr::{Error, Spanned};

use super::problem::{EMPTY_FIELD, Problem, bytes};
use super::shape::{self, Shape, Value};
use super::{API_VERSION, KIND};

/// A `kind` that differs by more edits is another kind, and not a misspelled one.
const MAX_EDITS: usize = 2;
/// The fix for values of pullthrough's Helm chart, which may have rules.
const HELM_VALUES: &str = "; for Helm values, run `helm template pullthrough CHART --namespace pullthrough --values FILE \
    --show-only templates/rules.yaml | pullthrough check -`";
/// Entries of a list that a fix repeats.
const SHOWN_ENTRIES: usize = 3;

/// Returns the problem of a text that the YAML reader rejects.
pub(super) fn problem(text: &str, error: &Error, kind: &str) -> Problem {
    let error = error.without_snippet();
    let documents = match shape::documents(text) {
        // `~` and comments alone are no document.
        Ok(documents) if documents.is_empty() => {
            let (message, fix) = empty(kind);
            return Problem { message, fix: Some(fix), span: 0..0 };
        }
        Ok(documents) => documents,
        // A syntax error may be the cause of a missing field.
        Err(error) if is_syntax(error.without_snippet()) => return syntax(text, error.without_snippet()),
        Err(_) => Vec::new(),
    };
    let root = documents.first();
    if let Some(problem) = root.and_then(|root| other_file(root, kind)) {
        return problem;
    }
    let span = error.location().map_or(0..0, |location| counted(text, location));
    let value = root.and_then(|root| shape::value_at(root, span.start));
    let (message, fix) = explanation(error, kind, value.as_ref());
    Problem { message, fix: Some(fix), span }
}

fn is_syntax(error: &Error) -> bool {
    matches!(error, Error::ExternalMessage { .. } | Error::UnknownAnchor { .. })
}

/// Returns a problem if the document is a file of another kind.
fn other_file(root: &Spanned<Shape>, kind: &str) -> Option<Problem> {
    let list = kind.to_lowercase();
    let head = format!("`apiVersion: {API_VERSION}` and `kind: {kind}`");
    let another = format!("name a file that starts with {head}");
    let start = bytes(root.defined).start;
    let not_at = |span: Range<usize>, why: &str, fix: String| Problem {
        message: format!("not a {list} file: {why}"),
        fix: Some(fix),
        span,
    };
    let fields = match &root.value {
        Shape::Fields(fields) => fields,
        Shape::List(_) => {
            let fix = format!("start with {head}, and put the list below `{list}:`");
            return Some(not_at(start..start, "it is a list", fix));
        }
        Shape::Text(_) => {
            return Some(not_at(bytes(root.defined), "it has no fields", another));
        }
    };
    let Some(found) = root.value.field("kind") else {
        if root.value.field("apiVersion").is_some() {
            return None;
        }
        let of_helm = if kind == KIND { HELM_VALUES } else { "" };
        if fields.iter().any(|(name, _)| *name != list) {
            return Some(not_at(start..start, "it has no `apiVersion` and no `kind`", another + of_helm));
        }
        let message = "missing fields `apiVersion` and `kind`".to_owned();
        return Some(Problem { message, fix: Some(format!("start with {head}{of_helm}")), span: start..start });
    };
    let written = found.value.as_text().filter(|text| !text.is_empty())?;
    if strsim::damerau_levenshtein(&written.to_lowercase(), &list) <= MAX_EDITS {
        return None;
    }
    let fix = match written {
        "ConfigMap" => {
            let data = root.value.field("data").map(|data| &data.value);
            let keys = match data {
                Some(Shape::Fields(entries)) => entries.iter().map(|(key, _)| format!("`{key}`")).collect(),
                _ => Vec::new(),
            };
            let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
            format!("use the file in its `data`{keys}")
        }
        "Rules" | "Tests" => format!("name a file of kind `{kind}`; are the rules and the tests swapped?"),
        _ => another,
    };
    Some(not_at(bytes(found.defined), &format!("its kind is `{written}`"), fix))
}

/// Fixes for errors of the YAML syntax, each with parts of the reader's messages.
const SYNTAX_FIXES: [(&[&str], &str); 6] = [
    (&[" tab", "tabs "], "indent line {line} and the next with spaces: YAML does not allow tabs there"),
    (&["mapping values"], "check the indentation of line {line}, and put texts with `: ` in quotes"),
    (
        &[
            "indent",
            "expected key",
            "'-' indicator",
            "simple key",
            "entries are not allowed",
            "node content",
            "document start",
        ],
        "check the indentation of line {line}",
    ),
    (
        &["unexpected character", "unknown anchor"],
        "put the text in quotes: it starts with a character that YAML reserves",
    ),
    (&["unclosed quote", "trailing content"], "close the quote, and separate values by commas"),
    (&["bracket", "or '}'", "or ']'", "EOF"], "close the bracket, and separate values by commas"),
];

/// Returns the problem of a text that is not YAML.
fn syntax(text: &str, error: &Error) -> Problem {
    if let Some(problem) = json_syntax(text) {
        return problem;
    }
    let span = error.location().map_or(0..0, |location| counted(text, location));
    let line = 1 + text[..span.start].matches('\n').count();
    let message = without_place(error);
    let fix = SYNTAX_FIXES.iter().find(|(parts, _)| parts.iter().any(|part| message.contains(part)));
    let before = text[..span.start].lines().rev().nth(1).unwrap_or_default();
    let missing_space = missing_space(before.trim_start().trim_start_matches("- "));
    let fix = match fix {
        _ if let Some(spaced) = missing_space.filter(|_| message.contains("mapping values")) => with_space(&spaced),
        _ if text.contains("{{") => "render the template first: this is not YAML yet".to_owned(),
        Some((_, fix)) => fix.replace("{line}", &line.to_string()),
        None => "fix the YAML syntax here".to_owned(),
    };
    Problem { message: format!("invalid YAML: {message}"), fix: Some(fix), span }
}

/// Returns the JSON syntax error of a text that is meant as JSON. The YAML reader would give the place of the open bracket.
fn json_syntax(text: &str) -> Option<Problem> {
    let first = text.trim_start().strip_prefix(['{', '['])?.trim_start();
    first.starts_with(['"', '{']).then_some(())?;
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let start = text.floor_char_boundary(line_start + error.column().saturating_sub(1));
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    Some(Problem {
        message: format!("invalid JSON: {message}"),
        fix: Some("fix the JSON syntax here".to_owned()),
        span: start..start,
    })
}

fn explanation(error: &Error, kind: &str, value: Option<&Value<'_>>) -> (String, String) {
    let text = |text: &str| text.to_owned();
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown field `{field}`"), instead(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("unknown value `{variant}`"), instead(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => (format!("missing field `{field}`"), format!("add `{field}:`")),
        Error::DuplicateMappingKey { key, .. } => {
            (format!("duplicate key `{}`", key.as_deref().unwrap_or("?")), text("remove one of them"))
        }
        Error::Unexpected { expected: "sequence start", .. } => (text("expected a list"), list_fix(value)),
        Error::Unexpected { expected: "mapping start", .. } => (text("expected fields"), fields_fix(value)),
        Error::Unexpected { expected: "string scalar", .. } => (text("expected a string"), text_fix(value)),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => (text("expected a string"), text_fix(value)),
        Error::Eof { .. } => empty(kind),
        Error::MultipleDocuments { .. } => {
            (text("a second YAML document starts here"), format!("keep all {} in one document", kind.to_lowercase()))
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => (
            format!("beyond a limit of the YAML reader: {}", without_place(error)),
            text("write less nested values and fewer aliases"),
        ),
        other => {
            let message = without_place(other);
            if message.contains(EMPTY_FIELD) || message.contains("null into") {
                (text(EMPTY_FIELD), text("write its value, or remove the field"))
            } else if message.contains("boolean") {
                (text("expected a boolean"), text("write `true` or `false`"))
            } else {
                (message, text("fix the YAML syntax here"))
            }
        }
    }
}

fn empty(kind: &str) -> (String, String) {
    ("the file is empty".to_owned(), format!("start with `apiVersion: {API_VERSION}` and `kind: {kind}`"))
}

fn without_place(error: &Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// Returns how to write a value as a list.
fn list_fix(value: Option<&Value<'_>>) -> String {
    match value.map(|value| value.shape) {
        Some(Shape::Fields(fields)) if fields.iter().all(|(_, value)| matches!(value.value, Shape::Fields(_))) => {
            let name = fields.first().map_or("a", |(name, _)| name);
            format!("write `- name: {name}` in place of `{name}:`, and so for each entry")
        }
        Some(shape) if let Some(text) = shape.only_text().filter(|text| !text.is_empty()) => {
            format!("write `[{text}]`")
        }
        _ => "write `[…]` around it, or each entry on a line that starts with `- `".to_owned(),
    }
}

/// Returns how to write a value as fields.
fn fields_fix(value: Option<&Value<'_>>) -> String {
    match value {
        Some(Value { field: Some("namespaces"), is_entry: false, shape }) if let Some(list) = texts(shape) => {
            format!("write `exclude: [{list}]` or `include: [{list}]`")
        }
        Some(Value { shape: Shape::Text(text), .. }) if let Some(spaced) = missing_space(text) => with_space(&spaced),
        Some(Value { field: Some("rules"), is_entry: true, shape: Shape::Text(text) }) => {
            format!("write a rule: `name: NAME`, `from: [{text}]` and `to: CACHE`")
        }
        _ => "write `key: value` lines".to_owned(),
    }
}

/// Returns how to write a value as one text.
fn text_fix(value: Option<&Value<'_>>) -> String {
    match value.and_then(|value| Some((value.is_entry, value.shape.only_text().filter(|text| !text.is_empty())?))) {
        Some((true, text)) => format!("write `- {text}`"),
        Some((false, text)) => format!("write `{text}`"),
        None => "write one text, in quotes if it looks like something else".to_owned(),
    }
}

/// Returns a text, or the first of a list of texts, as a list has them.
fn texts(shape: &Shape) -> Option<String> {
    match shape {
        Shape::Text(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Shape::List(entries) if !entries.is_empty() => {
            let shown: Option<Vec<&str>> =
                entries.iter().take(SHOWN_ENTRIES).map(|entry| entry.value.as_text()).collect();
            let more = if entries.len() > SHOWN_ENTRIES { ", …" } else { "" };
            Some(format!("{}{more}", shown?.join(", ")))
        }
        Shape::List(_) | Shape::Fields(_) => None,
    }
}

fn with_space(spaced: &str) -> String {
    format!("write a space after the colon: `{spaced}`")
}

/// Returns the first word of `key:value` with a space after its colon.
fn missing_space(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let (key, value) = word.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_key && value.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| format!("{key}: {value}"))
}

fn instead(written: &str, expected: &[&str]) -> String {
    let all: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    let all = all.join(", ");
    match expected.iter().min_by_key(|name| strsim::damerau_levenshtein(name, written)) {
        Some(nearest) if strsim::damerau_levenshtein(nearest, written) <= MAX_EDITS => {
            format!("did you mean `{nearest}`? Known here: {all}")
        }
        _ => format!("known here: {all}"),
    }
}

/// Returns the span of a location in bytes. For syntax errors the reader gives characters, so they are counted.
fn counted(text: &str, location: serde_saphyr::Location) -> Range<usize> {
    let [start, len] = [location.span().offset(), location.span().len()]
        .map(|characters| usize::try_from(characters).unwrap_or(usize::MAX));
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain(std::iter::once(text.len())).skip(start);
    let from = offsets.next().unwrap_or(text.len());
    from..len.checked_sub(1).map_or(from, |skip| offsets.nth(skip).unwrap_or(text.len()))
}
