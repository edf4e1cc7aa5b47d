//! The format of log lines: text with `key=value`, or one JSON object. A line is written in one pass over its fields.
//!
//! The formats are those of `tracing-subscriber`. Its own formatters write each part of a line through several layers, which costs
//! a large part of an ordinary admission.

use std::fmt::{self, Debug};
use std::io::Write as _;

use anstyle::{AnsiColor, Effects, Style};
use k8s_openapi::jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;

/// Bytes of most lines.
const ORDINARY_BYTES: usize = 512;
/// The name of the field with the text of an event.
const MESSAGE: &str = "message";

const DIM: Style = Style::new().effects(Effects::DIMMED);
const ITALIC: Style = Style::new().effects(Effects::ITALIC);

/// Formats events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub format: LogFormat,
    /// Whether text has colours.
    pub is_coloured: bool,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(ORDINARY_BYTES);
        let level = event.metadata().level();
        let now = Timestamp::now();
        match self.format {
            LogFormat::Json => {
                write!(line, r#"{{"timestamp":"{now:.6}","level":"{level}""#).map_err(|_| fmt::Error)?;
                event.record(&mut Json(&mut line));
                line.extend_from_slice(b"}\n");
            }
            LogFormat::Text => {
                let styles = Styles { is_coloured: self.is_coloured };
                let (dim, coloured) = (styles.of(DIM), styles.of(Style::new().fg_color(Some(colour(*level).into()))));
                write!(line, "{dim}{now:.6}{dim:#} {coloured}{level:>5}{coloured:#}").map_err(|_| fmt::Error)?;
                event.record(&mut Text { line: &mut line, styles });
                line.push(b'\n');
            }
        }
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// Returns whether all bytes of a text pass a test. Without an early end, the compiler tests many bytes at a time.
pub(super) fn all(text: &str, test: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |passed, byte| passed & test(byte))
}

fn colour(level: Level) -> AnsiColor {
    match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    }
}

#[derive(Clone, Copy)]
struct Styles {
    is_coloured: bool,
}

impl Styles {
    fn of(self, style: Style) -> Style {
        if self.is_coloured { style } else { Style::new() }
    }
}

// Writing to a Vec never fails, so both visitors ignore its result.

/// Writes fields as members of an object.
struct Json<'l>(&'l mut Vec<u8>);

impl Json<'_> {
    fn key(&mut self, field: &Field) {
        let _ = write!(self.0, ",\"{}\":", field.name());
    }
}

impl Visit for Json<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        let _ = serde_json::to_writer(&mut *self.0, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.key(field);
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Writes the message, and ` key=value` for each other field.
struct Text<'l> {
    line: &'l mut Vec<u8>,
    styles: Styles,
}

impl Text<'_> {
    fn key(&mut self, field: &Field) {
        let (italic, dim) = (self.styles.of(ITALIC), self.styles.of(DIM));
        if self.styles.is_coloured {
            let _ = write!(self.line, " {italic}{}{italic:#}{dim}={dim:#}", field.name());
        } else {
            self.line.push(b' ');
            self.line.extend_from_slice(field.name().as_bytes());
            self.line.push(b'=');
        }
    }
}

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            return self.record_debug(field, &format_args!("{value}"));
        }
        self.key(field);
        if all(value, |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.line.push(b'"');
            self.line.extend_from_slice(value.as_bytes());
            self.line.push(b'"');
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.line.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == MESSAGE {
            self.line.push(b' ');
        } else {
            self.key(field);
        }
        let start = self.line.len();
        let _ = write!(self.line, "{value:?}");
        // Only strings are escaped by `Debug`: a library's own type may write a line break.
        let written = String::from_utf8_lossy(&self.line[start..]);
        if written.contains(char::is_control) {
            let cleaned = written.replace(char::is_control, "?");
            self.line.truncate(start);
            self.line.extend_from_slice(cleaned.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns a line without its timestamp, after a check of that.
    fn line(format: LogFormat, is_coloured: bool, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().event_format(Format { format, is_coloured }).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let start = line.find("20").unwrap();
        let timestamp = &line[start..start + 27];
        assert!(timestamp.ends_with('Z') && timestamp.parse::<Timestamp>().is_ok(), "{line}");
        line.replace(timestamp, "T")
    }

    fn log() {
        let absent: Option<&str> = None;
        let error = io::Error::other("a\nb");
        tracing::warn!(
            plain = "a b",
            quoted = "a\"b\n\u{1b}é",
            absent,
            is = true,
            number = -1,
            count = 7_u64,
            ratio = 0.5,
            list = ?["x\ny"],
            error = %error,
            "message of {}",
            "two\nlines"
        );
    }

    #[test]
    fn text_has_no_control_characters() {
        let expected = concat!(
            r#"T  WARN message of two?lines plain="a b" quoted="a\"b\n\u{1b}é" is=true number=-1 count=7 ratio=0.5 "#,
            r#"list=["x\ny"] error=a?b"#,
            "\n"
        );
        assert_eq!(line(LogFormat::Text, false, log), expected);
        let coloured = line(LogFormat::Text, true, log);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), expected);
        assert!(coloured.starts_with("\u{1b}[2mT\u{1b}[0m \u{1b}[33m WARN\u{1b}[0m message"), "{coloured:?}");
    }

    #[test]
    fn json_has_the_same_fields() {
        let line = line(LogFormat::Json, true, log);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "timestamp": "T", "level": "WARN", "message": "message of two\nlines", "plain": "a b", "quoted": "a\"b\n\u{1b}é",
            "is": true, "number": -1, "count": 7, "ratio": 0.5, "list": "[\"x\\ny\"]", "error": "a\nb",
        });
        assert_eq!(read, expected);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
    }
}
