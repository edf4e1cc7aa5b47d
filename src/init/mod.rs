//! Rules files for cache products, and the commands that create their caches.

mod layout;
mod rules;
mod setup;

use thiserror::Error;

pub use self::layout::{Layout, Route};
use crate::engine::InvalidPrefix;
use crate::registries::{ACR_UPSTREAMS, ECR_UPSTREAMS, Upstream};

/// A product that caches images of other registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Ecr,
    Harbor,
    ArtifactRegistry,
    Acr,
    Artifactory,
    Nexus,
    Zot,
    Registry,
}

impl Product {
    pub const ALL: [Self; 8] = [
        Self::Ecr,
        Self::Harbor,
        Self::ArtifactRegistry,
        Self::Acr,
        Self::Artifactory,
        Self::Nexus,
        Self::Zot,
        Self::Registry,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ecr => "ecr",
            Self::Harbor => "harbor",
            Self::ArtifactRegistry => "artifact-registry",
            Self::Acr => "acr",
            Self::Artifactory => "artifactory",
            Self::Nexus => "nexus",
            Self::Zot => "zot",
            Self::Registry => "registry",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.as_str() == name)
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::Ecr => "Amazon ECR",
            Self::Harbor => "Harbor",
            Self::ArtifactRegistry => "Google Artifact Registry",
            Self::Acr => "Azure Container Registry",
            Self::Artifactory => "JFrog Artifactory",
            Self::Nexus => "Sonatype Nexus Repository",
            Self::Zot => "zot",
            Self::Registry => "plain registries (registry:2, registry:3)",
        }
    }

    /// Returns the form of `--cache`.
    pub const fn form(self) -> &'static str {
        match self {
            Self::Ecr => "ACCOUNT.dkr.ecr.REGION.amazonaws.com[/PATH]",
            Self::Harbor => "HOST[:PORT], without a project",
            Self::ArtifactRegistry => "LOCATION-docker.pkg.dev/PROJECT",
            Self::Acr => "NAME.azurecr.io[/PATH]",
            Self::Artifactory | Self::Nexus => "HOST[:PORT], without a repository",
            Self::Zot => "HOST[:PORT][/PATH]",
            Self::Registry => "HOST[:PORT], with the port of the first instance (default 5000)",
        }
    }

    /// Returns its supported upstreams.
    pub const fn upstreams(self) -> &'static [Upstream] {
        match self {
            Self::Ecr => &ECR_UPSTREAMS,
            Self::Acr => &ACR_UPSTREAMS,
            _ => &Upstream::ALL,
        }
    }
}

/// Why a rules file can't be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unsuitable {
    #[error("invalid --cache `{cache}`: {error}")]
    Invalid { cache: String, error: InvalidPrefix },
    #[error("`{cache}` is not a cache of {}; write {}", product.title(), product.form())]
    Form { cache: String, product: Product },
    #[error("the port of `{cache}` is too high for one port a registry; use a lower one, such as 5000")]
    Port { cache: String },
    #[error(
        "Amazon ECR rejects the prefix `{prefix}`; shorten the path of --cache, for a prefix of 2 to 30 letters and digits, \
         separated by a single `/`, `-`, `_` or `.`"
    )]
    EcrPrefix { prefix: String },
    #[error(
        "{} does not support the upstream {}; remove it from --upstream, or use another cache for it (supported: {})",
        product.title(), upstream.host(), hosts(product.upstreams())
    )]
    Upstream { product: Product, upstream: Upstream },
}

fn hosts(upstreams: &[Upstream]) -> String {
    let hosts: Vec<&str> = upstreams.iter().map(|upstream| upstream.host()).collect();
    hosts.join(", ")
}
