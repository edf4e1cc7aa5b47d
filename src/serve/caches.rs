//! Probes of caches, off the admission path: a task for each cache with `health`. Their states reach admissions as one value.
//!
//! Each replica probes for itself. Whether the webhook is ready does not depend on a cache.

mod client;
mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinSet};

pub use self::client::{CacheClient, MakeClient};
use self::probe::{Prober, Report};
use crate::engine::{Cache, CacheState, Transition, Verdict};
use crate::server::admission::Admission;
use crate::server::metrics::{Metrics, Task};

/// Reports that wait for the watcher.
const REPORTS: usize = 64;

/// Probes the caches of the loaded rules.
#[derive(Debug)]
pub struct Watcher {
    pub admission: Arc<Admission>,
    pub metrics: Arc<Metrics>,
    pub make_client: Arc<dyn MakeClient>,
    /// The caches of the loaded rules.
    pub caches: watch::Receiver<Arc<[Cache]>>,
}

/// A cache that is probed.
struct Watched {
    cache: Cache,
    state: CacheState,
    verdict: Verdict,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watcher {
    /// Probes until the caches have no sender.
    pub async fn run(mut self) {
        let (sender, mut reports) = mpsc::channel(REPORTS);
        let mut tasks = JoinSet::new();
        let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
        self.caches.mark_changed();
        loop {
            tokio::select! {
                changed = self.caches.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let caches = Arc::clone(&self.caches.borrow_and_update());
                    self.replace(&caches, &mut watched, &mut tasks, &sender);
                }
                Some(report) = reports.recv() => self.record(report, &mut watched),
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        self.restart(error.id(), &mut watched, &mut tasks, &sender);
                    }
                }
            }
        }
    }

    /// Starts and ends tasks as the rules say. A cache whose probes are the same keeps its task and its state.
    fn replace(
        &self,
        caches: &Arc<[Cache]>,
        watched: &mut BTreeMap<String, Watched>,
        tasks: &mut JoinSet<()>,
        sender: &mpsc::Sender<Report>,
    ) {
        let probed = |cache: &&Cache| cache.health.is_some();
        watched.retain(|name, old| {
            let is_kept = caches.contains(&old.cache);
            if !is_kept {
                self.metrics.caches().forget(name);
            }
            is_kept
        });
        for cache in caches.iter().filter(probed) {
            let name = cache.prefix.written();
            if !watched.contains_key(name) {
                self.metrics.caches().watch(name, CacheState::Up);
                let task = self.start(cache, false, tasks, sender);
                let new = Watched { cache: cache.clone(), state: CacheState::Up, verdict: Verdict::Success, task };
                watched.insert(name.to_owned(), new);
            }
        }
        self.publish(watched);
    }

    fn start(
        &self,
        cache: &Cache,
        waits_first: bool,
        tasks: &mut JoinSet<()>,
        sender: &mpsc::Sender<Report>,
    ) -> AbortHandle {
        let prober = Prober {
            cache: cache.clone(),
            client: Arc::new(CacheClient::new(cache.clone(), Arc::clone(&self.make_client))),
            reports: sender.clone(),
        };
        tasks.spawn(prober.run(waits_first))
    }

    /// Starts the task of a cache again after a panic, which is a bug. The state stays until the next verdicts.
    fn restart(
        &self,
        id: Id,
        watched: &mut BTreeMap<String, Watched>,
        tasks: &mut JoinSet<()>,
        sender: &mpsc::Sender<Report>,
    ) {
        self.metrics.task_panicked(Task::Probes);
        let Some((name, one)) = watched.iter_mut().find(|(_, one)| one.task.id() == id) else { return };
        tracing::error!(cache = name.as_str(), "probing crashed (bug); retrying");
        one.task = self.start(&one.cache, true, tasks, sender);
    }

    fn record(&self, report: Report, watched: &mut BTreeMap<String, Watched>) {
        let Report { task, cache, verdict, transition, state, duration, detail } = report;
        // The task may have ended since.
        let Some(one) = watched.get_mut(&cache).filter(|one| one.task.id() == task) else { return };
        self.metrics.task_ran(Task::Probes);
        self.metrics.caches().probed(&cache, verdict, duration);
        if verdict != one.verdict {
            log_verdict(&cache, verdict, &detail);
            one.verdict = verdict;
        }
        if let Some(transition) = transition {
            self.metrics.caches().changed(&cache, transition);
            log_transition(&cache, transition, &detail);
        }
        if state != one.state {
            one.state = state;
            self.metrics.caches().state(&cache, state);
            self.publish(watched);
        }
    }

    fn publish(&self, watched: &BTreeMap<String, Watched>) {
        let states = watched.values().map(|one| (one.cache.prefix.clone(), one.state));
        self.admission.set_states(states);
    }
}

fn log_verdict(cache: &str, verdict: Verdict, detail: &str) {
    match verdict {
        Verdict::Success => tracing::info!(cache, "the cache answers probes"),
        Verdict::Failure => {
            tracing::warn!(cache, answer = detail, "a probe of the cache failed; three in a row make it down")
        }
        Verdict::RateLimited => {
            tracing::warn!(
                cache,
                answer = detail,
                "the cache limits the rate of probes; raise `interval` or its limit"
            );
        }
        Verdict::WrongCredentials => tracing::warn!(
            cache,
            answer = detail,
            "the cache rejects the credentials of probes; it still counts as it did; renew the credentials of `serve`"
        ),
        Verdict::Misconfigured => tracing::warn!(
            cache,
            answer = detail,
            "the cache rejects probes; it still counts as it did; correct its prefix or `canary`, or renew the token"
        ),
    }
}

fn log_transition(cache: &str, transition: Transition, detail: &str) {
    match transition {
        Transition::Down => {
            tracing::error!(
                cache,
                answer = detail,
                "the cache is down; rules name the next cache, or as `whenCacheDown` says"
            );
        }
        Transition::Up => tracing::info!(cache, "the cache is up; rules name it again"),
    }
}
