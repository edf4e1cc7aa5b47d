//! The possible starts of the names that a pattern matches.

use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

use super::prefix::Prefix;

/// The start of a name, or a whole name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub text: String,
    pub is_whole: bool,
}

impl Start {
    /// Returns texts of which each match of an expression starts with one; none if they are unknown.
    pub(super) fn of(expression: &Hir) -> Vec<Self> {
        let sequence = Extractor::new().extract(expression);
        let literals = sequence.literals().unwrap_or_default().iter();
        let starts = literals.map(|literal| {
            let text = std::str::from_utf8(literal.as_bytes()).ok()?.to_owned();
            Some(Self { text, is_whole: literal.is_exact() })
        });
        starts.collect::<Option<_>>().unwrap_or_default()
    }

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
