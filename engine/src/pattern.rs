//! The regular expression of a rule.

use std::collections::BTreeMap;

use regex::{Captures, Regex};
use regex_syntax::hir::{self, Hir, HirKind};
use thiserror::Error;

/// A regular expression over the canonical host and path, anchored at both ends.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
        Regex::new(text)
            .and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")))
            .map(Self)
            .map_err(|error| InvalidPattern::Syntax(last_line(&error.to_string())))
    }

    /// Returns the expression with its anchors.
    pub fn anchored(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the expression without the anchors.
    pub fn written(&self) -> &str {
        let anchored = self.anchored();
        anchored.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(anchored)
    }

    /// Returns the names of the groups, first that of the whole.
    pub(super) fn groups(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.capture_names()
    }

    /// Returns the expression of each group without the groups in it, by its number from 1 on.
    pub(super) fn group_expressions(&self) -> BTreeMap<usize, String> {
        let mut groups = BTreeMap::new();
        if let Ok(hir) = regex_syntax::parse(self.written()) {
            without_groups(&hir, &mut groups);
        }
        groups
    }

    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        self.0.captures(name)
    }
}

/// Returns an expression without its groups, and adds the expression of each.
fn without_groups(hir: &Hir, groups: &mut BTreeMap<usize, String>) -> Hir {
    let mut each = |hirs: &[Hir]| hirs.iter().map(|hir| without_groups(hir, groups)).collect::<Vec<_>>();
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
        HirKind::Concat(hirs) => Hir::concat(each(hirs)),
        HirKind::Alternation(hirs) => Hir::alternation(each(hirs)),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(without_groups(&repetition.sub, groups));
            Hir::repetition(hir::Repetition { sub, ..*repetition })
        }
        HirKind::Capture(capture) => {
            let sub = without_groups(&capture.sub, groups);
            if let Ok(number) = usize::try_from(capture.index) {
                groups.insert(number, sub.to_string());
            }
            sub
        }
    }
}

/// Returns the last line of an error: the regex crate draws the expression over the lines before it.
fn last_line(message: &str) -> String {
    message.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
