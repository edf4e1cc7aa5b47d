//! Regular expressions in the syntax of Go, which Kyverno's functions take.
//!
//! What they are matched against is ASCII and has no line feeds. So `\w` is the same in both, and so are `^` and `\A`.

use std::fmt::Write;

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

/// The most that Go repeats an expression, over all levels.
const MAX_REPEATS: u32 = 1000;

/// What a pattern has that Go's syntax has not.
pub type Missing = &'static str;

/// An expression that matches this text and nothing else. It has no `{`, which Kyverno would take for a variable.
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

/// The same expression with the same groups.
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
                _ => return Err("characters that no name has"),
            },
            HirKind::Class(class) => write_class(class, &mut self.text)?,
            HirKind::Look(look) => self.text.push_str(match look {
                Look::Start | Look::StartLF | Look::StartCRLF => r"\A",
                Look::End | Look::EndLF | Look::EndCRLF => r"\z",
                Look::WordAscii | Look::WordUnicode => r"\b",
                Look::WordAsciiNegate | Look::WordUnicodeNegate => r"\B",
                _ => return Err("a word boundary of one side only"),
            }),
            HirKind::Repetition(Repetition { min, max, greedy, sub }) => {
                if *max != Some(1) && sub.properties().minimum_len() == Some(0) {
                    return Err("a repetition of what can be empty");
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
                    return Err("a group that is never matched");
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

/// The groups that match in every match of the whole, and never nothing.
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

/// The part of a class that is ASCII; by what is not in it where that is said in short.
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
        return Err("characters that no name has");
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
