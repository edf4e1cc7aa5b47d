//! Images on nodes: whether a Pod starts without a registry.
//!
//! `status.images` of a node is truncated (`--node-status-max-images` of the kubelet), so that an image that is not in it may be on
//! the node all the same. An image counts only if every node has it on which the Pod may run.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1::{Affinity, NodeSelector, NodeSelectorTerm, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde::Deserialize;

use super::policy::PullPolicy;
use super::verdict::{Evidence, Source, Verdict};
use crate::cluster::selector::{Labels, failed, requirements};
use crate::engine::ImageRef;
use crate::registry::Platform;
use crate::words::few;

/// Kubelets of this minor version and later may verify with the registry that a Pod's credentials suffice for an image on the node
/// (KubeletEnsureSecretPulledImages, on by default).
const VERIFYING_MINOR: u32 = 35;
/// Taints that Kubernetes itself sets while a node has a problem, or is cordoned. The Pod may run there afterwards.
const PASSING_TAINTS: &str = "node.kubernetes.io/";

/// A node of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub name: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    /// `None` until its kubelet reports it.
    pub platform: Option<Platform>,
    /// The minor version of Kubernetes of its kubelet.
    pub kubelet_minor: Option<u32>,
    /// Names in canonical form, with a tag or a digest.
    pub images: HashSet<String>,
}

/// What decides on which nodes a Pod may run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    pub node_name: Option<String>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub affinity: Option<Affinity>,
    pub tolerations: Option<Vec<Toleration>>,
}

/// The nodes of the cluster; none if they were not read.
#[derive(Debug, Clone, Default)]
pub struct Nodes(pub Vec<Node>);

#[derive(Deserialize)]
struct Written {
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: Option<Labels>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    taints: Option<Vec<Taint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    images: Option<Vec<Image>>,
    #[serde(default)]
    node_info: Option<NodeInfo>,
}

#[derive(Deserialize)]
struct Image {
    #[serde(default)]
    names: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    operating_system: String,
    architecture: String,
    kubelet_version: String,
}

impl Node {
    /// Reads a node.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a node in JSON.
    pub fn read(json: &str) -> serde_json::Result<Self> {
        let Written { metadata, spec, status } = serde_json::from_str(json)?;
        let (images, info) = status.map_or((None, None), |status| (status.images, status.node_info));
        let info = info.unwrap_or_default();
        let names = images.into_iter().flatten().flat_map(|image| image.names.unwrap_or_default());
        let platform = (!info.operating_system.is_empty() && !info.architecture.is_empty()).then(|| Platform {
            os: info.operating_system,
            architecture: info.architecture,
            ..Platform::default()
        });
        let minor = info.kubelet_version.split('.').nth(1).and_then(|minor| minor.parse().ok());
        Ok(Self {
            name: metadata.name,
            labels: metadata.labels.unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints).unwrap_or_default(),
            platform,
            kubelet_minor: minor,
            images: names.flat_map(|name| keys(&name)).collect(),
        })
    }
}

/// Returns the names by which a runtime finds an image that it reports under this name.
fn keys(image: &str) -> Vec<String> {
    let Ok(image) = ImageRef::parse(image) else { return Vec::new() };
    let by_digest = image.digest().map(|digest| format!("{}@{digest}", image.canonical()));
    let by_tag = image.tag().map(|tag| format!("{}:{tag}", image.canonical()));
    by_digest.into_iter().chain(by_tag).collect()
}

/// Returns the name by which a runtime looks for an image: its digest if there is one, or else its tag.
fn key(image: &ImageRef) -> String {
    match image.digest() {
        Some(digest) => format!("{}@{digest}", image.canonical()),
        None => format!("{}:{}", image.canonical(), image.tag().unwrap_or("latest")),
    }
}

impl Scheduling {
    /// Returns whether the scheduler may place the Pod on a node. Resources and other Pods are not considered.
    pub fn allows(&self, node: &Node) -> bool {
        if let Some(name) = self.node_name.as_ref().filter(|name| !name.is_empty()) {
            return *name == node.name;
        }
        let selected = self.node_selector.iter().flatten().all(|(key, value)| node.labels.get(key) == Some(value));
        let required = self.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            required.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        selected
            && required.is_none_or(|NodeSelector { node_selector_terms }| {
                node_selector_terms.iter().any(|term| matches(term, node))
            })
            && node.taints.iter().all(|taint| self.tolerates(taint))
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        if taint.effect == "PreferNoSchedule" || taint.key.starts_with(PASSING_TAINTS) {
            return true;
        }
        self.tolerations.iter().flatten().any(|toleration| {
            let Toleration { effect, key, operator, value, .. } = toleration;
            let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            of(effect).is_none_or(|effect| effect == taint.effect)
                && of(key).is_none_or(|key| key == taint.key)
                && match of(operator).as_deref() {
                    None | Some("Equal") => of(key).is_some() && of(value) == of(&taint.value),
                    // Operators of later versions may tolerate it.
                    Some(_) => true,
                }
        })
    }
}

fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let NodeSelectorTerm { match_expressions, match_fields } = term;
    if match_expressions.iter().flatten().chain(match_fields.iter().flatten()).next().is_none() {
        return false;
    }
    let meets = |all: &Option<Vec<k8s_openapi::api::core::v1::NodeSelectorRequirement>>, labels: &Labels| {
        // `Gt` and `Lt` are not evaluated: the node counts as one on which the Pod may run.
        let known =
            all.iter().flatten().filter(|one| matches!(&*one.operator, "In" | "NotIn" | "Exists" | "DoesNotExist"));
        let known = known.map(|one| LabelSelectorRequirement {
            key: one.key.clone(),
            operator: one.operator.clone(),
            values: one.values.clone(),
        });
        let selector = LabelSelector { match_expressions: Some(known.collect()), match_labels: None };
        failed(&requirements(Some(&selector)), labels).is_empty()
    };
    let fields = Labels::from([("metadata.name".to_owned(), node.name.clone())]);
    meets(match_expressions, &node.labels) && meets(match_fields, &fields)
}

impl Nodes {
    /// Returns the nodes on which a Pod may run.
    pub fn allowed<'n>(&'n self, scheduling: &Scheduling) -> Vec<&'n Node> {
        self.0.iter().filter(|node| scheduling.allows(node)).collect()
    }

    /// Returns what nodes say of an image; `None` if they say nothing.
    pub fn look(&self, image: &str, policy: PullPolicy, scheduling: &Scheduling) -> Option<Evidence> {
        let allowed = self.allowed(scheduling);
        if allowed.is_empty() {
            return None;
        }
        let key = key(&ImageRef::parse(image).ok()?);
        let (with, without): (Vec<&Node>, Vec<&Node>) = allowed.iter().partition(|node| node.images.contains(&key));
        if with.is_empty() {
            return None;
        }
        let evidence = |verdict, text: String, fix: Option<&str>| {
            Some(Evidence { source: Source::Nodes, verdict, text, fix: fix.map(str::to_owned) })
        };
        let on = format!("it is on {} of {} nodes where the Pod may run", with.len(), allowed.len());
        if policy == PullPolicy::Always {
            let fix = "set `imagePullPolicy: IfNotPresent`, or have the cache hold the image";
            return evidence(Verdict::No, format!("{on}, but the pull policy Always asks the registry"), Some(fix));
        }
        if !without.is_empty() {
            let names: Vec<&str> = without.iter().map(|node| &*node.name).collect();
            return evidence(Verdict::Unknown, format!("{on}; not reported by {}", few(&names)), None);
        }
        let verifying = with.iter().find(|node| node.kubelet_minor.is_none_or(|minor| minor >= VERIFYING_MINOR));
        if let Some(node) = verifying {
            let why = format!(
                "{on}; the kubelet of {} may have the registry verify the Pod's credentials (Kubernetes 1.{VERIFYING_MINOR} and later)",
                node.name
            );
            return evidence(Verdict::Unknown, why, None);
        }
        evidence(Verdict::Yes, format!("{on}, and the pull policy is {}", policy.as_str()), None)
    }
}

#[cfg(test)]
mod tests;
