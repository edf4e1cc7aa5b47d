//! What is wrong with a rules file, where, and what to write instead.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::API_VERSION;
use super::source::Source;

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
    pub fn render(&self, level: Level, id: Option<&str>, source: &Source) -> String {
        let end = self.span.end.min(source.text.len());
        let span = self.span.start.min(end)..end;
        let lines = source.lines(&span);
        let (message, cure) = (printable(&self.message), self.cure.as_deref().map(printable));
        let snippet = Snippet::source(&source.text[lines.clone()])
            .line_start(source.line(span.start) + 1)
            .path(source.name)
            .annotation(AnnotationKind::Primary.span(span.start - lines.start..span.end - lines.start));
        let title = level.primary_title(&*message);
        let title = match id {
            Some(id) => title.id(id),
            None => title,
        };
        let mut group = title.element(snippet);
        if let Some(cure) = &cure {
            group = group.element(Level::HELP.message(&**cure));
        }
        Renderer::plain().render(&[group])
    }

    /// Line and column, in characters and counted from 1.
    pub fn line_and_column(&self, source: &Source) -> (usize, usize) {
        let start = self.span.start.min(source.text.len());
        let line = source.lines(&(start..start)).start;
        (source.line(start) + 1, source.text.get(line..start).unwrap_or_default().chars().count() + 1)
    }
}

/// Text without control characters: strings of the file may have any, and they could write anything to a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => Cow::Borrowed(text),
        true => {
            text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
        }
    }
}

/// What the YAML reader found: no checks were possible yet.
pub(super) fn structural(text: &str, error: &serde_saphyr::Error, kind: &str) -> Problem {
    use serde_saphyr::Error;

    let error = error.without_snippet();
    let span = error.location().map_or(0..0, |location| counted(text, location));
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

/// The span of a location in bytes, counted: where the YAML is wrong, the reader knows characters alone.
fn counted(text: &str, location: serde_saphyr::Location) -> Range<usize> {
    let [start, len] = [location.span().offset(), location.span().len()]
        .map(|characters| usize::try_from(characters).unwrap_or(usize::MAX));
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain(std::iter::once(text.len())).skip(start);
    let from = offsets.next().unwrap_or(text.len());
    from..len.checked_sub(1).map_or(from, |skip| offsets.nth(skip).unwrap_or(text.len()))
}

/// The span of a value in bytes, which the reader knows.
pub fn bytes(location: serde_saphyr::Location) -> Range<usize> {
    let [start, len] = [location.span().byte_offset(), location.span().byte_len()]
        .map(|bytes| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default());
    start..start + len
}
