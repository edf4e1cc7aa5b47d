//! The regular expression of a rule.

use std::collections::BTreeMap;

use regex::{Captures, Regex};
use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};

use super::start::Start;

/// A regular expression over the canonical host and path, anchored at both ends.
#[derive(Debug, Clone)]
pub struct Pattern {
    anchored: String,
    expression: Regex,
    starts: Vec<Start>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("it does not compile: {0}")]
    Syntax(String),
    #[error("it has a control character, and names have none; remove it")]
    Control,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not compile, or has a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        // Patterns are printed where a control character could forge lines.
        if text.contains(char::is_control) {
            return Err(InvalidPattern::Control);
        }
        // First without anchors, so that `a)|(b` can't escape from them.
        let anchored = format!(r"\A(?:{text})\z");
        let parsed = parse(text).and_then(|hir| Ok((hir, for_names(&anchored)?)));
        let (hir, expression) = parsed.map_err(|error| InvalidPattern::Syntax(last_line(&error.to_string())))?;
        Ok(Self { anchored, expression, starts: Start::of(&hir) })
    }

    /// Returns texts of which each name that it matches starts with one; none if they are unknown.
    pub fn starts(&self) -> &[Start] {
        &self.starts
    }

    /// Returns the expression with its anchors.
    pub fn anchored(&self) -> &str {
        &self.anchored
    }

    /// Returns the expression without the anchors.
    pub fn written(&self) -> &str {
        let anchored = self.anchored();
        anchored.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(anchored)
    }

    /// Returns the names of the groups, first that of the whole.
    pub(super) fn groups(&self) -> impl Iterator<Item = Option<&str>> {
        self.expression.capture_names()
    }

    /// Returns the expression of each group without the groups in it, by its number from 1 on.
    pub(super) fn group_expressions(&self) -> BTreeMap<usize, String> {
        let mut groups = BTreeMap::new();
        if let Ok(hir) = parse(self.written()) {
            without_groups(&hir, &mut groups);
        }
        groups
    }

    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        self.expression.captures(name)
    }
}

/// Compiles an expression for canonical names. These are ASCII, and classes without other characters compile several times as
/// fast.
pub(super) fn for_names(expression: &str) -> Result<Regex, regex::Error> {
    match ascii(&parse(expression)?) {
        Some(ascii) => Regex::new(&ascii.to_string()),
        None => Regex::new(expression),
    }
}

fn parse(expression: &str) -> Result<Hir, regex::Error> {
    regex_syntax::parse(expression).map_err(|error| regex::Error::Syntax(error.to_string()))
}

/// Returns an expression without its groups, and adds the expression of each.
fn without_groups(hir: &Hir, groups: &mut BTreeMap<usize, String>) -> Hir {
    rebuilt(hir, &|class| class.clone(), &mut |capture| {
        if let Ok(number) = usize::try_from(capture.index) {
            groups.insert(number, capture.sub.to_string());
        }
        *capture.sub
    })
}

/// Returns an expression that matches the same texts of ASCII, and no others. `None` if it would number its groups otherwise,
/// since some of them are never part of a match.
fn ascii(hir: &Hir) -> Option<Hir> {
    let all = ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]);
    let class = |class: &Class| match class {
        Class::Unicode(class) => {
            let mut class = class.clone();
            class.intersect(&all);
            Class::Unicode(class)
        }
        Class::Bytes(class) => Class::Bytes(class.clone()),
    };
    let mut numbers = Vec::new();
    let ascii = rebuilt(hir, &class, &mut |capture| {
        numbers.push(capture.index);
        Hir::capture(capture)
    });
    numbers.sort_unstable();
    numbers.into_iter().eq((1..).take(hir.properties().explicit_captures_len())).then_some(ascii)
}

/// Returns an expression with other classes, and with another expression for each group, inner ones first.
fn rebuilt(hir: &Hir, class: &dyn Fn(&Class) -> Class, group: &mut dyn FnMut(Capture) -> Hir) -> Hir {
    let mut each = |hirs: &[Hir]| hirs.iter().map(|hir| rebuilt(hir, class, group)).collect::<Vec<_>>();
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) => hir.clone(),
        HirKind::Class(of) => Hir::class(class(of)),
        HirKind::Concat(hirs) => Hir::concat(each(hirs)),
        HirKind::Alternation(hirs) => Hir::alternation(each(hirs)),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(rebuilt(&repetition.sub, class, group));
            Hir::repetition(Repetition { sub, ..*repetition })
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(rebuilt(&capture.sub, class, group));
            group(Capture { index: capture.index, name: capture.name.clone(), sub })
        }
    }
}

/// Returns the last line of an error: the regex crate draws the expression over the lines before it.
fn last_line(message: &str) -> String {
    message.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARTS: [&str; 16] = [
        "a",
        "[^/]+",
        "(.+)",
        "(?P<n>.*)",
        "(?:a|b)",
        "(a|b)*",
        "(?i)K",
        r"\w+",
        r"\.",
        "é",
        "(x){0}",
        "/",
        r"\b",
        "[b-é]",
        "(?:(a)b)?",
        r"\p{L}",
    ];

    proptest! {
        /// With classes of ASCII alone, an expression matches the same names, with the same groups.
        #[test]
        fn names_are_matched_as_by_the_written_expression(
            parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 1..6),
            name in "[abkK/.x_-]{0,8}",
        ) {
            // Of two groups, only one may have the name.
            let written = parts.concat().replacen("?P<n>", "?P<m>", 1).replace("?P<n>", "");
            let (one, other) = (for_names(&written).expect("an expression"), Regex::new(&written).expect("an expression"));
            prop_assert!(one.capture_names().eq(other.capture_names()), "{} for {}", one, written);
            let groups = |expression: &Regex| {
                let captures = expression.captures(&name)?;
                Some(captures.iter().map(|group| group.map(|group| group.range())).collect::<Vec<_>>())
            };
            prop_assert_eq!(groups(&one), groups(&other), "{} for {}", one, written);
        }
    }
}
