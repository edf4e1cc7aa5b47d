//! Pull policies.

use crate::engine::ImageRef;

/// When a kubelet asks the registry for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Always, Self::IfNotPresent, Self::Never].into_iter().find(|policy| policy.as_str() == text)
    }

    /// Returns the policy that Kubernetes sets where none is written.
    pub(super) fn default_of(image: &str) -> Self {
        match ImageRef::parse(image) {
            Ok(image) if image.digest().is_none() && image.tag().is_none_or(|tag| tag == "latest") => Self::Always,
            _ => Self::IfNotPresent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_pull_policy_is_that_of_kubernetes() {
        for (image, expected) in [
            ("a.io/a", PullPolicy::Always),
            ("a.io/a:latest", PullPolicy::Always),
            ("a.io/a:1", PullPolicy::IfNotPresent),
            (
                "a.io/a@sha256:5516d103a9c2ecc4f026efbd4b40662ce22dc1f824fb129ed121460aaa5c47f8",
                PullPolicy::IfNotPresent,
            ),
        ] {
            assert_eq!(PullPolicy::default_of(image), expected, "{image}");
        }
    }
}
