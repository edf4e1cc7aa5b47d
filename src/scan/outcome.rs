//! What comes of an image, in the few kinds that counts and charts tell apart.

use super::{Finding, Verdict};
use crate::engine::Reason;

/// What comes of an image at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Rewritten,
    Cached,
    LeftAlone,
    /// Whatever the rules say: no webhook sees it.
    OutOfReach,
    /// There are no rules.
    Undecided,
}

impl Outcome {
    pub const ALL: [Self; 5] = [Self::Rewritten, Self::Cached, Self::LeftAlone, Self::OutOfReach, Self::Undecided];

    pub fn of(finding: &Finding) -> Self {
        match (&finding.verdict, finding.out_of_reach) {
            (Some(Verdict::Keep { reason: Reason::AlreadyCached, .. }), _) => Self::Cached,
            (_, Some(_)) => Self::OutOfReach,
            (Some(Verdict::Rewrite { .. }), None) => Self::Rewritten,
            (Some(Verdict::Keep { .. }), None) => Self::LeftAlone,
            (None, None) => Self::Undecided,
        }
    }

    /// As a column's or a legend's title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rewritten => "would be rewritten",
            Self::Cached => "already cached",
            Self::LeftAlone => "left alone",
            Self::OutOfReach => "out of reach",
            Self::Undecided => "no rules given",
        }
    }
}
