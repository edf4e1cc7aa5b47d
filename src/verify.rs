//! Whether caches serve what rewritten names ask for: each is asked as a node asks, and the upstream where an answer needs it.
//!
//! [`Verification::run`] collects answers; [`crate::diagnosis`] judges them.

mod ask;
mod effect;
mod finding;
pub mod html;
pub mod json;
mod look;
pub mod markdown;
mod options;
mod platforms;
mod proof;
mod pull;
mod pull_use;
pub mod report;
pub mod sarif;
pub mod table;
mod targets;
pub mod words;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{JoinError, JoinSet};

pub use effect::effects;
pub use finding::Finding;
pub use look::Seen;
pub use options::Options;
pub use proof::{Match, Proof};
pub use pull::{PodPull, by_credentials};
pub use pull_use::PullUse;
pub use targets::{Places, Target, Targets, is_asked};

use self::ask::Gates;
use self::look::Look;
use crate::diagnosis::{Advice, Diagnosis, Observation, diagnose, start};
use crate::engine::{Cache, ImageRef, Product};
use crate::products::Model;
use crate::registry::Client;

/// A run over images.
pub struct Verification {
    pub caches: Vec<Cache>,
    pub options: Options,
}

/// An image, with what was found.
#[derive(Debug, Clone)]
pub struct Verified {
    pub target: Target,
    pub product: Product,
    pub diagnosis: Diagnosis,
    pub seen: Seen,
}

impl Verification {
    /// Asks for all images, each with the client that has its credentials, and calls `on_done` after each. The result has the
    /// order of `targets`.
    ///
    /// # Errors
    ///
    /// Returns the panic of a task, without which an image would be missing in the result.
    pub async fn run(
        self,
        targets: Vec<(Target, Client)>,
        mut on_done: impl FnMut(usize),
    ) -> Result<Vec<Verified>, JoinError> {
        let Self { caches, options } = self;
        let concurrency = options.concurrency;
        let mut queues: HashMap<String, VecDeque<(usize, Target, Client)>> = HashMap::new();
        for (index, (target, client)) in targets.into_iter().enumerate() {
            let host = ImageRef::parse(&target.image).ok().and_then(|image| image.registry().map(str::to_owned));
            queues.entry(host.unwrap_or_default()).or_default().push_back((index, target, client));
        }
        let look = Arc::new(Look {
            gates: Gates::new(concurrency),
            caches,
            options,
            final_answers: Mutex::default(),
            logins: tokio::sync::Mutex::default(),
        });
        let (done, mut incoming) = tokio::sync::mpsc::unbounded_channel();
        let mut workers = JoinSet::new();
        for queue in queues.into_values() {
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..concurrency {
                let (queue, look, done) = (Arc::clone(&queue), Arc::clone(&look), done.clone());
                workers.spawn(async move {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some((index, target, client)) = next else { return };
                        let seen = look.image(&target, &client).await;
                        if done.send((index, target, seen)).is_err() {
                            return;
                        }
                    }
                });
            }
        }
        drop(done);
        let mut seen = Vec::new();
        while let Some(one) = incoming.recv().await {
            seen.push(one);
            on_done(seen.len());
        }
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        seen.sort_unstable_by_key(|(index, ..)| *index);
        Ok(judge(seen.into_iter().map(|(_, target, seen)| (target, seen)).collect(), &look.caches))
    }
}

impl Verified {
    /// Returns the causes in words, with the fixes for the product.
    pub fn advice(&self) -> impl Iterator<Item = Advice> {
        self.diagnosis.advice(Model::of(self.product))
    }

    /// Returns the host of the cache.
    pub fn host(&self) -> &str {
        self.seen.name.split('/').next().unwrap_or_default()
    }
}

/// Judges all answers together: that one image is served excludes causes for others.
fn judge(seen: Vec<(Target, Seen)>, caches: &[Cache]) -> Vec<Verified> {
    let start_of = |seen: &Seen| Some(start(&seen.name, seen.upstream_name.as_deref()?).to_owned());
    let served: HashSet<String> =
        seen.iter().filter(|(_, seen)| seen.cache.served().is_some()).filter_map(|(_, seen)| start_of(seen)).collect();
    let judged = seen.into_iter().map(|(target, seen)| {
        let product = Cache::product_of(caches, &seen.name);
        let observation = Observation {
            model: Model::of(product),
            name: &seen.name,
            upstream_name: seen.upstream_name.as_deref(),
            cache: &seen.cache,
            upstream: seen.upstream.as_ref(),
            requires_login: seen.requires_login,
            is_start_served: start_of(&seen).is_some_and(|start| served.contains(&start)),
            platforms: seen.platforms.outcome,
        };
        let diagnosis = diagnose(&observation);
        Verified { target, product, diagnosis, seen }
    });
    judged.collect()
}
