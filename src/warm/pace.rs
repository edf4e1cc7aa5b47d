//! When a request may be sent: concurrency, rate, waits after 429, the quota, and the limit of the run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

use super::quota::{Keep, Quota, Step};
use super::record::RecordError;
use crate::registry::RateLimit;
use crate::words::span;

/// The wait after a 429 without `Retry-After`. It doubles up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A host that fails so often in a row is not asked again.
const MAX_UNREACHABLE: u32 = 5;
/// The window of a rate limit that does not state it: Docker Hub's.
const WINDOW_SECS: u64 = 6 * 3600;

/// The limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests to one host at the same time.
    pub concurrency: usize,
    /// The time between two requests to a host.
    pub interval: Option<Duration>,
    /// Requests to all caches, retries included.
    pub max_requests: Option<u64>,
    pub keep: Option<Keep>,
    /// The longest wait for a rate limit.
    pub max_wait: Duration,
}

/// Why requests are not sent any more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Stop {
    #[error("the limit of {0} requests (--max-requests) is reached")]
    MaxRequests(u64),
    #[error(
        "{host} limits the rate (429) for longer than --max-wait{}",
        wait.map(|wait| format!(", and asks to wait {}", seconds(wait))).unwrap_or_default()
    )]
    RateLimited { host: String, wait: Option<Duration> },
    #[error("{remaining} requests remain at {registry}, and --keep-quota keeps {kept}")]
    Quota { registry: String, remaining: u64, kept: u64, window: Option<Duration> },
    #[error("{host} was unreachable {MAX_UNREACHABLE} times in a row")]
    Unreachable { host: String },
    /// The resume file can't be written.
    #[error("{0}")]
    Record(String),
}

impl Stop {
    /// Returns its name in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MaxRequests(_) => "max_requests",
            Self::RateLimited { .. } => "max_wait",
            Self::Quota { .. } => "keep_quota",
            Self::Unreachable { .. } => "unreachable",
            Self::Record(_) => "resume_file",
        }
    }

    pub fn fix(&self) -> String {
        match self {
            Self::MaxRequests(_) => "run again with the same --resume file".to_owned(),
            Self::RateLimited { .. } => "run again later with the same --resume file, or set a lower --rate".to_owned(),
            Self::Quota { window, .. } => {
                let when = window.map_or_else(|| "later".to_owned(), |window| format!("in {}", seconds(window)));
                format!("run again {when} with the same --resume file, or set a longer --max-wait")
            }
            Self::Unreachable { .. } => "check it, then run again with the same --resume file".to_owned(),
            Self::Record(_) => "name a file in a folder that this user can write".to_owned(),
        }
    }
}

impl From<RecordError> for Stop {
    fn from(error: RecordError) -> Self {
        Self::Record(match error {
            RecordError::Io { path, reason } => format!("the resume file {path} is unusable: {reason}"),
            RecordError::InUse { .. } | RecordError::Foreign { .. } => error.to_string(),
        })
    }
}

fn seconds(time: Duration) -> String {
    span(i64::try_from(time.as_secs_f64().ceil() as u64).unwrap_or(i64::MAX))
}

/// All hosts and quotas of a run.
#[derive(Debug)]
pub struct Pace {
    limits: Limits,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    quotas: Mutex<HashMap<String, Arc<Shared>>>,
    sent: AtomicU64,
}

#[derive(Debug)]
struct Host {
    name: String,
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The time of the next request.
    next: Instant,
    /// The wait after the next 429, and the sum of the waits since the last other answer.
    backoff: Duration,
    waited: Duration,
    unreachable: u32,
    stop: Option<Stop>,
}

/// A quota of an account at a registry.
#[derive(Debug)]
struct Shared {
    registry: String,
    quota: Mutex<Quota>,
    changed: Notify,
    asking: tokio::sync::Mutex<()>,
    waited: Mutex<Duration>,
}

/// The right to send one request.
pub struct Pass<'p> {
    host: Arc<Host>,
    quota: Option<(Arc<Shared>, u64)>,
    pace: &'p Pace,
}

impl Pace {
    pub fn new(limits: Limits) -> Self {
        Self { limits, hosts: Mutex::default(), quotas: Mutex::default(), sent: AtomicU64::new(0) }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = locked(&self.hosts);
        let host = hosts.entry(name.to_owned()).or_insert_with(|| {
            let state =
                State { next: Instant::now(), backoff: BACKOFF, waited: Duration::ZERO, unreachable: 0, stop: None };
            let slots = Semaphore::new(self.limits.concurrency);
            Arc::new(Host { name: name.to_owned(), slots, state: Mutex::new(state) })
        });
        Arc::clone(host)
    }

    fn shared(&self, registry: &str, keep: Keep) -> Arc<Shared> {
        let mut quotas = locked(&self.quotas);
        let shared = quotas.entry(registry.to_owned()).or_insert_with(|| {
            Arc::new(Shared {
                registry: registry.to_owned(),
                quota: Mutex::new(Quota::new(keep)),
                changed: Notify::new(),
                asking: tokio::sync::Mutex::default(),
                waited: Mutex::default(),
            })
        });
        Arc::clone(shared)
    }

    /// Sends a request when it may be sent. `registry` is where it counts for the quota, and `ask_upstream` asks for that.
    ///
    /// # Errors
    ///
    /// Returns why it was not sent.
    pub async fn send<T>(
        &self,
        host: &str,
        registry: &str,
        is_head: bool,
        ask_upstream: impl AsyncFn() -> Option<RateLimit>,
        request: impl AsyncFnOnce(Pass<'_>) -> T,
    ) -> Result<T, Stop> {
        let host = self.host(host);
        host.may_go_on()?;
        let quota = match self.limits.keep {
            Some(keep) => Some(self.reserve(self.shared(registry, keep), is_head, ask_upstream).await?),
            None => None,
        };
        // Without an answer, the request is still taken as counted.
        let pass = Pass { host: Arc::clone(&host), quota, pace: self };
        let _slot = self.slot(&host).await?;
        self.count()?;
        Ok(request(pass).await)
    }

    /// Waits for the host.
    async fn slot<'h>(&self, host: &'h Host) -> Result<SemaphorePermit<'h>, Stop> {
        let Ok(slot) = host.slots.acquire().await else {
            return Err(Stop::Unreachable { host: host.name.clone() });
        };
        loop {
            host.may_go_on()?;
            let at = {
                let mut state = locked(&host.state);
                let now = Instant::now();
                if state.next <= now {
                    state.next = now + self.limits.interval.unwrap_or_default();
                    return Ok(slot);
                }
                state.next
            };
            sleep_until(at).await;
        }
    }

    fn count(&self) -> Result<(), Stop> {
        let most = self.limits.max_requests.unwrap_or(u64::MAX);
        let counted =
            self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| (sent < most).then_some(sent + 1));
        counted.map(drop).map_err(|_| Stop::MaxRequests(most))
    }

    /// Waits for the quota.
    async fn reserve(
        &self,
        shared: Arc<Shared>,
        is_head: bool,
        ask_upstream: impl AsyncFn() -> Option<RateLimit>,
    ) -> Result<(Arc<Shared>, u64), Stop> {
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // From now on, no change is missed.
            changed.as_mut().enable();
            let step = locked(&shared.quota).step(is_head);
            match step {
                Step::Send(number) => {
                    *locked(&shared.waited) = Duration::ZERO;
                    return Ok((Arc::clone(&shared), number));
                }
                Step::WaitForAnswer => changed.await,
                Step::AskUpstream => {
                    let _one = shared.asking.lock().await;
                    // Another request may have asked meanwhile.
                    if locked(&shared.quota).look(is_head) == Step::AskUpstream {
                        let limit = ask_upstream().await;
                        locked(&shared.quota).upstream(limit);
                        shared.changed.notify_waiters();
                    }
                }
                Step::WaitForQuota => {
                    let _one = shared.asking.lock().await;
                    if locked(&shared.quota).look(is_head) == Step::WaitForQuota {
                        self.wait_for(&shared).await?;
                    }
                }
            }
        }
    }

    /// Waits until the quota may have changed.
    async fn wait_for(&self, shared: &Shared) -> Result<(), Stop> {
        let (wait, stop) = {
            let quota = locked(&shared.quota);
            let limit = quota.limit().unwrap_or_default();
            let window = limit.window_secs.map(Duration::from_secs);
            let known = window.unwrap_or(Duration::from_secs(WINDOW_SECS));
            // A question to the upstream is not counted, so it can be repeated.
            let wait = if quota.is_asked_of_upstream() { (known / 10).max(Duration::from_secs(1)) } else { known };
            let remaining = limit.remaining.unwrap_or_default();
            (wait, Stop::Quota { registry: shared.registry.clone(), remaining, kept: quota.kept(), window })
        };
        let waited = *locked(&shared.waited) + wait;
        if waited > self.limits.max_wait {
            return Err(stop);
        }
        sleep(wait).await;
        *locked(&shared.waited) = waited;
        locked(&shared.quota).forget();
        shared.changed.notify_waiters();
        Ok(())
    }

    /// Notes that the upstream of a host limits the rate.
    pub fn limited_behind(&self, host: &str, retry_after: Option<Duration>) {
        self.limited(&self.host(host), retry_after);
    }

    /// Notes a 429, and the time that it asks for. All requests to the host wait.
    fn limited(&self, host: &Host, retry_after: Option<Duration>) {
        let mut state = locked(&host.state);
        let now = Instant::now();
        let wait = retry_after.unwrap_or(state.backoff);
        // Several requests in flight get one answer each, for the same limit.
        if now + wait <= state.next {
            return;
        }
        let waited = state.waited + (now + wait - state.next.max(now));
        if waited > self.limits.max_wait {
            state.stop = Some(Stop::RateLimited { host: host.name.clone(), wait: retry_after });
            return;
        }
        (state.waited, state.next) = (waited, now + wait);
        if retry_after.is_none() {
            state.backoff = (state.backoff * 2).min(MAX_BACKOFF);
        }
    }
}

impl Host {
    fn may_go_on(&self) -> Result<(), Stop> {
        locked(&self.state).stop.clone().map_or(Ok(()), Err)
    }
}

impl Pass<'_> {
    /// Notes the answer of the host, with its rate limit.
    pub fn answered(&mut self, limit: Option<RateLimit>) {
        let mut state = locked(&self.host.state);
        (state.unreachable, state.waited, state.backoff) = (0, Duration::ZERO, BACKOFF);
        drop(state);
        self.counted(limit);
    }

    /// Notes an answer that says that the rate is limited, by the host or behind it.
    pub fn limited(&mut self, retry_after: Option<Duration>, limit: Option<RateLimit>) {
        self.pace.limited(&self.host, retry_after);
        self.counted(limit);
    }

    /// Notes a 404. It may hide a rate limit of the upstream, so it does not end a series of waits.
    pub fn missing(&mut self, limit: Option<RateLimit>) {
        locked(&self.host.state).unreachable = 0;
        self.counted(limit);
    }

    /// Notes that there was no answer, after all retries.
    pub fn unreachable(&mut self) {
        let mut state = locked(&self.host.state);
        state.unreachable += 1;
        if state.unreachable >= MAX_UNREACHABLE {
            state.stop = Some(Stop::Unreachable { host: self.host.name.clone() });
        }
    }

    fn counted(&mut self, limit: Option<RateLimit>) {
        if let Some((shared, number)) = self.quota.take() {
            locked(&shared.quota).answered(number, limit);
            shared.changed.notify_waiters();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.counted(None);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
