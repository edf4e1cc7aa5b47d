//! `pullthrough scan` of a cluster: its Pods, its templates and the images on its nodes. Lists are read page by page, and only
//! the names of images stay in memory.

mod coverage;
mod kind;
mod node;
mod object;
mod pull_access;
pub(super) mod skipped;

use std::collections::BTreeSet;

use tokio::sync::mpsc::Sender;

use self::coverage::Coverage;
use self::kind::{Discovery, ResourceKind};
use self::node::Names;
use self::object::{Object, Site};
pub use self::pull_access::DEFAULT_ACCOUNT;
use self::skipped::skipped;
use super::api::{Api, Failure, Target};
use super::pages::{Page, Pages};
use crate::engine::{Decision, Operator, Origin, PodState, Policy, Question, User};
use crate::manifest::Known;
use crate::registry::Platform;
use crate::scan::{Comparison, FoundImage, FoundWorkload, Location, NotCovered, Skipped, Use, Verdict};
use crate::words::count;

/// What to scan, and with which rules.
#[derive(Debug)]
pub struct ScanOptions {
    /// The namespaces to scan. If there are none, all of them and the nodes are scanned.
    pub namespaces: Vec<String>,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    pub policy: Option<Policy>,
    pub known: Known,
    /// Whether events have the JSON of each object.
    pub keeps_json: bool,
    /// Whether images have the names of their Pods' pull Secrets.
    pub keeps_pull_access: bool,
}

/// An event of a scan.
#[derive(Debug)]
pub enum Event {
    Page(Seen),
    Skipped(Skipped),
    /// The distinct platforms of the nodes, and the number of nodes that have not reported theirs. It is sent only if nodes are
    /// scanned.
    Platforms(BTreeSet<Platform>, usize),
    /// A note about the scan itself.
    Note(String),
}

/// A page of a list that was scanned.
#[derive(Debug)]
pub struct Seen {
    /// The kind in the plural: `Deployments`.
    pub what: String,
    pub objects: usize,
    /// The number of those that are Pods or may create Pods.
    pub inspected: usize,
    /// The number of objects that follow, if the API server reports it.
    pub remaining: Option<usize>,
    pub found: Vec<FoundImage>,
    /// The kind of the objects, and their JSON if [`ScanOptions::keeps_json`].
    pub json: (String, Vec<String>),
}

/// Scans the cluster. If the receiver of `events` is dropped, the scan ends early.
///
/// # Errors
///
/// Returns an error if the API server is unavailable, if it rejects the credentials, or if a namespace does not exist.
pub async fn scan(api: Api, options: ScanOptions, events: Sender<Event>) -> Result<(), Failure> {
    let version = api.text("/version", "get /version (system:public-info-viewer)", MAX_VERSION_BYTES).await;
    if let Err(failure) = version
        && failure.is_of_all_requests()
    {
        return Err(failure);
    }
    let (coverage, notes) = Coverage::look(&api, &options.configuration, &options.namespaces).await?;
    let mut scan = Scan { api, options, coverage, names: Names::default(), events };
    // A receiver that was dropped needs no error.
    let _ = scan.run(notes).await;
    Ok(())
}

const MAX_VERSION_BYTES: usize = 1 << 20;

struct Scan {
    api: Api,
    options: ScanOptions,
    coverage: Coverage,
    names: Names,
    events: Sender<Event>,
}

/// The receiver of events was dropped.
struct Closed;

impl Scan {
    async fn run(&mut self, notes: Vec<Event>) -> Result<(), Closed> {
        for note in notes {
            self.send(note).await?;
        }
        let mut kinds = kind::built_in(&self.options.known);
        for discovery in kind::declared(&self.api, &self.options.known).await {
            match discovery {
                Discovery::Found(kind) => kinds.push(kind),
                Discovery::Absent(note) => self.send(Event::Note(note)).await?,
                Discovery::Skipped(skipped) => self.send(Event::Skipped(skipped)).await?,
            }
        }
        for kind in &kinds {
            match self.options.namespaces.clone() {
                all if all.is_empty() => self.list(kind, None).await?,
                _ if !kind.namespaced => {}
                named => {
                    for namespace in named {
                        self.list(kind, Some(&namespace)).await?;
                    }
                }
            }
        }
        if self.options.namespaces.is_empty() {
            self.nodes().await
        } else {
            self.send(Event::Note("nodes are scanned only without --namespace".to_owned())).await
        }
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn list(&mut self, kind: &ResourceKind, namespace: Option<&str>) -> Result<(), Closed> {
        let target = Target { api: &kind.api, resource: &kind.resource, namespace, name: None };
        let mut pages = Pages::of(&self.api, target);
        let mut objects = 0;
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(failure) => {
                    return self.send(Event::Skipped(skipped(target, &kind.plural(), objects, &failure))).await;
                }
            };
            objects += page.items().count();
            let mut found = Vec::new();
            let mut problems = Vec::new();
            for item in page.items() {
                if let Err(error) = self.object(kind, item, &mut found) {
                    problems.push(unreadable(&kind.kind, item, &error));
                }
            }
            for problem in problems {
                self.send(Event::Skipped(problem)).await?;
            }
            self.seen(&kind.kind, &page, page.items().count(), found).await?;
        }
    }

    async fn seen(&self, kind: &str, page: &Page, inspected: usize, found: Vec<FoundImage>) -> Result<(), Closed> {
        let (what, objects, remaining) = (format!("{kind}s"), page.items().count(), page.remaining());
        let kept = if self.options.keeps_json { page.items().map(str::to_owned).collect() } else { Vec::new() };
        let json = (kind.to_owned(), kept);
        self.send(Event::Page(Seen { what, objects, inspected, remaining, found, json })).await
    }

    fn object(&mut self, kind: &ResourceKind, item: &str, found: &mut Vec<FoundImage>) -> Result<(), String> {
        let object = Object::read(kind, item, &self.options.known)?;
        if object.is_history() {
            return Ok(());
        }
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let in_use = if kind.is_pod() { Use::Running } else { Use::Template };
        let excluded = self.coverage.excludes(namespace, object.labels);
        let comparison = match &object.origin {
            Origin { operator: Some(operator), .. } => Some(Comparison::Known(operator)),
            Origin { operator: None, owner: Some(owner) } => Some(Comparison::Possible(owner.kind_and_group().into())),
            Origin { operator: None, owner: None } => None,
        };
        let start = found.len();
        let workload = FoundWorkload::of(self.options.policy.as_ref(), object.workload.as_ref(), namespace);
        let included_from = workload.as_ref().map(|workload| workload.included_from);
        for Site { place, image, pull_never, state } in &object.sites {
            self.names.add(image);
            let not_covered = if state.mirror { Some(NotCovered::StaticPod) } else { excluded };
            let question = Question { image, namespace, pull_never: *pull_never, previous: None, included_from };
            let skips = |policy: &Policy, operator: &Operator| {
                policy.settings().operators.skips(operator, namespace, User::Unknown)
            };
            let state = |policy: &Policy| PodState {
                operator_managed: object.origin.operator.is_some_and(|operator| skips(policy, operator)),
                ..*state
            };
            let decide = |policy: &Policy| match policy.reason_for_all(state(policy)) {
                Some(reason) => Verdict::from(&Decision::NotRewritten { reason, rule: None, would_be: None }),
                None => Verdict::from(&policy.decide(question)),
            };
            let verdict = self.options.policy.as_ref().map(decide);
            let place = Location::Cluster {
                api_version: kind.api_version().to_owned(),
                kind: kind.kind.clone(),
                namespace: object.namespace.as_deref().map(str::to_owned),
                name: object.name.to_string(),
                place: place.clone(),
            };
            let image = FoundImage::new(image.to_string(), place, in_use, verdict, not_covered);
            found.push(FoundImage { comparison: comparison.clone(), workload: workload.clone(), ..image });
        }
        if self.options.keeps_pull_access {
            pull_access::set(kind, &object, self.options.policy.as_ref(), &mut found[start..])?;
        }
        Ok(())
    }

    async fn nodes(&mut self) -> Result<(), Closed> {
        let target = Target { api: "api/v1", resource: "nodes", namespace: None, name: None };
        let mut pages = Pages::of(&self.api, target);
        let (mut objects, mut full, mut platforms, mut unknown) = (0, 0, BTreeSet::new(), 0);
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(failure) => return self.send(Event::Skipped(skipped(target, "Nodes", objects, &failure))).await,
            };
            objects += page.items().count();
            let (mut found, mut problems) = (Vec::new(), Vec::new());
            for item in page.items() {
                let node = match node::read(item) {
                    Ok(node) => node,
                    Err(error) => {
                        problems.push(unreadable("Node", item, &error.to_string()));
                        continue;
                    }
                };
                full += usize::from(node.is_full());
                unknown += usize::from(node.platform.is_none());
                platforms.extend(node.platform.clone());
                found.extend(node.unused(&self.names).map(|image| self.held(&node.name, image)));
            }
            for problem in problems {
                self.send(Event::Skipped(problem)).await?;
            }
            self.seen("Node", &page, 0, found).await?;
        }
        if full > 0 {
            let note = format!(
                "{} at least {} images, the default limit of kubelets (--node-status-max-images); there may be more",
                if full == 1 { "1 node reports".to_owned() } else { format!("{} report", count(full, "node")) },
                node::MOST_IMAGES
            );
            self.send(Event::Note(note)).await?;
        }
        self.send(Event::Platforms(platforms, unknown)).await
    }

    /// Decides about an image that no Pod has. It has no namespace, so rules are evaluated for `default`.
    fn held(&self, node: &str, image: &str) -> FoundImage {
        let question = Question { image, namespace: "default", pull_never: false, previous: None, included_from: None };
        let verdict = self.options.policy.as_ref().map(|policy| Verdict::from(&policy.decide(question)));
        let not_covered = node::is_sandbox(image).then_some(NotCovered::SandboxImage);
        FoundImage::new(image.to_owned(), Location::Node { node: node.to_owned() }, Use::Held, verdict, not_covered)
    }
}

fn unreadable(kind: &str, item: &str, error: &str) -> Skipped {
    Skipped {
        what: Object::title(kind, item),
        why: format!("it is unreadable: {error}"),
        fix: "inspect it with `kubectl get -o yaml`".to_owned(),
        is_failure: true,
    }
}
