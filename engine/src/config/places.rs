//! The places of a rule's parts in its text, in bytes.

use std::ops::Range;

/// The places of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub name: Range<usize>,
    /// Each entry of `from`, or the `pattern`.
    pub sources: Vec<Range<usize>>,
    pub to: Range<usize>,
    /// Each entry of `failover`.
    pub failover: Vec<Range<usize>>,
    pub when_cache_down: Option<Range<usize>>,
    pub check_exists: Option<Range<usize>>,
    /// Each entry of `except`.
    pub except: Vec<Range<usize>>,
}
