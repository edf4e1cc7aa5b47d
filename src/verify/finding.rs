//! What a check finds about an image.

use super::{Match, Verified};
use crate::diagnosis::Status;

/// A status of an image that is not served, or a comparison of digests that did not find them equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    Missing,
    Denied,
    RateLimited,
    Unreachable,
    Unknown,
    Stale,
    Trimmed,
    Different,
    /// The digests were not compared.
    NotCompared,
}

impl Finding {
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Denied,
        Self::RateLimited,
        Self::Unreachable,
        Self::Unknown,
        Self::Stale,
        Self::Trimmed,
        Self::Different,
        Self::NotCompared,
    ];

    /// Returns its name: the word of `--fail-on`, and the rule in SARIF.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => Status::Missing.as_str(),
            Self::Denied => Status::Denied.as_str(),
            Self::RateLimited => Status::RateLimited.as_str(),
            Self::Unreachable => Status::Unreachable.as_str(),
            Self::Unknown => Status::Unknown.as_str(),
            Self::Different => Match::Different.as_str(),
            Self::Trimmed => Match::Trimmed.as_str(),
            Self::Stale => Match::Stale.as_str(),
            Self::NotCompared => "not_compared",
        }
    }

    /// Returns it as people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::RateLimited => Status::RateLimited.title(),
            Self::NotCompared => "not compared",
            _ => self.as_str(),
        }
    }

    /// Returns whether `--digest-proof` finds it.
    pub const fn is_of_digests(self) -> bool {
        matches!(self, Self::Different | Self::Trimmed | Self::Stale | Self::NotCompared)
    }

    /// Returns `None` for an image that is served.
    pub const fn of_status(status: Status) -> Option<Self> {
        match status {
            Status::Served => None,
            Status::Missing => Some(Self::Missing),
            Status::Denied => Some(Self::Denied),
            Status::RateLimited => Some(Self::RateLimited),
            Status::Unreachable => Some(Self::Unreachable),
            Status::Unknown => Some(Self::Unknown),
        }
    }

    /// Returns `None` for equal digests.
    pub const fn of_match(result: Match) -> Option<Self> {
        match result {
            Match::Equal => None,
            Match::Different => Some(Self::Different),
            Match::Trimmed => Some(Self::Trimmed),
            Match::Stale => Some(Self::Stale),
            Match::Unknown => Some(Self::NotCompared),
        }
    }
}

impl Verified {
    /// Returns what was found: at most one of its status, then at most one of its digests.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        let of_digests = self.seen.proof.as_ref().and_then(|proof| Finding::of_match(proof.result));
        Finding::of_status(self.diagnosis.status).into_iter().chain(of_digests)
    }
}
