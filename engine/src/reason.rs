//! Why an image is not rewritten, in terms that metrics, logs, `explain` and audit annotations share.

use std::cmp::Ordering;

macro_rules! reasons {
    ($($(#[doc = $when:literal])+ $reason:ident, $word:literal, $of:ident, $sentence:literal;)+) => {
        /// Why an image is not rewritten. When several apply, the first in this order is given.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $when])+ $reason),+ }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// Returns its stable name, which is also the label of a metric.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$reason => $word),+ }
            }

            /// Returns what it depends on.
            pub const fn depends_on(self) -> Dependence {
                match self { $(Self::$reason => Dependence::$of),+ }
            }

            /// Returns a short description.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$reason => $sentence),+ }
            }

            /// Returns when it applies, for the documentation.
            pub const fn when(self) -> &'static str {
                match self { $(Self::$reason => concat!($($when),+).trim_ascii()),+ }
            }
        }
    };
}

/// The input that a reason depends on, beside the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// The image, its namespace and its pull policy alone.
    Image,
    /// The Pod, or its state before an update.
    Request,
    /// The image, and the state of caches.
    Facts,
    /// The image, and the workload of its Pod.
    Workload,
}

reasons! {
    /// The Pod is being deleted.
    Deleting, "deleting", Request, "the Pod is being deleted";
    /// The Pod mirrors a static Pod (annotation `kubernetes.io/config.mirror`), which only the kubelet can change.
    MirrorPod, "mirror_pod", Request, "the Pod mirrors a static Pod, which only the kubelet can change";
    /// The Pod has the label `pullthrough.dev/rewrite: disabled`, and the rules say `allowOptOut: true`.
    OptedOut, "opted_out", Request, "the Pod's label pullthrough.dev/rewrite is disabled";
    /// The Pod is new, and belongs to an operator that compares its images and would recreate it. The rules skip the operator
    /// (`operators.skip`), or its workload stands down (`operators.onRecreateLoop: standDown`).
    OperatorManaged, "operator_managed", Request, "the Pod belongs to an operator that compares its images";
    /// The image is empty, or `auto`, which Istio fills in.
    Placeholder, "placeholder", Image, "the image is empty or `auto`, a placeholder that another webhook fills in";
    /// The image is the same as before the update, or the stored one is restored.
    Unchanged, "unchanged", Request, "the image is the same as before the update";
    /// The image is not a valid reference. The kubelet reports it.
    Invalid, "invalid", Image, "not an image reference";
    /// `imagePullPolicy` is `Never` (`pullPolicy` of an image volume): the image is preloaded on the node.
    PullNever, "pull_never", Image, "imagePullPolicy is Never: the image is preloaded on the node";
    /// The image is under some rule's `to` or `failover`.
    AlreadyCached, "already_cached", Image, "the image is already under a rule's `to` or `failover`";
    /// An `except` entry matches.
    Excepted, "excepted", Image, "an `except` entry matches";
    /// A rule matches, but not in this namespace, and no other does.
    NamespaceExcluded, "namespace_excluded", Image, "a rule matches, but not in this namespace";
    /// No rule matches.
    NoRule, "no_rule", Image, "no rule matches";
    /// A rule matches, and its `rollout` does not include the Pod's workload.
    NotRolledOut, "not_rolled_out", Workload, "a rule matches, but its `rollout` does not include this workload";
    /// The result is invalid. Host, slash and path are over 255 characters, the limit of several clients. Or it has no host. Or a
    /// rule would rewrite it again.
    ResultInvalid, "result_invalid", Image, "the result is longer than 255 characters, or not an image in the cache";
    /// A rule matches, in `mode: observe`.
    Observed, "observed", Image, "a rule matches, but it only observes";
    /// A rule with `checkExists` matches, and the cache does not have the image.
    NotInCache, "not_in_cache", Facts, "a rule matches, but its cache does not have the image";
    /// A rule with `whenCacheDown: upstream` matches, and every cache of the rule is down.
    CacheDown, "cache_down", Facts, "a rule matches, but all of its caches are down";
}

/// Sorts by name.
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
