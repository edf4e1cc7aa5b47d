//! The decision about one image, in terms that metrics, logs, `explain` and audit annotations share.

use std::borrow::Cow;

use super::image::ImageRef;
use super::pod::Place;
use super::reason::Reason;
use super::rule::Rule;

/// The decision about one image.
#[derive(Debug, Clone)]
pub enum Decision<'p> {
    /// The rule rewrites the image to `result`.
    Rewrite {
        rule: &'p Rule,
        result: String,
        /// The position of the failover that gives the result; `None` for `to`.
        failover: Option<usize>,
    },
    /// The stored image is restored. The API server rejects any other at an immutable place: a Pod's image volumes and its
    /// existing ephemeral containers. At other places, a rule gives both names to one image, and only the state of its
    /// caches has changed: another name would restart the container. The reason is [`Reason::Unchanged`].
    Restore { result: String },
    /// The image is not rewritten. `rule` is set if a rule is the reason.
    NotRewritten {
        reason: Reason,
        rule: Option<&'p Rule>,
        /// The name that the rule would give the image, for [`Reason::NotRolledOut`] if it is valid, [`Reason::Observed`],
        /// [`Reason::NotInCache`] and [`Reason::CacheDown`].
        would_be: Option<String>,
    },
}

impl<'p> Decision<'p> {
    pub(super) fn restore(old: &ImageRef) -> Self {
        Self::Restore { result: old.written().to_owned() }
    }

    pub(super) const fn not_rewritten(reason: Reason) -> Self {
        Self::NotRewritten { reason, rule: None, would_be: None }
    }

    /// Returns the rule that rewrites the image, or because of which it is not rewritten.
    pub fn rule(&self) -> Option<&'p Rule> {
        match self {
            Self::Rewrite { rule, .. } => Some(rule),
            Self::Restore { .. } => None,
            Self::NotRewritten { rule, .. } => *rule,
        }
    }

    /// Returns the cache that the result names, as the rule has it: its `to`, or a failover.
    pub fn cache(&self) -> Option<&'p str> {
        match self {
            Self::Rewrite { rule, failover: None, .. } => Some(rule.matcher.target()),
            Self::Rewrite { rule, failover: Some(at), .. } => rule.matcher.failover().get(*at).copied(),
            Self::Restore { .. } | Self::NotRewritten { .. } => None,
        }
    }

    /// Returns the name that a rule would give the image, if another reason than its matching keeps the rule from rewriting.
    pub fn would_be(&self) -> Option<&str> {
        match self {
            Self::Rewrite { .. } | Self::Restore { .. } => None,
            Self::NotRewritten { would_be, .. } => would_be.as_deref(),
        }
    }

    /// Returns why the image is not rewritten; `None` if it is.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Rewrite { .. } => None,
            Self::Restore { .. } => Some(Reason::Unchanged),
            Self::NotRewritten { reason, .. } => Some(*reason),
        }
    }
}

/// An image of a Pod, and the decision about it.
#[derive(Debug)]
pub struct ImageDecision<'a> {
    pub place: Place<'a>,
    pub image: Cow<'a, str>,
    pub decision: Decision<'a>,
}
