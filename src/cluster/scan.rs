//! `pullthrough scan` of a cluster: its Pods, its templates, and what its nodes hold. Lists are read page by page, and
//! nothing is kept of them but the names of images.

mod kind;
mod node;
mod object;
mod reach;
mod unseen;

use tokio::sync::mpsc::Sender;

use self::kind::{Discovery, Kind};
use self::node::Names;
use self::object::{Object, Site};
use self::reach::Reach;
use self::unseen::unseen;
use super::api::{Api, Failure, Target};
use super::pages::{Page, Pages};
use super::words::count;
use crate::engine::{Decision, Policy, Question};
use crate::manifest::Known;
use crate::scan::{Finding, OutOfReach, Place, Unseen, Use, Verdict};

/// Of a cluster, what and by which rules.
#[derive(Debug)]
pub struct Options {
    /// None: all of them, and the nodes.
    pub namespaces: Vec<String>,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    pub policy: Option<Policy>,
    pub known: Known,
}

/// What a scan tells as it goes.
#[derive(Debug)]
pub enum Event {
    Page(Seen),
    Unseen(Unseen),
    /// What people should know of the scan itself.
    Remark(String),
}

/// A page of a list.
#[derive(Debug)]
pub struct Seen {
    /// `Deployments`.
    pub what: String,
    pub objects: usize,
    /// Those of them that are Pods, or may create some.
    pub inspected: usize,
    /// Objects of this list that are still to come, where the API server says.
    pub remaining: Option<usize>,
    pub found: Vec<Finding>,
}

/// Looks at the cluster. It ends early where nobody listens any more.
///
/// # Errors
///
/// Where the API server can't be reached, does not know who asks, or has no namespace that was named.
pub async fn scan(api: Api, options: Options, events: Sender<Event>) -> Result<(), Failure> {
    let version = api.text("/version", "get /version (system:public-info-viewer)", MAX_VERSION_BYTES).await;
    if let Err(failure @ (Failure::Broken(_) | Failure::TooSlow(_) | Failure::Refused { code: 401, .. })) = version {
        return Err(failure);
    }
    let (reach, notes) = Reach::look(&api, &options.configuration, &options.namespaces).await?;
    let mut scan = Scan { api, options, reach, names: Names::default(), events };
    // Who does not listen knows why.
    let _ = scan.run(notes).await;
    Ok(())
}

const MAX_VERSION_BYTES: usize = 1 << 20;

struct Scan {
    api: Api,
    options: Options,
    reach: Reach,
    names: Names,
    events: Sender<Event>,
}

/// Nobody listens.
struct Unheard;

impl Scan {
    async fn run(&mut self, notes: Vec<Event>) -> Result<(), Unheard> {
        for note in notes {
            self.tell(note).await?;
        }
        let mut kinds = kind::built_in(&self.options.known);
        for discovery in kind::declared(&self.api, &self.options.known).await {
            match discovery {
                Discovery::Found(kind) => kinds.push(kind),
                Discovery::Absent(remark) => self.tell(Event::Remark(remark)).await?,
                Discovery::Unseen(unseen) => self.tell(Event::Unseen(unseen)).await?,
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
        match self.options.namespaces.is_empty() {
            true => self.nodes().await,
            false => self.tell(Event::Remark("nodes are only looked at without --namespace".to_owned())).await,
        }
    }

    async fn tell(&self, event: Event) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }

    async fn list(&mut self, kind: &Kind, namespace: Option<&str>) -> Result<(), Unheard> {
        let target = Target { api: &kind.api, resource: &kind.resource, namespace, name: None };
        let mut pages = Pages::of(&self.api, target);
        let mut objects = 0;
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(()),
                Err(failure) => {
                    return self.tell(Event::Unseen(unseen(target, &kind.plural(), objects, &failure))).await;
                }
            };
            objects += page.items().count();
            let mut found = Vec::new();
            let mut problems = Vec::new();
            for item in page.items() {
                if let Err(error) = self.object(kind, item, &mut found) {
                    problems.push(Unseen {
                        what: Object::title(&kind.kind, item),
                        why: format!("it can't be read: {error}"),
                        cure: "look at it with `kubectl get -o yaml`".to_owned(),
                    });
                }
            }
            for problem in problems {
                self.tell(Event::Unseen(problem)).await?;
            }
            self.seen(kind.plural(), &page, page.items().count(), found).await?;
        }
    }

    async fn seen(&self, what: String, page: &Page, inspected: usize, found: Vec<Finding>) -> Result<(), Unheard> {
        let (objects, remaining) = (page.items().count(), page.remaining());
        self.tell(Event::Page(Seen { what, objects, inspected, remaining, found })).await
    }

    fn object(&mut self, kind: &Kind, item: &str, found: &mut Vec<Finding>) -> Result<(), String> {
        let object = Object::read(kind, item, &self.options.known)?;
        if object.is_history() {
            return Ok(());
        }
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let in_use = if kind.is_pod() { Use::Running } else { Use::Template };
        let left_out = self.reach.leaves_out(namespace, object.labels);
        for Site { place, image, pull_never, state } in &object.sites {
            self.names.add(image);
            let out_of_reach = if state.mirror { Some(OutOfReach::StaticPod) } else { left_out };
            let question = Question { image, namespace, pull_never: *pull_never, previous: None };
            let decide = |policy: &Policy| match policy.keeps_all(*state) {
                Some(reason) => Verdict::from(&Decision::Keep { reason, rule: None }),
                None => Verdict::from(&policy.decide(question)),
            };
            let verdict = self.options.policy.as_ref().map(decide);
            let place = Place::Cluster {
                api_version: kind.api_version().to_owned(),
                kind: kind.kind.clone(),
                namespace: object.namespace.as_deref().map(str::to_owned),
                name: object.name.to_string(),
                place: place.clone(),
            };
            found.push(Finding::new(image.to_string(), place, in_use, verdict, out_of_reach));
        }
        Ok(())
    }

    async fn nodes(&mut self) -> Result<(), Unheard> {
        let target = Target { api: "api/v1", resource: "nodes", namespace: None, name: None };
        let mut pages = Pages::of(&self.api, target);
        let (mut objects, mut full) = (0, 0);
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(failure) => return self.tell(Event::Unseen(unseen(target, "Nodes", objects, &failure))).await,
            };
            objects += page.items().count();
            let mut found = Vec::new();
            for item in page.items() {
                let Ok(node) = node::read(item) else { continue };
                full += usize::from(node.is_full());
                found.extend(node.unused(&self.names).map(|image| self.held(&node.name, image)));
            }
            self.seen("Nodes".to_owned(), &page, 0, found).await?;
        }
        if full > 0 {
            let remark = format!(
                "{} at least {} images, where kubelets stop by default (--node-status-max-images): there may be more",
                if full == 1 { "1 node reports".to_owned() } else { format!("{} report", count(full, "node")) },
                node::MOST_IMAGES
            );
            self.tell(Event::Remark(remark)).await?;
        }
        Ok(())
    }

    /// No Pod has it, so no rule applies to it there: the rules are asked as for the namespace `default`.
    fn held(&self, node: &str, image: &str) -> Finding {
        let question = Question { image, namespace: "default", pull_never: false, previous: None };
        let verdict = self.options.policy.as_ref().map(|policy| Verdict::from(&policy.decide(question)));
        let out_of_reach = node::is_sandbox(image).then_some(OutOfReach::SandboxImage);
        Finding::new(image.to_owned(), Place::Node { node: node.to_owned() }, Use::Held, verdict, out_of_reach)
    }
}
