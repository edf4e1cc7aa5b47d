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
        let lines = source.lines(&span);
        let (message, fix) = (printable(&self.message), self.fix.as_deref().map(printable));
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
        if let Some(fix) = &fix {
            group = group.element(Level::HELP.message(&**fix));
        }
        renderer.render(&[group])
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
        let line = source.lines(&(start..start)).start;
        (source.line(start) + 1, source.text.get(line..start).unwrap_or_default().chars().count() + 1)
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
