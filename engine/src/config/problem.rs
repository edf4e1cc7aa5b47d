//! A problem of a text, with its place and its fix.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::Source;

/// The message for a field without a value.
pub(super) const EMPTY_FIELD: &str = "the field has no value";

/// A problem of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub fix: Option<String>,
    /// The place, in bytes of the text.
    pub span: Range<usize>,
}

impl Problem {
    /// Draws it with its line. `id` is the name of the kind of problem.
    pub fn render(&self, level: Level, id: Option<&str>, source: &Source) -> String {
        self.draw(&Renderer::plain(), level, id, source)
    }

    /// As [`Self::render`], with ANSI colours.
    pub fn render_styled(&self, level: Level, id: Option<&str>, source: &Source) -> String {
        self.draw(&Renderer::styled(), level, id, source)
    }

    fn draw(&self, renderer: &Renderer, level: Level, id: Option<&str>, source: &Source) -> String {
        let end = self.span.end.min(source.text.len());
        let span = self.span.start.min(end)..end;
        let shown = source.around(&span);
        let (line, column) = self.line_and_column(source);
        let (message, fix) = (printable(&self.message), self.fix.as_deref().map(printable));
        let snippet = Snippet::source(&source.text[shown.clone()])
            .line_start(line)
            .path(source.name)
            .annotation(AnnotationKind::Primary.span(span.start - shown.start..span.end - shown.start));
        let title = level.primary_title(&*message);
        let title = match id {
            Some(id) => title.id(id),
            None => title,
        };
        let mut group = title.element(snippet);
        if let Some(fix) = &fix {
            group = group.element(Level::HELP.message(&**fix));
        }
        let drawn = renderer.render(&[group]);
        // The renderer counts the column from the start of what is shown.
        let before = source.text.get(shown.start..span.start).unwrap_or_default();
        let shown_column = before.chars().count() + 1;
        if shown_column == column { drawn } else { with_column(&drawn, line, shown_column, column) }
    }

    /// Returns it in one line that begins with `file:line:column`.
    pub(super) fn line(&self, source: &Source) -> String {
        let (line, column) = self.line_and_column(source);
        let fix = self.fix.as_deref().map(|fix| format!("; {}", printable(fix))).unwrap_or_default();
        format!("{}:{line}:{column}: {}{fix}", source.name, printable(&self.message))
    }

    /// Returns line and column, in characters and counted from 1.
    pub fn line_and_column(&self, source: &Source) -> (usize, usize) {
        let start = self.span.start.min(source.text.len());
        (source.line(start) + 1, source.column(start) + 1)
    }
}

/// Returns a drawing with another column in its second line, which ends in `file:line:column`.
fn with_column(drawn: &str, line: usize, from: usize, to: usize) -> String {
    let place = drawn.find('\n').and_then(|title| {
        let end = drawn[title + 1..].find('\n').map_or(drawn.len(), |end| title + 1 + end);
        drawn[..end].rfind(&format!(":{line}:{from}"))
    });
    match place {
        Some(at) => {
            let (before, rest) = drawn.split_at(at);
            before.to_owned() + &rest.replacen(&format!(":{line}:{from}"), &format!(":{line}:{to}"), 1)
        }
        None => drawn.to_owned(),
    }
}

/// Returns a text without control characters. Strings of the file may have any, and a terminal would obey them.
fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the span of a value, in bytes.
pub fn bytes(location: serde_saphyr::Location) -> Range<usize> {
    let [start, len] = [location.span().byte_offset(), location.span().byte_len()]
        .map(|bytes| bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default());
    start..start + len
}
