//! The regular expression of a rule.

use regex::{Captures, Regex};
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

    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        self.0.captures(name)
    }
}

/// Returns the last line of an error: the regex crate draws the expression over the lines before it.
fn last_line(message: &str) -> String {
    message.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
