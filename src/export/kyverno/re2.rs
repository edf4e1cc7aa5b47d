//! Regular expressions in Go's syntax, which Kyverno's functions use.
//!
//! They are matched against ASCII text without line feeds. So `\w` has the same meaning in both, and `^` is equal to `\A`.

use std::fmt::Write;

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

/// The most repetitions of an expression that Go allows, over all levels.
const MAX_REPEATS: u32 = 1000;

/// A part of a pattern that Go's syntax or Kyverno does not support.
pub type Missing = &'static str;

/// Returns an expression that matches only this text. It contains no `{`, which could begin a variable of Kyverno.
pub fn literal(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        // Writing to a String can't fail.
        let _ = match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '-' | '_' | ':' => write!(escaped, "{character}"),
            '.' => write!(escaped, r"\."),
            _ => write!(escaped, r"\x{:02x}", u32::from(character)),
        };
    }
    escaped
}

/// Returns the same expression in Go's syntax, with the same groups.
pub fn of(hir: &Hir) -> Result<String, Missing> {
    let mut writer = Writer { text: String::new(), groups: 0 };
    writer.write(hir, 1)?;
    Ok(writer.text)
}

struct Writer {
    text: String,
    groups: u32,
}

impl Writer {
    fn write(&mut self, hir: &Hir, repeats: u32) -> Result<(), Missing> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(bytes) => match std::str::from_utf8(&bytes.0) {
                Ok(characters) if characters.is_ascii() => self.text.push_str(&literal(characters)),
                _ => return Err("characters outside of image names"),
            },
            HirKind::Class(class) => write_class(class, &mut self.text)?,
            HirKind::Look(look) => self.text.push_str(match look {
                Look::Start | Look::StartLF | Look::StartCRLF => r"\A",
                Look::End | Look::EndLF | Look::EndCRLF => r"\z",
                Look::WordAscii | Look::WordUnicode => r"\b",
                Look::WordAsciiNegate | Look::WordUnicodeNegate => r"\B",
                _ => return Err("one-sided word boundaries"),
            }),
            HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
                if *max != Some(1) && sub.properties().minimum_len() == Some(0) {
                    return Err("repetitions of a part that can be empty");
                }
                let repeats = max.unwrap_or(*min).max(1).saturating_mul(repeats);
                if repeats > MAX_REPEATS {
                    return Err("more than 1000 repetitions");
                }
                match sub.kind() {
                    HirKind::Class(_) => self.write(sub, repeats)?,
                    _ => self.group("(?:", sub, repeats)?,
                }
                let _ = match (min, max) {
                    (0, Some(1)) => write!(self.text, "?"),
                    (0, None) => write!(self.text, "*"),
                    (1, None) => write!(self.text, "+"),
                    (min, None) => write!(self.text, "{{{min},}}"),
                    (min, Some(max)) => write!(self.text, "{{{min},{max}}}"),
                };
                if !greedy {
                    self.text.push('?');
                }
            }
            HirKind::Capture(Capture { index, sub, .. }) => {
                self.groups += 1;
                if self.groups != *index {
                    return Err("groups that never match");
                }
                self.group("(", sub, repeats)?;
            }
            HirKind::Concat(parts) => {
                for part in parts {
                    self.write(part, repeats)?;
                }
            }
            HirKind::Alternation(branches) => {
                for (index, branch) in branches.iter().enumerate() {
                    self.text.push_str(if index == 0 { "(?:" } else { "|" });
                    self.write(branch, repeats)?;
                }
                self.text.push(')');
            }
        }
        Ok(())
    }

    fn group(&mut self, open: &str, hir: &Hir, repeats: u32) -> Result<(), Missing> {
        self.text.push_str(open);
        self.write(hir, repeats)?;
        self.text.push(')');
        Ok(())
    }
}

/// Returns the groups that match at least one character in every match of the expression.
pub fn certain_groups(hir: &Hir) -> Vec<u32> {
    match hir.kind() {
        HirKind::Capture(Capture { index, sub, .. }) => {
            let own = sub.properties().minimum_len().is_some_and(|len| len > 0).then_some(*index);
            own.into_iter().chain(certain_groups(sub)).collect()
        }
        HirKind::Repetition(Repetition { min: 1.., sub, .. }) => certain_groups(sub),
        HirKind::Concat(parts) => parts.iter().flat_map(certain_groups).collect(),
        _ => Vec::new(),
    }
}

/// Writes the ASCII part of a class, negated if the class contains the last character.
fn write_class(class: &Class, text: &mut String) -> Result<(), Missing> {
    let contains: Vec<bool> = (0..0x80_u8)
        .map(|byte| match class {
            Class::Unicode(class) => {
                class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)))
            }
            Class::Bytes(class) => class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte)),
        })
        .collect();
    if !contains.contains(&true) {
        return Err("characters outside of image names");
    }
    if !contains.contains(&false) {
        text.push_str("(?s:.)");
        return Ok(());
    }
    let negated = contains.last() == Some(&true);
    text.push_str(if negated { "[^" } else { "[" });
    let mut byte = 0;
    for run in contains.chunk_by(|a, b| a == b) {
        if run[0] != negated {
            write_bound(byte, text);
            if run.len() > 1 {
                text.push('-');
                write_bound(byte + run.len() - 1, text);
            }
        }
        byte += run.len();
    }
    text.push(']');
    Ok(())
}

fn write_bound(code: usize, text: &mut String) {
    let _ = match u8::try_from(code).map(char::from) {
        Ok(character) if matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '_' | ':') => {
            write!(text, "{character}")
        }
        _ => write!(text, r"\x{code:02x}"),
    };
}
