//! Fetches one image: manifests, then blobs.

mod requests;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::requests::Asked;
use super::{Options, Run};
use crate::diagnosis::{Observation, Platforms};
use crate::engine::{Cache, ImageRef, Product};
use crate::products::Model;
use crate::registry::{Answer, Content, Digest, Manifest, Outcome, Platform, Reference, Repository};
use crate::warm::fault::{Fault, Status};
use crate::warm::pace::Stop;
use crate::warm::planner::{Next, Planner, Purpose, Request, Served, Task};
use crate::warm::{Entry, Image};

/// An image with more manifests is not fetched to its end.
const MAX_MANIFESTS: usize = 1000;
/// Further faults of an image are counted, and not described.
const MAX_FAULTS: usize = 20;

/// An image that is being fetched.
pub(super) struct Job {
    run: Rc<Run>,
    image: Image,
    /// The registry that is asked: the cache, or in a dry run the upstream.
    repository: Repository,
    product: Product,
    planner: Planner,
    /// What the record has for a manifest.
    content: String,
    requests: Cell<u64>,
    bytes: Cell<u64>,
    resumed: Cell<u64>,
    digest: RefCell<Option<Digest>>,
    /// Manifests of one platform that were received.
    single: RefCell<Vec<Digest>>,
    faults: RefCell<Vec<Fault>>,
    more_faults: Cell<usize>,
}

impl Job {
    pub(super) fn new(run: Rc<Run>, image: Image) -> Self {
        let product = Cache::product_of(&run.caches, &image.repository.to_string());
        let Options { platforms, referrers, is_dry_run, limits: _ } = &run.options;
        let planner =
            Planner { order: Model::of(product).order.value, platforms: platforms.clone(), referrers: *referrers };
        let mut names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        names.sort();
        let mut content = if names.is_empty() { "all platforms".to_owned() } else { names.join(",") };
        if *referrers {
            content.push_str(" with referrers");
        }
        let upstream = image.upstream.clone().filter(|_| *is_dry_run);
        let repository = upstream.unwrap_or_else(|| image.repository.clone());
        Self {
            run,
            image,
            repository,
            product,
            planner,
            content,
            requests: Cell::new(0),
            bytes: Cell::new(0),
            resumed: Cell::new(0),
            digest: RefCell::default(),
            single: RefCell::default(),
            faults: RefCell::default(),
            more_faults: Cell::new(0),
        }
    }

    pub(super) async fn fetch(self: Rc<Self>) -> Entry {
        if self.run.options.is_dry_run && self.image.upstream.is_none() {
            self.fail(Fault::new(
                Status::Unknown,
                "image".to_owned(),
                "upstream_unknown",
                "it names the cache, so its upstream is not known, and a dry run does not ask caches".to_owned(),
                "name the image as at its upstream".to_owned(),
            ));
        } else if let Err(stop) = self.all().await {
            let fix = stop.fix();
            self.fail(Fault::new(Status::Stopped, "image".to_owned(), stop.as_str(), stop.to_string(), fix));
        }
        let done = if self.run.options.is_dry_run { Status::WouldFetch } else { Status::Fetched };
        let faults = self.faults.take();
        Entry {
            image: self.image.image.clone(),
            name: self.image.name.clone(),
            product: self.product.as_str(),
            status: faults.iter().map(|fault| fault.status).max().unwrap_or(done),
            digest: self.digest.take().map(|digest| digest.to_string()),
            requests: self.requests.get(),
            bytes: self.bytes.get(),
            resumed: self.resumed.get(),
            faults,
            more_faults: self.more_faults.get(),
        }
    }

    fn fail(&self, fault: Fault) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MAX_FAULTS {
            faults.push(fault);
        } else {
            self.more_faults.set(self.more_faults.get() + 1);
        }
    }

    /// Fetches manifests, then blobs.
    async fn all(self: &Rc<Self>) -> Result<(), Stop> {
        let Ok(image) = ImageRef::parse(&self.image.name) else { return Ok(()) };
        let mut tasks = self.planner.first(&image);
        let (mut blobs, mut manifests) = (Vec::new(), HashSet::new());
        let mut children_since = None;
        while let Some(task) = tasks.pop_front() {
            if let Request::Manifest(Reference::Digest(digest)) = &task.request {
                if task.purpose == Purpose::Image {
                    self.digest.replace(Some(digest.clone()));
                }
                if self.is_done(task.purpose, digest) {
                    self.resumed.set(self.resumed.get() + 1);
                    continue;
                }
                if !manifests.insert(digest.clone()) {
                    continue;
                }
                if let Some(manifest) = self.received(digest) {
                    self.resumed.set(self.resumed.get() + 1);
                    let next = self.served(&task, &manifest);
                    tasks.extend(next.tasks);
                    blobs.extend(next.blobs);
                    continue;
                }
                if manifests.len() > MAX_MANIFESTS {
                    self.fail(Fault::new(
                        Status::Stopped,
                        format!("manifest {digest}"),
                        "manifests",
                        format!("the image has more than {MAX_MANIFESTS} manifests"),
                        "choose platforms with --platform".to_owned(),
                    ));
                    break;
                }
            }
            let start = Instant::now();
            let next = self.task(&task).await?;
            if task.purpose == Purpose::Image && !next.tasks.is_empty() {
                children_since = Some(start);
            }
            if task.purpose == Purpose::Child {
                self.in_time(children_since);
            }
            tasks.extend(next.tasks);
            blobs.extend(next.blobs);
        }
        let mut unique = HashSet::new();
        blobs.retain(|blob| unique.insert(blob.digest.clone()));
        self.blobs(blobs).await?;
        if self.faults.borrow().is_empty() {
            let digest = self.digest.borrow().clone();
            let whole = digest.map(|digest| (digest, &*self.content));
            let single = self.single.take().into_iter().map(|digest| (digest, self.of_single()));
            for (digest, content) in single.chain(whole) {
                self.run.record.add(&self.image.repository, &digest, content)?;
            }
        }
        Ok(())
    }

    /// Returns whether a manifest and all that it names need no request.
    fn is_done(&self, purpose: Purpose, digest: &Digest) -> bool {
        let has = |content| self.run.record.has(&self.image.repository, digest, content);
        match purpose {
            Purpose::Image => has(&self.content),
            // Within the window of an index, its children have to be requested.
            Purpose::Child | Purpose::Extra => !self.has_window() && has(self.of_single()),
            Purpose::Import => false,
        }
    }

    /// What the record has for the manifest of one platform.
    fn of_single(&self) -> &'static str {
        if self.planner.referrers { "manifest with referrers" } else { "manifest" }
    }

    /// Reports children that were requested too late for the cache.
    fn in_time(&self, since: Option<Instant>) {
        let Some(within) = missed(self.planner.order.children_within_secs, since, Instant::now()) else { return };
        let is_known = self.faults.borrow().iter().any(|fault| fault.part == "index");
        if !is_known && !self.run.options.is_dry_run {
            self.fail(Fault::new(
                Status::NotStored,
                "index".to_owned(),
                "window",
                format!(
                    "its children were requested more than {within} s after it, so the cache may store it without some of them"
                ),
                "delete the image in the cache, and run again with a higher --rate or --concurrency".to_owned(),
            ));
        }
    }

    async fn task(&self, task: &Task) -> Result<Next, Stop> {
        let (client, repository) = (&self.run.client, &self.repository);
        match &task.request {
            Request::Head(reference) => {
                let answer = self.ask(task, async || client.head(repository, reference).await).await?;
                Ok(match answer.served() {
                    Some(head) => self.planner.after(task, Served::Head(head.digest.as_ref())),
                    None => self.not_served(task, answer),
                })
            }
            Request::Manifest(reference) => {
                let answer = self.ask(task, async || client.manifest(repository, reference).await).await?;
                let Some(manifest) = answer.served() else { return Ok(self.not_served(task, answer)) };
                self.bytes.set(self.bytes.get() + manifest.bytes.len() as u64);
                let is_digest = matches!(reference, Reference::Digest(_)) && task.purpose != Purpose::Import;
                if is_digest && !self.has_window() {
                    self.run.record.add_received(&self.image.repository, manifest)?;
                }
                Ok(self.served(task, manifest))
            }
            Request::Referrers(digest) => {
                let answer = self.ask(task, async || client.referrers(repository, digest).await).await?;
                Ok(match answer.served() {
                    Some(referrers) => self.planner.after(task, Served::Referrers(referrers)),
                    None => self.not_served(task, answer),
                })
            }
            Request::Blob(blob) | Request::HeadBlob(blob) => {
                self.blob(blob).await?;
                Ok(Next::default())
            }
        }
    }

    /// Returns a manifest that an earlier run received. If there is a window for children, it starts with a request.
    fn received(&self, digest: &Digest) -> Option<Manifest> {
        if self.has_window() { None } else { self.run.record.received(&self.image.repository, digest) }
    }

    fn has_window(&self) -> bool {
        self.planner.order.children_within_secs.is_some()
    }

    /// Notes a manifest, and returns the requests that follow.
    fn served(&self, task: &Task, manifest: &Manifest) -> Next {
        if let Content::Image { .. } = manifest.content {
            self.single.borrow_mut().push(manifest.digest.clone());
        }
        if task.purpose == Purpose::Image {
            self.digest.replace(Some(manifest.digest.clone()));
            self.lacks(&self.planner.missing(manifest));
        }
        self.planner.after(task, Served::Manifest(manifest))
    }

    fn lacks(&self, platforms: &[&Platform]) {
        if !platforms.is_empty() {
            let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            let served = Answer { outcome: Outcome::Served(()), trace: Default::default() };
            let fault = self.observed(&served, None, true, |observation| {
                Fault::platforms(format!("platform {}", names.join(", ")), observation)
            });
            self.fail(fault);
        }
    }

    /// Calls `of` with what was seen of a part. `is_start_served`: the cache served another part of the image.
    fn observed(
        &self,
        cache: &Answer<()>,
        upstream: Option<&Answer<()>>,
        is_start_served: bool,
        of: impl FnOnce(&Observation) -> Fault,
    ) -> Fault {
        let (name, upstream_name) =
            (self.image.repository.to_string(), self.image.upstream.as_ref().map(Repository::to_string));
        let platforms = if cache.served().is_some() { Platforms::Missing } else { Platforms::Served };
        of(&Observation {
            model: Model::of(self.product),
            name: &name,
            upstream_name: upstream_name.as_deref(),
            cache,
            upstream,
            requires_login: None,
            is_start_served,
            platforms,
        })
    }

    /// Reports a part that was not served, unless it may be absent.
    fn not_served<T>(&self, task: &Task, asked: Asked<T>) -> Next {
        let Asked { answer, upstream } = asked;
        if task.may_be_absent() && matches!(answer.outcome, Outcome::Missing) {
            return self.planner.after(task, Served::Absent);
        }
        let part = part(&task.request);
        let answer = answer.map(drop);
        self.fail(if self.run.options.is_dry_run {
            Fault::of_upstream(part, &self.repository, &answer)
        } else {
            let is_first = task.purpose == Purpose::Image && self.digest.borrow().is_none();
            self.observed(&answer, upstream.as_ref(), !is_first, |observation| Fault::not_served(part, observation))
        });
        Next::default()
    }
}

/// Returns the window of a product, if it has ended since the index was requested.
fn missed(within_secs: Option<u32>, since: Option<Instant>, now: Instant) -> Option<u32> {
    let (within, since) = (within_secs?, since?);
    (now.duration_since(since) > Duration::from_secs(within.into())).then_some(within)
}

/// Returns what a request is for, in words.
fn part(request: &Request) -> String {
    match request {
        Request::Head(Reference::Tag(tag)) | Request::Manifest(Reference::Tag(tag)) => format!("tag {tag}"),
        Request::Head(Reference::Digest(digest)) | Request::Manifest(Reference::Digest(digest)) => {
            format!("manifest {digest}")
        }
        Request::Referrers(digest) => format!("referrers of {digest}"),
        Request::Blob(blob) | Request::HeadBlob(blob) => format!("blob {}", blob.digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_missed_after_its_end() {
        let (within, start) = (Model::of(Product::Harbor).order.value.children_within_secs, Instant::now());
        let after = |secs| start + Duration::from_secs(secs);
        assert_eq!(missed(within, Some(start), after(400)), None);
        assert_eq!(missed(within, Some(start), after(401)), Some(400));
        assert_eq!(missed(within, None, after(401)), None);
        assert_eq!(missed(None, Some(start), after(401)), None);
    }
}
