//! Reads a document as a value, as sigs.k8s.io/yaml does for Helm and `kubectl`.

use serde_json::{Map, Number, Value};

use super::lines::Lines;
use super::reading::unreadable;
use super::resolve::{self, Resolved, Style, Tag};
use super::tree::{Content, Document, Id};
use super::yaml::Fault;
use super::{Unreadable, json, yaml};

/// Reads a text with one document. The last of duplicate keys counts, and an empty document is null. `file` is its name in
/// errors.
///
/// # Errors
///
/// Fails if the document is unreadable, or if there is a second one.
pub fn value(file: &str, text: &str) -> Result<Value, Unreadable> {
    let json = json::Reader::is_likely(text).then(|| {
        let mut reader = json::Reader::new(text);
        only(|| reader.next_document())
    });
    let value = match json {
        Some(Ok(value)) => Ok(value),
        // It may be YAML in braces.
        Some(Err(_)) | None => {
            let mut reader = yaml::Reader::new(text);
            only(|| reader.next_document())
        }
    };
    value.map_err(|fault| unreadable(file, &Lines::new(text), fault))
}

/// Empty documents do not count.
fn only<'t>(mut next: impl FnMut() -> Result<Option<Document<'t>>, Fault>) -> Result<Value, Fault> {
    let mut value = None;
    while let Some(document) = next()? {
        let Some(root) = document.root().filter(|&root| !document.is_null(root)) else { continue };
        if value.is_some() {
            let offset = document.node(root).span.start;
            return Err(Fault { offset, message: "a second document starts here; write only one".to_owned() });
        }
        value = Some(of(&document, root)?);
    }
    Ok(value.unwrap_or_default())
}

fn of(document: &Document, id: Id) -> Result<Value, Fault> {
    let id = document.target(id);
    match document.node(id).content {
        Content::Mapping => {
            if let Some((key, _)) = document.pairs(id).find(|&(key, _)| document.is_null(key)) {
                let offset = document.node(key).span.start;
                return Err(Fault { offset, message: "the key is null: write it in quotes".to_owned() });
            }
            let entries = document.entries(id).into_iter();
            let entries = entries.map(|entry| Ok((entry.name.to_owned(), of(document, entry.value)?)));
            Ok(Value::Object(entries.collect::<Result<Map<_, _>, _>>()?))
        }
        Content::Sequence => document.children(id).map(|item| of(document, item)).collect(),
        Content::Scalar { value, style, tag } => Ok(scalar(value, style, tag)),
        // An alias never has an alias as its target.
        Content::Alias(_) => Ok(Value::Null),
    }
}

fn scalar(text: &str, style: Style, tag: Tag) -> Value {
    match (resolve::resolve(text, style, tag), text) {
        (Resolved::Null, _) => Value::Null,
        (Resolved::Other, "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON") => {
            true.into()
        }
        (Resolved::Other, "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF") => {
            false.into()
        }
        (Resolved::Other, _) => number(&text.replace('_', "")).map_or_else(|| text.into(), Value::Number),
        (Resolved::String, _) => text.into(),
    }
}

/// Reads Go's syntax. Returns `None` if JSON has no such number.
fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2), ("0", 8), ("", 10)];
    let integer = prefixes.into_iter().find_map(|(prefix, radix)| {
        let digits = digits.strip_prefix(prefix).filter(|digits| digits.starts_with(|c: char| c.is_digit(radix)))?;
        let signed = i64::from_str_radix(&[sign, digits].concat(), radix).map(Number::from);
        signed.or_else(|_| u64::from_str_radix(&[sign, digits].concat(), radix).map(Number::from)).ok()
    });
    integer.or_else(|| Number::from_f64(text.parse().ok()?))
}
