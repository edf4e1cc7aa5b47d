//! Classes of kinds, known without reading their objects.

use super::objects::Header;
use crate::engine::PodKind;

/// What is known of a kind without reading its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// All its images are in PodSpecs.
    Workload,
    /// Its fields describe images, match images or are free text. No image is pulled.
    NoImages,
    /// The file configures pullthrough itself. It is no manifest.
    Own,
    Unknown,
}

impl Class {
    pub fn of(header: &Header) -> Self {
        let (group, kind) = (header.group(), header.kind.as_str());
        let is_below =
            |domain: &str| group.strip_suffix(domain).is_some_and(|start| start.is_empty() || start.ends_with('.'));
        match kind {
            _ if group == "pullthrough.dev" => Self::Own,
            _ if PodKind::of(group, kind).is_some() => Self::Workload,
            "ConfigMap" | "Secret" if group.is_empty() => Self::NoImages,
            // Flux lists the tags of this image.
            "ImageRepository" | "ImagePolicy" | "ImageUpdateAutomation" if group == "image.toolkit.fluxcd.io" => {
                Self::NoImages
            }
            // A stored revision is immutable.
            "ControllerRevision" if group == "apps" => Self::NoImages,
            "CompositeResourceDefinition" if group == "apiextensions.crossplane.io" => Self::NoImages,
            "PolicyServer" => Self::Unknown,
            // A test creates these objects.
            _ if group == "chainsaw.kyverno.io" => Self::Unknown,
            _ if SCHEMAS_AND_POLICIES.into_iter().any(is_below) => Self::NoImages,
            _ => Self::Unknown,
        }
    }
}

/// API groups, and their subgroups.
const SCHEMAS_AND_POLICIES: [&str; 9] = [
    "apiextensions.k8s.io",
    "admissionregistration.k8s.io",
    "kyverno.io",
    "gatekeeper.sh",
    "policies.kubewarden.io",
    "policy.sigstore.dev",
    "policy.open-cluster-management.io",
    "wgpolicyk8s.io",
    "openreports.io",
];
