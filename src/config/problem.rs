//! What is wrong with a rules file, where, and what to write instead.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::API_VERSION;

/// A field without a value, as the reader and this crate's types say it.
pub(super) const EMPTY_FIELD: &str = "the field has no value";

/// Something wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub cure: Option<String>,
    /// Bytes of the text.
    pub span: Range<usize>,
}

impl Problem {
    /// Draws it with the line it stands in. `id` is what the kind of problem is called.
    pub(crate) fn render(&self, level: Level, id: Option<&str>, name: &str, text: &str) -> String {
        let end = self.span.end.min(text.len());
        let span = self.span.start.min(end)..end;
        let snippet = Snippet::source(text).path(name).annotation(AnnotationKind::Primary.span(span));
        let title = level.primary_title(self.message.as_str());
        let title = match id {
            Some(id) => title.id(id),
            None => title,
        };
        let mut group = title.element(snippet);
        if let Some(cure) = &self.cure {
            group = group.element(Level::HELP.message(cure.as_str()));
        }
        Renderer::plain().render(&[group])
    }

    /// Line and column, in characters and counted from 1.
    pub fn line_and_column(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// What the YAML reader found: no checks were possible yet.
pub(super) fn structural(text: &str, error: &serde_saphyr::Error, kind: &str) -> Problem {
    use serde_saphyr::Error;

    let error = error.without_snippet();
    let span = error.location().map_or(0..0, |location| bytes(text, location));
    let (message, cure) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown field `{field}`"), Some(instead(field, expected)))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("unknown value `{variant}`"), Some(instead(variant, expected)))
        }
        Error::SerdeMissingField { field, .. } => (format!("missing field `{field}`"), Some(format!("add `{field}:`"))),
        Error::DuplicateMappingKey { key, .. } => (
            format!("the field `{}` stands here twice", key.as_deref().unwrap_or("?")),
            Some("keep one of them".to_owned()),
        ),
        Error::Unexpected { expected: "sequence start", .. } => (
            "expected a list".to_owned(),
            Some("write `[…]` around it, or each entry on a line that starts with `- `".to_owned()),
        ),
        Error::Unexpected { expected: "mapping start", .. } => {
            ("expected fields".to_owned(), Some("write `key: value` lines".to_owned()))
        }
        Error::Unexpected { expected: "string scalar", .. } => {
            ("expected a string".to_owned(), Some("write text, in quotes if it looks like something else".to_owned()))
        }
        Error::Eof { .. } => {
            ("the file is empty".to_owned(), Some(format!("start with `apiVersion: {API_VERSION}` and `kind: {kind}`")))
        }
        Error::MultipleDocuments { .. } => (
            "a second YAML document starts here".to_owned(),
            Some(format!("keep all {} in one document", kind.to_lowercase())),
        ),
        other => {
            let text = other.to_string();
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            let (message, cure) = if message.contains(EMPTY_FIELD) || message.contains("null into") {
                (EMPTY_FIELD, "write its value, or remove the field")
            } else if message.contains("boolean") {
                ("expected a boolean", "write `true` or `false`")
            } else {
                (message, "mend the YAML here")
            };
            (message.to_owned(), Some(cure.to_owned()))
        }
    };
    Problem { message, cure, span }
}

fn instead(written: &str, expected: &[&str]) -> String {
    let all: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    let all = all.join(", ");
    match expected.iter().min_by_key(|name| strsim::damerau_levenshtein(name, written)) {
        Some(nearest) if strsim::damerau_levenshtein(nearest, written) <= 2 => {
            format!("did you mean `{nearest}`? Known here: {all}")
        }
        _ => format!("known here: {all}"),
    }
}

/// The span of a location in bytes; the reader counts in characters.
pub(crate) fn bytes(text: &str, location: serde_saphyr::Location) -> Range<usize> {
    let (start, len) = (to_usize(location.span().offset()), to_usize(location.span().len()));
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain(std::iter::once(text.len())).skip(start);
    let from = offsets.next().unwrap_or(text.len());
    from..len.checked_sub(1).map_or(from, |skip| offsets.nth(skip).unwrap_or(text.len()))
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
