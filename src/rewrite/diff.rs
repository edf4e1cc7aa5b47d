//! Changes of a text, as `diff -u` formats them.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices, group_diff_ops};

use super::Done;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// Formats a change for `patch -p1` and `git apply`. It is empty without a change.
pub fn unified(done: &Done, is_coloured: bool) -> String {
    let Some((old, Some(new))) = &done.texts else { return String::new() };
    // `patch` ends a line at a line feed: a carriage return belongs to its text.
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let mut diff = Diff { text: String::new(), is_coloured };
    let name = done.name.trim_start_matches('/');
    diff.line(AnsiColor::Red.on_default().bold(), "---", &header("a", name));
    diff.line(AnsiColor::Green.on_default().bold(), "+++", &header("b", name));
    for hunk in group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT) {
        diff.hunk(&hunk, &old, &new);
    }
    diff.text
}

/// Formats a name as git does: quoted if it has special characters, and with a tab after it if it has a space.
fn header(side: &str, name: &str) -> String {
    let name = format!("{side}/{name}");
    if name.contains(|character: char| character.is_ascii_control() || matches!(character, '"' | '\\')) {
        let quoted = name.chars().fold(String::new(), |mut text, character| {
            let _ = match character {
                '"' | '\\' => write!(text, "\\{character}"),
                character if character.is_ascii_control() => write!(text, "\\{:03o}", u32::from(character)),
                character => write!(text, "{character}"),
            };
            text
        });
        format!(" \"{quoted}\"\n")
    } else {
        format!(" {name}{}\n", if name.contains(' ') { "\t" } else { "" })
    }
}

struct Diff {
    text: String,
    is_coloured: bool,
}

impl Diff {
    fn hunk(&mut self, hunk: &[DiffOp], old: &[&str], new: &[&str]) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
        let range = |start: usize, end: usize| match end - start {
            // For an empty range, the number is that of the line before.
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            count => format!("{},{count}", start + 1),
        };
        let before = range(first.old_range().start, last.old_range().end);
        let after = range(first.new_range().start, last.new_range().end);
        self.line(AnsiColor::Cyan.on_default(), "@@", &format!(" -{before} +{after} @@\n"));
        for change in hunk.iter().flat_map(|operation| operation.iter_changes(old, new)) {
            let (style, sign) = match change.tag() {
                ChangeTag::Delete => (AnsiColor::Red.on_default(), "-"),
                ChangeTag::Insert => (AnsiColor::Green.on_default(), "+"),
                ChangeTag::Equal => (Style::new(), " "),
            };
            self.line(style, sign, change.value());
        }
    }

    /// The text has its line end, unless it is the last line of a file without one.
    fn line(&mut self, style: Style, sign: &str, text: &str) {
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (text, "\n\\ No newline at end of file\n"),
        };
        let style = if self.is_coloured { style } else { Style::new() };
        let _ = write!(self.text, "{style}{sign}{body}{style:#}{end}");
    }
}
