//! The outcomes of images that counts and charts distinguish.

use super::{FoundImage, Verdict};
use crate::engine::Reason;

/// The outcome of an image at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    Rewritten,
    /// A rule in `mode: observe` matches.
    Observed,
    /// A rule matches whose `rollout` does not include the workload.
    NotRolledOut,
    Cached,
    NotRewritten,
    /// The webhook does not cover the place, whatever the rules.
    NotCovered,
    /// The scan has no rules.
    Undecided,
}

impl Bucket {
    pub const ALL: [Self; 7] = [
        Self::Rewritten,
        Self::Observed,
        Self::NotRolledOut,
        Self::Cached,
        Self::NotRewritten,
        Self::NotCovered,
        Self::Undecided,
    ];

    pub fn of(finding: &FoundImage) -> Self {
        match (&finding.verdict, finding.not_covered) {
            (Some(Verdict::NotRewritten { reason: Reason::AlreadyCached, .. }), _) => Self::Cached,
            (_, Some(_)) => Self::NotCovered,
            (Some(Verdict::Rewrite { .. }), None) => Self::Rewritten,
            (Some(Verdict::NotRewritten { reason: Reason::Observed, .. }), None) => Self::Observed,
            (Some(Verdict::NotRewritten { reason: Reason::NotRolledOut, .. }), None) => Self::NotRolledOut,
            (Some(Verdict::NotRewritten { .. }), None) => Self::NotRewritten,
            (None, None) => Self::Undecided,
        }
    }

    /// Returns the title of a column or a legend.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rewritten => "would be rewritten",
            Self::Observed => "rewritten if enforced",
            Self::NotRolledOut => "rewritten if rolled out",
            Self::Cached => "already cached",
            Self::NotRewritten => "not rewritten",
            Self::NotCovered => "not covered",
            Self::Undecided => "no rules given",
        }
    }
}
