//! The workloads of a scan, each with its images.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::nodes::{Node, Nodes, Scheduling};
use super::policy::PullPolicy;
use super::unjudged::{Unjudged, Why};
use crate::engine::{PodKind, Reason};
use crate::registries::Upstream;
use crate::scan::{FoundImage, Location, Use, Verdict as Decision};

/// What an object of the cluster says beside its images.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// Kind and name of the controller.
    owner: Option<(String, String)>,
    scheduling: Scheduling,
    /// Pull policies by place: `containers/app`.
    policies: HashMap<String, PullPolicy>,
}

/// What creates Pods: a Deployment with its ReplicaSets and Pods, or an entry of a list.
#[derive(Debug, Clone)]
pub struct Workload {
    pub place: Location,
    pub images: Vec<WorkloadImage>,
    pub scheduling: Scheduling,
}

/// An image of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadImage {
    /// As written.
    pub written: String,
    /// The place of the first one: `containers/app`.
    pub place: String,
    pub policy: PullPolicy,
    pub name: Name,
}

/// The name that is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// At a cache, with the rule that gives it.
    Cached { image: String, rule: Option<String> },
    /// As written, with the reason that it is not rewritten. `is_upstream` if it is certain that an upstream has to serve it.
    Written { why: &'static str, is_upstream: bool },
    /// As written, and never pulled.
    NeverPulled,
}

/// Collects the images of a scan.
#[derive(Debug, Default)]
pub struct Workloads {
    found: Vec<FoundImage>,
    objects: HashMap<Key, Object>,
    unjudged: Unjudged,
    pub nodes: Nodes,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    /// In the order in which they were found.
    pub workloads: Vec<Workload>,
    pub nodes: Nodes,
    pub unjudged: Unjudged,
}

/// Kind, namespace and name; for files also the file.
type Key = (String, String, String, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

impl Workloads {
    /// Adds an image. Those that nodes only store, and those of ephemeral containers, start with no workload.
    pub fn add(&mut self, finding: FoundImage) {
        let why = match &finding.place {
            _ if finding.in_use == Use::Held => Why::OnNodesOnly,
            Location::Node { .. } => Why::OnNodesOnly,
            Location::Cluster { place, .. } | Location::File { place, .. }
                if place.starts_with("ephemeralContainers") =>
            {
                Why::Ephemeral
            }
            Location::Cluster { .. } | Location::File { .. } => return self.found.push(finding),
        };
        self.unjudged.add(why, finding.image);
    }

    /// Reads an object of the cluster. One that is unreadable is reported by the scan.
    pub fn read(&mut self, kind: &str, json: &str) {
        if kind == "Node" {
            self.nodes.0.extend(Node::read(json));
        } else if let Some((key, object)) = Object::read(kind, json) {
            self.objects.insert(key, object);
        }
    }

    pub fn finish(self) -> Collected {
        let Self { found, objects, mut unjudged, nodes } = self;
        let mut workloads: Vec<Workload> = Vec::new();
        let mut positions: HashMap<Key, usize> = HashMap::new();
        for finding in found {
            let name = match Name::of(&finding) {
                Ok(name) => name,
                Err(why) => {
                    unjudged.add(why, finding.image);
                    continue;
                }
            };
            let own = key(&finding.place);
            let root = root(&own, &objects);
            let object = objects.get(&root);
            let place = finding.place.clone();
            let position = *positions.entry(root.clone()).or_insert_with(|| {
                let scheduling = object.map(|object| object.scheduling.clone()).unwrap_or_default();
                workloads.push(Workload { place: renamed(place, &root), images: Vec::new(), scheduling });
                workloads.len() - 1
            });
            let at = match &finding.place {
                Location::Cluster { place, .. } | Location::File { place, .. } => place.clone(),
                Location::Node { .. } => String::new(),
            };
            let policy = objects.get(&own).and_then(|object| object.policies.get(&at)).copied();
            let policy = if name == Name::NeverPulled { Some(PullPolicy::Never) } else { policy };
            let policy = policy.unwrap_or_else(|| PullPolicy::default_of(&finding.image));
            let image = WorkloadImage { written: finding.image, place: at, policy, name };
            let images = &mut workloads[position].images;
            if !images.iter().any(|known| known.is_same(&image)) {
                images.push(image);
            }
        }
        Collected { workloads, nodes, unjudged }
    }
}

impl WorkloadImage {
    /// Returns the name that a node pulls.
    pub fn pulled(&self) -> &str {
        match &self.name {
            Name::Cached { image, .. } => image,
            Name::Written { .. } | Name::NeverPulled => &self.written,
        }
    }

    /// Returns whether a Pod and its template have the same image, of which one is rewritten already.
    fn is_same(&self, other: &Self) -> bool {
        (self.pulled(), self.policy) == (other.pulled(), other.policy)
            && matches!(self.name, Name::Cached { .. }) == matches!(other.name, Name::Cached { .. })
    }
}

impl Name {
    /// Returns the name that is pulled for an image, or why none is.
    fn of(finding: &FoundImage) -> Result<Self, Why> {
        let host = finding.registry.as_deref().unwrap_or_default();
        let is_public = Upstream::of_host(host).is_some();
        let written = |why, is_upstream| Ok(Self::Written { why, is_upstream });
        match (&finding.verdict, finding.not_covered) {
            (Some(Decision::NotRewritten { reason: Reason::AlreadyCached, .. }), _) => {
                Ok(Self::Cached { image: finding.image.clone(), rule: None })
            }
            (Some(Decision::NotRewritten { reason: Reason::Deleting, .. }), _) => Err(Why::Deleting),
            (Some(Decision::NotRewritten { reason: Reason::Placeholder, .. }), _) => Err(Why::Placeholder),
            (Some(Decision::NotRewritten { reason: Reason::PullNever, .. }), _) => Ok(Self::NeverPulled),
            (Some(Decision::Rewrite { .. }), Some(why)) => written(why.why(), true),
            (Some(Decision::Rewrite { result, rule }), None) => {
                Ok(Self::Cached { image: result.clone(), rule: Some(rule.clone()) })
            }
            (Some(Decision::NotRewritten { reason: reason @ (Reason::NoRule | Reason::Invalid), .. }), _) => {
                written(reason.describe(), is_public)
            }
            // A Pod that may not be rewritten can have any image.
            (Some(Decision::NotRewritten { reason: reason @ (Reason::MirrorPod | Reason::OptedOut), .. }), _) => {
                written(reason.describe(), is_public)
            }
            (Some(Decision::NotRewritten { reason, .. }), _) => written(reason.describe(), true),
            (None, _) => written("there are no rules", is_public),
        }
    }
}

impl Object {
    fn read(kind: &str, json: &str) -> Option<(Key, Self)> {
        let mut object: Value = serde_json::from_str(json).ok()?;
        let metadata: Metadata = serde_json::from_value(object.get_mut("metadata")?.take()).ok()?;
        let pod_kind = PodKind::ALL.iter().find(|known| known.kind == kind)?;
        let spec = pod_kind.pod_spec.iter().try_fold(&object, |value, key| value.get(key))?;
        let mut scheduling: Scheduling = serde_json::from_value(spec.clone()).ok()?;
        let owner = metadata.owner_references.into_iter().find(|owner| owner.controller == Some(true));
        // The Pod that a controller creates in its place may be scheduled to another node.
        if kind == "Pod" && owner.as_ref().is_some_and(|owner| owner.kind != "Node") {
            scheduling.node_name = None;
        }
        let policies = policies(spec);
        let key = (kind.to_owned(), metadata.namespace, metadata.name, String::new());
        Some((key, Self { owner: owner.map(|owner| (owner.kind, owner.name)), scheduling, policies }))
    }
}

fn policies(spec: &Value) -> HashMap<String, PullPolicy> {
    let lists: BTreeMap<&str, &str> =
        [("containers", "/imagePullPolicy"), ("initContainers", "/imagePullPolicy"), ("volumes", "/image/pullPolicy")]
            .into();
    let mut policies = HashMap::new();
    for (list, pointer) in lists {
        for entry in spec.get(list).and_then(Value::as_array).into_iter().flatten() {
            let name = entry.get("name").and_then(Value::as_str);
            let policy = entry.pointer(pointer).and_then(Value::as_str).and_then(PullPolicy::parse);
            if let (Some(name), Some(policy)) = (name, policy) {
                policies.insert(format!("{list}/{name}"), policy);
            }
        }
    }
    policies
}

fn key(place: &Location) -> Key {
    match place {
        Location::Cluster { kind, namespace, name, .. } => {
            (kind.clone(), namespace.clone().unwrap_or_default(), name.clone(), String::new())
        }
        Location::File { kind, namespace, name, file, line, .. } => {
            // An entry of a list is a workload of its own.
            let file = if kind.is_empty() { format!("{file}:{line}") } else { file.clone() };
            (kind.clone(), namespace.clone().unwrap_or_default(), name.clone(), file)
        }
        Location::Node { node } => (String::new(), String::new(), node.clone(), String::new()),
    }
}

/// Returns the controller of the controllers that were read.
fn root(own: &Key, objects: &HashMap<Key, Object>) -> Key {
    const MOST: usize = 4;
    let mut root = own.clone();
    for _ in 0..MOST {
        let Some((kind, name)) = objects.get(&root).and_then(|object| object.owner.clone()) else { break };
        let above = (kind, root.1.clone(), name, String::new());
        if !objects.contains_key(&above) {
            break;
        }
        root = above;
    }
    root
}

/// Returns a place with the kind and the name of another object.
fn renamed(place: Location, root: &Key) -> Location {
    match place {
        Location::Cluster { api_version, kind, namespace, name: _, place } => {
            let (root_kind, _, root_name, _) = root;
            let group =
                PodKind::ALL.iter().find(|known| known.kind == root_kind).and_then(|known| known.groups.first());
            let api_version = match group {
                Some(&"") => "v1".to_owned(),
                Some(group) if *root_kind != kind => format!("{group}/v1"),
                _ => api_version,
            };
            Location::Cluster { api_version, kind: root_kind.clone(), namespace, name: root_name.clone(), place }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
