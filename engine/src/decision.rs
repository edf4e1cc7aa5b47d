//! What is decided about one image, in words that metrics, logs, `explain` and audit annotations share.

use super::reason::Reason;
use super::rule::Rule;

/// What is decided about one image.
#[derive(Debug, Clone)]
pub enum Decision<'p> {
    /// Write `result` instead, because of this rule.
    Rewrite { rule: &'p Rule, result: String },
    /// Write what stands there already, since the API server refuses anything else: a Pod's image volumes and its
    /// existing ephemeral containers can't be changed. The reason is [`Reason::Unchanged`].
    Restore { result: String },
    /// Leave the image alone. The rule is there where it is the reason.
    Keep { reason: Reason, rule: Option<&'p Rule> },
}

impl<'p> Decision<'p> {
    pub(super) const fn keep(reason: Reason) -> Self {
        Self::Keep { reason, rule: None }
    }

    pub fn rule(&self) -> Option<&'p Rule> {
        match self {
            Self::Rewrite { rule, .. } => Some(rule),
            Self::Restore { .. } => None,
            Self::Keep { rule, .. } => *rule,
        }
    }

    /// Why the image is kept; nothing where it is rewritten.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Rewrite { .. } => None,
            Self::Restore { .. } => Some(Reason::Unchanged),
            Self::Keep { reason, .. } => Some(*reason),
        }
    }
}
