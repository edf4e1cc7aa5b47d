//! Why an image is not rewritten, in words that metrics, logs, `explain` and audit annotations share.

use std::cmp::Ordering;

macro_rules! reasons {
    ($($(#[doc = $when:literal])+ $reason:ident, $word:literal, $of:ident, $sentence:literal;)+) => {
        /// Why an image is not rewritten. When several apply, the first in this order is given.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $when])+ $reason),+ }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// What it is called, for good: also as the label of a metric.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$reason => $word),+ }
            }

            /// What it depends on.
            pub const fn depends_on(self) -> Dependence {
                match self { $(Self::$reason => Dependence::$of),+ }
            }

            /// A few words for people.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$reason => $sentence),+ }
            }

            /// When it is given, as the reference says it.
            pub const fn when(self) -> &'static str {
                match self { $(Self::$reason => concat!($($when),+).trim_ascii()),+ }
            }
        }
    };
}

/// What a reason depends on, beside the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// The image, its namespace and its pull policy alone.
    Image,
    /// The Pod, or what it was before an update.
    Request,
}

reasons! {
    /// The Pod is being deleted.
    Deleting, "deleting", Request, "the Pod is being deleted";
    /// The Pod mirrors a static Pod (annotation `kubernetes.io/config.mirror`), which only the kubelet can change.
    MirrorPod, "mirror_pod", Request, "the Pod mirrors a static Pod, which only its node can change";
    /// The Pod has the label `pullthrough.dev/rewrite: disabled`, and the rules say `allowOptOut: true`.
    OptedOut, "opted_out", Request, "the Pod's label pullthrough.dev/rewrite is disabled";
    /// The image is empty, or `auto`, which Istio fills in.
    Placeholder, "placeholder", Image, "the image is empty or `auto`, to be filled in by somebody else";
    /// UPDATE, and the image is as it was.
    Unchanged, "unchanged", Request, "the image is as it was before the update";
    /// Not an image reference. The kubelet will report it.
    Invalid, "invalid", Image, "not an image reference";
    /// `imagePullPolicy: Never` (an image volume's `pullPolicy`): the image is preloaded.
    PullNever, "pull_never", Image, "imagePullPolicy is Never: the image is preloaded on the node";
    /// The image is under some rule's `to`.
    AlreadyCached, "already_cached", Image, "the image is already under a rule's `to`";
    /// An `except` entry matches.
    Excepted, "excepted", Image, "an `except` entry matches";
    /// A rule matches, but not in this namespace, and no other does.
    NamespaceExcluded, "namespace_excluded", Image, "a rule matches, but not in this namespace";
    /// No rule matches.
    NoRule, "no_rule", Image, "no rule matches";
    /// Host, slash and path of the result would be over 255 characters (the limit of several clients), or it would be no
    /// image of a registry that it names, or a rule would rewrite it again.
    ResultInvalid, "result_invalid", Image, "the result would be over 255 characters, or no image of the cache";
    /// A rule matches, in `mode: observe`.
    Observed, "observed", Image, "a rule matches, but it only observes";
}

/// By their words, as lists are sorted.
impl Ord for Reason {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
