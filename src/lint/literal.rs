//! The possible starts of the names that a pattern matches.

use regex_syntax::hir::literal::Extractor;

use crate::engine::{Pattern, Prefix};

/// The start of a name, or a whole name.
pub struct Start {
    pub text: String,
    pub is_whole: bool,
}

impl Start {
    /// Returns whether every name with this start is at or below the prefix.
    pub fn is_below(&self, prefix: &Prefix) -> bool {
        match prefix.strip(&self.text) {
            Some(rest) => self.is_whole || !rest.is_empty(),
            None => false,
        }
    }

    /// Returns the host, if the start has all of it.
    pub fn host(&self) -> Option<&str> {
        self.text.split_once('/').map(|(host, _)| host)
    }
}

/// Returns texts of which each match starts with one; none if they are unknown.
pub fn starts(pattern: &Pattern) -> Vec<Start> {
    let Ok(hir) = regex_syntax::parse(pattern.written()) else { return Vec::new() };
    let sequence = Extractor::new().extract(&hir);
    let literals = sequence.literals().unwrap_or_default().iter();
    let starts = literals.map(|literal| {
        let text = std::str::from_utf8(literal.as_bytes()).ok()?.to_owned();
        Some(Start { text, is_whole: literal.is_exact() })
    });
    starts.collect::<Option<_>>().unwrap_or_default()
}
