//! One image at one place.

use std::sync::Arc;

use serde::Serialize;

use super::PullAccess;
use super::comparison::Comparison;
use crate::engine::{Decision, ImageRef, Percent, Policy, Prefix, Reason, Rule, Workload};

/// One image at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundImage {
    pub image: String,
    /// Canonical. `None` for an invalid reference.
    pub registry: Option<String>,
    pub repository: Option<String>,
    pub place: Location,
    pub in_use: Use,
    /// `None` without rules.
    pub verdict: Option<Verdict>,
    pub not_covered: Option<NotCovered>,
    /// What is known of the operator that creates the Pod, or that reads the custom resource.
    pub comparison: Option<Comparison>,
    /// `None` if the scan does not collect it, or if the image is in no namespace.
    pub pull_access: Option<Arc<PullAccess>>,
    /// `None` if no rule has a `rollout`, or if the workload of the place is not known.
    pub workload: Option<FoundWorkload>,
}

/// A workload, as roll-outs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWorkload {
    /// Such as `Deployment/web`.
    pub name: String,
    pub namespace: String,
    /// The percentage from which roll-outs include it.
    pub included_from: Percent,
}

/// The position of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A field of an object of the cluster.
    Cluster {
        api_version: String,
        kind: String,
        namespace: Option<String>,
        name: String,
        /// As in admission: `containers/app`.
        place: String,
    },
    /// A field of a file.
    File {
        /// The path as given, or found below one that was given. `-` is standard input.
        file: String,
        line: usize,
        column: usize,
        api_version: String,
        kind: String,
        namespace: Option<String>,
        name: String,
        place: String,
    },
    /// An image on a node that is in no Pod or template.
    Node { node: String },
}

/// How the image is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// A Pod has it.
    Running,
    /// A template will create Pods with it.
    Template,
    /// A manifest has it.
    Manifest,
    /// A node stores it.
    Held,
    /// A field of an unknown kind looks like an image.
    Unknown,
}

/// The decision of the rules about an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Rewrite {
        result: String,
        rule: String,
    },
    NotRewritten {
        reason: Reason,
        rule: Option<String>,
        /// The name that the rule would give the image, if it enforced for every workload.
        would_be: Option<String>,
    },
}

/// Why the webhook does not cover a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCovered {
    /// A static Pod: the kubelet reads it from its node.
    StaticPod,
    /// The sandbox (pause) image, which the container runtime pulls.
    SandboxImage,
    /// The `namespaceSelector` of the webhook configuration excludes the namespace.
    Namespace,
    /// The `objectSelector` of the webhook configuration excludes the Pod.
    Label,
}

impl FoundImage {
    /// Parses registry and repository from the image.
    pub fn new(
        image: String,
        place: Location,
        in_use: Use,
        verdict: Option<Verdict>,
        not_covered: Option<NotCovered>,
    ) -> Self {
        let (registry, repository) = match ImageRef::parse(&image) {
            Ok(parsed) => (parsed.registry().map(str::to_owned), Some(parsed.repository().to_owned())),
            Err(_) => (None, None),
        };
        Self {
            image,
            registry,
            repository,
            place,
            in_use,
            verdict,
            not_covered,
            comparison: None,
            pull_access: None,
            workload: None,
        }
    }

    /// Returns the place to write the rewritten image name to, if a known operator compares it: a field of this manifest, or what
    /// the operator's table has for the container.
    pub fn place_to_set(&self) -> Option<String> {
        let Some(Comparison::Known(operator)) = &self.comparison else { return None };
        match &self.place {
            Location::File { place, .. } => Some(format!("`{place}`")),
            Location::Cluster { place, .. } => {
                let container = place.split_once('/').map_or(place.as_str(), |(_, container)| container);
                operator.place(container).map(str::to_owned)
            }
            Location::Node { .. } => None,
        }
    }

    /// Returns the rewritten name that the operator would compare, whether the rule enforces or observes.
    pub fn value_to_set(&self) -> Option<&str> {
        match self.verdict.as_ref()? {
            Verdict::Rewrite { result, .. } => Some(result),
            Verdict::NotRewritten { reason: Reason::Observed, would_be, .. } => would_be.as_deref(),
            Verdict::NotRewritten { .. } => None,
        }
    }

    /// Returns the first of the prefixes that the image is pulled from. Images that a node only stores are not pulled, except
    /// the sandbox image.
    pub fn forbidden_by<'p>(&self, prefixes: &'p [Prefix]) -> Option<&'p Prefix> {
        let is_pulled = self.in_use != Use::Held || self.not_covered == Some(NotCovered::SandboxImage);
        if prefixes.is_empty() || !is_pulled {
            return None;
        }
        let name = [self.registry.as_deref()?, self.repository.as_deref()?].join("/");
        prefixes.iter().find(|prefix| prefix.strip(&name).is_some())
    }
}

impl FoundWorkload {
    /// Returns the workload of a place if it is known, and if a rule has a `rollout`.
    pub fn of(policy: Option<&Policy>, workload: Option<&Workload>, namespace: &str) -> Option<Self> {
        let workload = workload.filter(|_| policy.is_some_and(Policy::has_rollouts))?;
        Some(Self {
            name: workload.to_string(),
            namespace: namespace.to_owned(),
            included_from: workload.included_from(namespace),
        })
    }
}

impl Location {
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster { namespace, .. } | Self::File { namespace, .. } => namespace.as_deref(),
            Self::Node { .. } => None,
        }
    }

    pub fn file(&self) -> Option<&str> {
        match self {
            Self::File { file, .. } => Some(file),
            Self::Cluster { .. } | Self::Node { .. } => None,
        }
    }

    /// Returns `Deployment shop/web`, or `None` for a node.
    pub fn object(&self) -> Option<String> {
        match self {
            Self::Cluster { kind, namespace, name, .. } | Self::File { kind, namespace, name, .. } => {
                let namespace = namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
                Some([kind, " ", &namespace, name].concat().trim_end().to_owned()).filter(|object| !object.is_empty())
            }
            Self::Node { .. } => None,
        }
    }
}

/// Formats as `deploy/web.yaml:12`, `Deployment shop/web containers/app`, or `node n1`.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Cluster { place, .. } => write!(f, "{} {place}", self.object().unwrap_or_default()),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Node { node } => write!(f, "node {node}"),
        }
    }
}

impl Use {
    pub const ALL: [Self; 5] = [Self::Running, Self::Template, Self::Manifest, Self::Held, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Template => "template",
            Self::Manifest => "manifest",
            Self::Held => "held",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the words after a number of places, in singular and plural.
    pub(super) const fn noun(self) -> (&'static str, &'static str) {
        match self {
            Self::Running => ("in a Pod", "in Pods"),
            Self::Template => ("in a template", "in templates"),
            Self::Manifest => ("in a manifest", "in manifests"),
            Self::Held => ("stored on a node", "stored on nodes"),
            Self::Unknown => ("in an unknown field", "in unknown fields"),
        }
    }
}

impl From<&Decision<'_>> for Verdict {
    fn from(decision: &Decision) -> Self {
        let name = |rule: &Rule| rule.name.clone();
        match decision {
            Decision::Rewrite { rule, result, .. } => Self::Rewrite { result: result.clone(), rule: name(rule) },
            Decision::Restore { .. } => Self::NotRewritten { reason: Reason::Unchanged, rule: None, would_be: None },
            Decision::NotRewritten { reason, rule, would_be } => {
                Self::NotRewritten { reason: *reason, rule: rule.map(name), would_be: would_be.clone() }
            }
        }
    }
}

impl NotCovered {
    pub const ALL: [Self; 4] = [Self::StaticPod, Self::SandboxImage, Self::Namespace, Self::Label];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaticPod => "static_pod",
            Self::SandboxImage => "sandbox_image",
            Self::Namespace => "namespace",
            Self::Label => "label",
        }
    }

    /// Returns a short title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::StaticPod => "static Pods",
            Self::SandboxImage => "the sandbox (pause) image",
            Self::Namespace => "excluded namespaces",
            Self::Label => "excluded Pods",
        }
    }

    pub const fn why(self) -> &'static str {
        match self {
            Self::StaticPod => {
                "the kubelet reads them from a file on its node; the API server has only mirror Pods of them"
            }
            Self::SandboxImage => "the container runtime pulls it for every Pod; no Pod names it",
            Self::Namespace => "the namespaceSelector of the webhook configuration excludes them",
            Self::Label => "the objectSelector of the webhook configuration excludes them",
        }
    }

    /// Returns the fix that makes these images name a cache.
    pub const fn reached_by(self) -> &'static str {
        match self {
            Self::StaticPod => {
                "write the rewritten image name into the Pod's file on each node, or configure a mirror on the nodes \
                 (containerd: certs.d/REGISTRY/hosts.toml, CRI-O: registries.conf)"
            }
            Self::SandboxImage => {
                "write the rewritten image name into the runtime's configuration (containerd 2: sandbox of pinned_images, \
                 containerd 1: sandbox_image, CRI-O: pause_image), or configure a mirror on the nodes"
            }
            Self::Namespace => {
                "remove the namespace from the namespaceSelector, rewrite its manifests (`pullthrough rewrite`), or \
                 configure a mirror on the nodes"
            }
            Self::Label => {
                "remove the label from the Pod's template, rewrite the manifest (`pullthrough rewrite`), or configure a \
                 mirror on the nodes"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_well() {
        let object = |kind: &str, namespace: Option<&str>, name: &str| Location::Cluster {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            place: "containers/app".to_owned(),
        };
        assert_eq!(object("Pod", Some("shop"), "web").to_string(), "Pod shop/web containers/app");
        assert_eq!(object("Kustomization", None, "").object().as_deref(), Some("Kustomization"));
        assert_eq!(object("", None, "").object(), None);
        assert_eq!(Location::Node { node: "n1".to_owned() }.to_string(), "node n1");
    }

    #[test]
    fn an_image_that_is_no_reference_has_no_registry() {
        let finding = |image: &str| {
            let place = Location::Node { node: "n1".to_owned() };
            FoundImage::new(image.to_owned(), place, Use::Held, None, None)
        };
        assert_eq!(finding("nginx").registry.as_deref(), Some("docker.io"));
        assert_eq!(finding("nginx").repository.as_deref(), Some("library/nginx"));
        assert_eq!((finding("A b").registry, finding("A b").repository), (None, None));
    }
}
