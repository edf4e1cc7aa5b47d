//! The requests for an image, with retries, and the transfer of its blobs.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Job, part};
use crate::registry::{Answer, Descriptor, Outcome, Trace};
use crate::warm::fault::{Fault, Status};
use crate::warm::pace::Stop;
use crate::warm::planner::{Request, Task};

const ATTEMPTS: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(500);
/// The first wait until a cache is asked whether it has stored a blob. It doubles.
const STORED_WAIT: Duration = Duration::from_millis(20);
const STORED_ATTEMPTS: u32 = 10;

impl Job {
    pub(super) async fn blobs(self: &Rc<Self>, blobs: Vec<Descriptor>) -> Result<(), Stop> {
        let mut tasks = JoinSet::new();
        let mut result = Ok(());
        for blob in blobs {
            if self.run.record.has_blob(&self.image.repository, &blob.digest) {
                self.resumed.set(self.resumed.get() + 1);
                continue;
            }
            // Waiting requests need memory.
            if tasks.len() >= self.run.options.limits.concurrency
                && let Some(ended) = tasks.join_next().await
            {
                result = result.and(ended.unwrap_or(Ok(())));
            }
            if result.is_err() {
                break;
            }
            let job = Rc::clone(self);
            tasks.spawn_local(async move { job.blob(&blob).await });
        }
        while let Some(ended) = tasks.join_next().await {
            result = result.and(ended.unwrap_or(Ok(())));
        }
        result
    }

    pub(super) async fn blob(&self, blob: &Descriptor) -> Result<(), Stop> {
        let is_dry_run = self.run.options.is_dry_run;
        let (host, digest) = (self.repository.host(), &blob.digest);
        let size_bytes = if is_dry_run {
            let heads = u64::from(self.planner.checks_blobs());
            self.requests.set(self.requests.get() + 1 + heads);
            Some(blob.size_bytes)
        } else {
            self.run.turns.of(host, digest, self.get_blob(blob)).await?
        };
        if let Some(size_bytes) = size_bytes {
            self.bytes.set(self.bytes.get() + size_bytes);
            self.run.record.add_blob(&self.image.repository, digest)?;
        }
        Ok(())
    }

    /// Has the cache store a blob, and returns its size. Returns `None` after a fault.
    async fn get_blob(&self, blob: &Descriptor) -> Result<Option<u64>, Stop> {
        let (client, repository) = (&self.run.client, &self.repository);
        let task = Task::of_blob(Request::Blob(blob.clone()));
        let start = Instant::now();
        let answer = self.ask(&task, async || client.blob(repository, blob, &|_| {}).await).await?;
        let Some(fetched) = answer.served().copied() else {
            self.not_served(&task, answer);
            return Ok(None);
        };
        if !self.planner.checks_blobs() || is_stored(&answer.answer.trace) {
            return Ok(Some(fetched.size_bytes));
        }
        let task = Task::of_blob(Request::HeadBlob(blob.clone()));
        // A cache that is not done fetches the blob once more for each of these requests.
        let mut wait = (start.elapsed() / 10).max(STORED_WAIT);
        let is_silent = self.run.silent.borrow().contains(repository.host());
        for _ in 0..if is_silent { 1 } else { STORED_ATTEMPTS } {
            tokio::time::sleep(wait).await;
            let answer = self.ask(&task, async || client.head_blob(repository, blob).await).await?;
            if answer.served().is_none() {
                self.not_served(&task, answer);
                return Ok(None);
            }
            if is_stored(&answer.answer.trace) {
                return Ok(Some(fetched.size_bytes));
            }
            wait *= 2;
        }
        self.run.silent.borrow_mut().insert(repository.host().to_owned());
        self.fail(Fault::new(
            Status::NotStored,
            part(&task.request),
            "not_stored",
            format!("{} serves it, and no answer shows that it has stored it", repository.host()),
            format!(
                "read the log of {0}, and check its storage; a proxy before {0} must pass `Cache-Control` on",
                repository.host()
            ),
        ));
        Ok(None)
    }

    /// Asks when it is time, again after a 429 and after failures that can pass.
    pub(super) async fn ask<T>(&self, task: &Task, ask: impl AsyncFn() -> Answer<T>) -> Result<Asked<T>, Stop> {
        let host = self.repository.host();
        let is_head = matches!(task.request, Request::Head(_) | Request::HeadBlob(_));
        let mut attempt = 1;
        loop {
            let is_last = attempt >= ATTEMPTS;
            let rate_limit = async || self.run.rate_limit(self.image.upstream.as_ref(), &task.request).await;
            let sent = self.run.pace.send(host, self.image.counted_at(), is_head, rate_limit, async |mut pass| {
                let answer = ask().await;
                let limit = answer.trace.rate_limit;
                match &answer.outcome {
                    Outcome::RateLimited => pass.limited(answer.trace.retry_after, limit),
                    Outcome::Missing => pass.missing(limit),
                    Outcome::Unreachable(_) if !is_last && answer.outcome.can_pass(None) => {}
                    Outcome::Unreachable(_) => pass.unreachable(),
                    _ => pass.answered(limit),
                }
                answer
            });
            let answer = sent.await?;
            self.requests.set(self.requests.get() + 1);
            match &answer.outcome {
                Outcome::RateLimited => {}
                Outcome::Missing => match self.at_upstream(task).await {
                    Ok(upstream) => return Ok(Asked { answer, upstream }),
                    // Some caches answer 404 if their upstream limits the rate.
                    Err(retry_after) => self.run.pace.limited_behind(host, retry_after),
                },
                outcome if outcome.can_pass(answer.trace.status) && !is_last => {
                    tokio::time::sleep(BACKOFF * 2_u32.pow(attempt - 1)).await;
                    attempt += 1;
                }
                _ => return Ok(Asked { answer, upstream: None }),
            }
        }
    }

    /// Asks the upstream for what the cache does not serve. Fails with `Retry-After` if the upstream limits the rate.
    async fn at_upstream(&self, task: &Task) -> Result<Option<Answer<()>>, Option<Duration>> {
        let client = &self.run.client;
        let upstream = self.image.upstream.as_ref();
        let Some(upstream) = upstream.filter(|_| !self.run.options.is_dry_run && !task.may_be_absent()) else {
            return Ok(None);
        };
        let answer = match &task.request {
            Request::Blob(blob) | Request::HeadBlob(blob) => client.head_blob(upstream, blob).await.map(drop),
            request => client.head(upstream, &request.reference()).await.map(drop),
        };
        match answer.outcome {
            Outcome::RateLimited => Err(answer.trace.retry_after),
            _ => Ok(Some(answer)),
        }
    }
}

/// Returns whether distribution served a blob from its storage. Only then it sends `Cache-Control`, or redirects to the storage.
fn is_stored(trace: &Trace) -> bool {
    let has_year = |value: &str| value.contains("max-age=31536000");
    trace.cache_control.as_deref().is_some_and(has_year) || !trace.redirects.is_empty()
}

/// An answer, and for a 404 what the upstream answers.
pub(super) struct Asked<T> {
    pub(super) answer: Answer<T>,
    pub(super) upstream: Option<Answer<()>>,
}

impl<T> Asked<T> {
    pub(super) fn served(&self) -> Option<&T> {
        self.answer.served()
    }
}
