//! Sends the requests of a run.

mod job;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use self::job::Job;
use super::pace::{Limits, Pace};
use super::planner::Request;
use super::record::Record;
use super::turns::Turns;
use super::{Event, Image};
use crate::engine::Cache;
use crate::registry::{Client, Platform, RateLimit, Repository};

/// What to fetch, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// If there are none, all of them.
    pub platforms: Vec<Platform>,
    pub referrers: bool,
    /// Asks the upstreams, and not the caches, and fetches no blobs.
    pub is_dry_run: bool,
    pub limits: Limits,
}

pub struct Run {
    client: Client,
    options: Options,
    record: Record,
    caches: Vec<Cache>,
    pace: Pace,
    events: UnboundedSender<Event>,
    turns: Turns,
    /// Caches that did not show that they stored a blob. They are not asked as often for the next one.
    silent: RefCell<HashSet<String>>,
    /// The upstreams of which a note said that they report no limit.
    unlimited: RefCell<HashSet<String>>,
}

/// The images of a repository. They follow one another, so that content that several have is fetched once.
type Group = Vec<Image>;

impl Run {
    pub fn new(
        client: Client,
        caches: Vec<Cache>,
        options: Options,
        record: Record,
        events: UnboundedSender<Event>,
    ) -> Self {
        let pace = Pace::new(options.limits);
        Self {
            client,
            options,
            record,
            caches,
            pace,
            events,
            turns: Turns::default(),
            silent: RefCell::default(),
            unlimited: RefCell::default(),
        }
    }

    /// Fetches the images. Repositories of one cache and one upstream are fetched side by side, up to the concurrency of a host.
    pub async fn run(self, images: Vec<Image>) {
        let run = Rc::new(self);
        let mut lanes: BTreeMap<(String, String), BTreeMap<Repository, Group>> = BTreeMap::new();
        for image in images {
            let lane = (image.repository.host().to_owned(), image.counted_at().to_owned());
            lanes.entry(lane).or_default().entry(image.repository.clone()).or_default().push(image);
        }
        let mut workers = JoinSet::new();
        for groups in lanes.into_values() {
            let count = run.options.limits.concurrency.min(groups.len());
            let queue = Rc::new(RefCell::new(groups.into_values().collect::<VecDeque<_>>()));
            for _ in 0..count {
                let (run, queue) = (Rc::clone(&run), Rc::clone(&queue));
                workers.spawn_local(async move {
                    loop {
                        let Some(group) = queue.borrow_mut().pop_front() else { return };
                        for image in group {
                            let entry = Rc::new(Job::new(Rc::clone(&run), image)).fetch().await;
                            // A receiver that was dropped needs no events.
                            let _ = run.events.send(Event::Done(Box::new(entry)));
                        }
                    }
                });
            }
        }
        while workers.join_next().await.is_some() {}
    }

    /// Asks the upstream for the rate limit of the account.
    async fn rate_limit(&self, upstream: Option<&Repository>, request: &Request) -> Option<RateLimit> {
        let limit = match upstream {
            Some(upstream) => self.client.head(upstream, &request.reference()).await.trace.rate_limit,
            None => None,
        };
        let registry = upstream.map_or("the upstream of images that name a cache", Repository::host);
        if limit.and_then(|limit| limit.remaining).is_none() && self.unlimited.borrow_mut().insert(registry.to_owned())
        {
            let note = format!("{registry} reports no rate limit, so --keep-quota has no effect on it");
            let _ = self.events.send(Event::Note(note));
        }
        limit
    }
}
