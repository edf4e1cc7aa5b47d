//! Verdicts, and what they are based on.

use serde::Serialize;

/// Whether an image or a workload would start without the upstreams. The worst is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    No,
    Unknown,
    Yes,
}

impl Verdict {
    pub const ALL: [Self; 3] = [Self::No, Self::Unknown, Self::Yes];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Yes => "yes",
        }
    }
}

/// What a verdict is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub source: Source,
    /// The verdict by this evidence alone.
    pub verdict: Verdict,
    pub text: String,
    pub fix: Option<String>,
}

/// Where evidence is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The inventory of the cache.
    Inventory,
    /// The name of the image, and the rules.
    Rules,
    /// The images and the properties of the nodes, with the pull policy.
    Nodes,
    /// The record of a warm.
    Record,
}

impl Source {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Rules => "rules",
            Self::Nodes => "nodes",
            Self::Record => "record",
        }
    }
}
