//! One image at one place.

use serde::Serialize;

use crate::engine::{Decision, ImageRef, Prefix, Reason, Rule};

/// One image at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub image: String,
    /// Canonical; nothing where the image is no reference.
    pub registry: Option<String>,
    pub repository: Option<String>,
    pub place: Place,
    pub in_use: Use,
    /// Nothing without rules.
    pub verdict: Option<Verdict>,
    pub out_of_reach: Option<OutOfReach>,
}

/// Where an image stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A field of an object of the cluster.
    Cluster {
        api_version: String,
        kind: String,
        namespace: Option<String>,
        name: String,
        /// As admission names it: `containers/app`.
        place: String,
    },
    /// A field of a file.
    File {
        /// As it was named, or found below what was named; `-` for standard input.
        file: String,
        line: usize,
        column: usize,
        api_version: String,
        kind: String,
        namespace: Option<String>,
        name: String,
        place: String,
    },
    /// An image that a node holds, and that is in no Pod or template.
    Node { node: String },
}

/// Whether the image is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// A Pod has it.
    Running,
    /// A template will create Pods with it.
    Template,
    /// A manifest that may be applied.
    Manifest,
    /// A node keeps it.
    Held,
    /// It looks like an image, in a kind that is not known.
    Unknown,
}

/// What the rules make of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Rewrite { result: String, rule: String },
    Keep { reason: Reason, rule: Option<String> },
}

/// Why no webhook sees what is pulled there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutOfReach {
    /// A static Pod: the kubelet has it from its node.
    StaticPod,
    /// The sandbox (pause) image, which the container runtime pulls by itself.
    SandboxImage,
    /// The registration leaves the namespace out.
    Namespace,
    /// The registration's `objectSelector` leaves the Pod out.
    Label,
}

impl Finding {
    /// Reads registry and repository off the image.
    pub fn new(
        image: String,
        place: Place,
        in_use: Use,
        verdict: Option<Verdict>,
        out_of_reach: Option<OutOfReach>,
    ) -> Self {
        let (registry, repository) = match ImageRef::parse(&image) {
            Ok(parsed) => (parsed.registry().map(str::to_owned), Some(parsed.repository().to_owned())),
            Err(_) => (None, None),
        };
        Self { image, registry, repository, place, in_use, verdict, out_of_reach }
    }

    /// The first of the prefixes that the image is pulled from. What a node only holds is not pulled; the sandbox image is.
    pub fn forbidden_by<'p>(&self, prefixes: &'p [Prefix]) -> Option<&'p Prefix> {
        let is_pulled = self.in_use != Use::Held || self.out_of_reach == Some(OutOfReach::SandboxImage);
        if prefixes.is_empty() || !is_pulled {
            return None;
        }
        let name = [self.registry.as_deref()?, self.repository.as_deref()?].join("/");
        prefixes.iter().find(|prefix| prefix.strip(&name).is_some())
    }
}

impl Place {
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster { namespace, .. } | Self::File { namespace, .. } => namespace.as_deref(),
            Self::Node { .. } => None,
        }
    }

    /// `Deployment shop/web`; nothing for a node.
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

/// `deploy/web.yaml:12`, `Deployment shop/web containers/app`, `node n1`.
impl std::fmt::Display for Place {
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

    /// What has so many of it: `3 Pods`.
    pub(super) const fn noun(self) -> (&'static str, &'static str) {
        match self {
            Self::Running => ("in a Pod", "in Pods"),
            Self::Template => ("in a template", "in templates"),
            Self::Manifest => ("in a manifest", "in manifests"),
            Self::Held => ("held by a node", "held by nodes"),
            Self::Unknown => ("in a field that is not known", "in fields that are not known"),
        }
    }
}

impl From<&Decision<'_>> for Verdict {
    fn from(decision: &Decision) -> Self {
        let name = |rule: &Rule| rule.name.clone();
        match decision {
            Decision::Rewrite { rule, result } => Self::Rewrite { result: result.clone(), rule: name(rule) },
            Decision::Restore { .. } => Self::Keep { reason: Reason::Unchanged, rule: None },
            Decision::Keep { reason, rule } => Self::Keep { reason: *reason, rule: rule.map(name) },
        }
    }
}

impl OutOfReach {
    pub const ALL: [Self; 4] = [Self::StaticPod, Self::SandboxImage, Self::Namespace, Self::Label];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaticPod => "static_pod",
            Self::SandboxImage => "sandbox_image",
            Self::Namespace => "namespace",
            Self::Label => "label",
        }
    }

    /// A few words for people.
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
                "the kubelet has them from a file of its node; the API server only sees their mirror Pods"
            }
            Self::SandboxImage => "the container runtime pulls it for every Pod; it stands in no Pod",
            Self::Namespace => "the API server does not call the webhook there, by its namespaceSelector",
            Self::Label => "the API server does not call the webhook for them, by its objectSelector",
        }
    }

    /// What sends these images through a cache instead.
    pub const fn reached_by(self) -> &'static str {
        match self {
            Self::StaticPod => {
                "write the cache's name into the Pod's file on each node, or give the node a mirror of the registry \
                 (containerd: certs.d/REGISTRY/hosts.toml; CRI-O: registries.conf)"
            }
            Self::SandboxImage => {
                "name the cache's image in the runtime's own configuration (containerd 2: sandbox of pinned_images; \
                 containerd 1: sandbox_image; CRI-O: pause_image), or give the node a mirror of the registry"
            }
            Self::Namespace => {
                "take the namespace out of what the namespaceSelector excludes, write the cache's names into its \
                 manifests (`pullthrough rewrite`), or give the nodes a mirror of the registry"
            }
            Self::Label => {
                "take the label off the Pod's template, write the cache's name into the manifest \
                 (`pullthrough rewrite`), or give the nodes a mirror of the registry"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_well() {
        let object = |kind: &str, namespace: Option<&str>, name: &str| Place::Cluster {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            place: "containers/app".to_owned(),
        };
        assert_eq!(object("Pod", Some("shop"), "web").to_string(), "Pod shop/web containers/app");
        assert_eq!(object("Kustomization", None, "").object().as_deref(), Some("Kustomization"));
        assert_eq!(object("", None, "").object(), None);
        assert_eq!(Place::Node { node: "n1".to_owned() }.to_string(), "node n1");
    }

    #[test]
    fn an_image_that_is_no_reference_has_no_registry() {
        let finding = |image: &str| {
            let place = Place::Node { node: "n1".to_owned() };
            Finding::new(image.to_owned(), place, Use::Held, None, None)
        };
        assert_eq!(finding("nginx").registry.as_deref(), Some("docker.io"));
        assert_eq!(finding("nginx").repository.as_deref(), Some("library/nginx"));
        assert_eq!((finding("A b").registry, finding("A b").repository), (None, None));
    }
}
