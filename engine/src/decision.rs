//! What is decided about one image, in words that metrics, logs, `explain` and audit annotations share.

use super::rule::Rule;

/// Why an image is left alone. When several apply, the first in this order is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The Pod is being deleted.
    Deleting,
    /// The Pod is the shadow of a static Pod, which only the kubelet can change.
    MirrorPod,
    /// The Pod's label switches rewriting off, and the rules file allows that.
    OptedOut,
    /// The image is empty or Istio's `auto`: somebody else fills it in.
    Placeholder,
    /// UPDATE, and the image is as it was.
    Unchanged,
    /// Not an image reference; the kubelet will report it.
    Invalid,
    /// The image is preloaded on the node.
    PullNever,
    /// The image is under some rule's `to`.
    AlreadyCached,
    /// An `except` entry matches.
    Excepted,
    /// A rule matches, but not in this namespace, and no other does.
    NamespaceExcluded,
    /// No rule matches.
    NoRule,
    /// The result is too long for several clients, or would not be an image of the cache.
    ResultInvalid,
    /// A rule matches that only observes.
    Observed,
}

impl Reason {
    pub const ALL: [Self; 13] = [
        Self::Deleting,
        Self::MirrorPod,
        Self::OptedOut,
        Self::Placeholder,
        Self::Unchanged,
        Self::Invalid,
        Self::PullNever,
        Self::AlreadyCached,
        Self::Excepted,
        Self::NamespaceExcluded,
        Self::NoRule,
        Self::ResultInvalid,
        Self::Observed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleting => "deleting",
            Self::MirrorPod => "mirror_pod",
            Self::OptedOut => "opted_out",
            Self::Placeholder => "placeholder",
            Self::Unchanged => "unchanged",
            Self::Invalid => "invalid",
            Self::PullNever => "pull_never",
            Self::AlreadyCached => "already_cached",
            Self::Excepted => "excepted",
            Self::NamespaceExcluded => "namespace_excluded",
            Self::NoRule => "no_rule",
            Self::ResultInvalid => "result_invalid",
            Self::Observed => "observed",
        }
    }

    /// One sentence for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Deleting => "the Pod is being deleted",
            Self::MirrorPod => "the Pod mirrors a static Pod, which only its node can change",
            Self::OptedOut => "the Pod's label pullthrough.dev/rewrite is disabled",
            Self::Placeholder => "the image is empty or `auto`, to be filled in by somebody else",
            Self::Unchanged => "the image is as it was before the update",
            Self::Invalid => "not an image reference",
            Self::PullNever => "imagePullPolicy is Never: the image is preloaded on the node",
            Self::AlreadyCached => "the image is already under a rule's `to`",
            Self::Excepted => "an `except` entry matches",
            Self::NamespaceExcluded => "a rule matches, but not in this namespace",
            Self::NoRule => "no rule matches",
            Self::ResultInvalid => "the result would be over 255 characters, or no image of the cache",
            Self::Observed => "a rule matches, but it only observes",
        }
    }
}

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
