//! The task that probes one cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::Id;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::CacheClient;
use crate::engine::{Cache, CacheState, Health, HealthCheck, ImageRef, Probe, Probed, Transition, Verdict};
use crate::registry::{Answer, Client, Invalid, Outcome, Reference, Repository, random_part};

/// Probes one cache for ever.
pub(super) struct Prober {
    pub cache: Cache,
    pub client: Arc<CacheClient>,
    pub reports: mpsc::Sender<Report>,
}

/// What a probe found.
pub(super) struct Report {
    /// The task that probed.
    pub task: Id,
    /// The prefix as written.
    pub cache: String,
    pub verdict: Verdict,
    pub transition: Option<Transition>,
    /// The state after the probe.
    pub state: CacheState,
    pub duration: Duration,
    /// The answer in one line.
    pub detail: String,
}

impl Prober {
    /// `waits_first`: the first probe comes after an interval.
    pub async fn run(self, waits_first: bool) {
        let Some(check) = self.cache.health.clone() else { return };
        let Some(task) = tokio::task::try_id() else { return };
        let mut health = Health::new(check.interval);
        let start = Instant::now();
        // Replicas that start together do not probe together.
        let mut at = if waits_first { start + health.wait(jitter()) } else { start };
        loop {
            sleep_until(at).await;
            let begun = Instant::now();
            let (verdict, detail) = self.probe(&check).await;
            let transition = health.record(verdict, start.elapsed());
            let report = Report {
                task,
                cache: self.cache.prefix.written().to_owned(),
                verdict,
                transition,
                state: health.state(),
                duration: begun.elapsed(),
                detail,
            };
            if self.reports.send(report).await.is_err() {
                return;
            }
            at = begun + health.wait(jitter());
        }
    }

    async fn probe(&self, check: &HealthCheck) -> (Verdict, String) {
        let client = Arc::clone(&self.client);
        let client = match tokio::task::spawn_blocking(move || client.get()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return (Verdict::Misconfigured, error),
            Err(error) => return (Verdict::Misconfigured, error.to_string()),
        };
        let asked = ask(&client, &self.cache, check.canary.as_deref());
        match timeout(check.timeout, asked).await {
            Err(_) => (Verdict::of(Probe::NoAnswer), format!("no answer within {:?}", check.timeout)),
            Ok(None) => (Verdict::Misconfigured, "the canary is not an image".to_owned()),
            Ok(Some((of, answer))) => (Verdict::of(read(of, &answer)), answer.in_words()),
        }
    }
}

/// Asks for the canary by digest, since a tag makes some caches import or write; without one for `/v2/`.
async fn ask(client: &Client, cache: &Cache, canary: Option<&str>) -> Option<(Probed, Answer<()>)> {
    let name = format!("{}/{}", cache.prefix.written(), canary.unwrap_or("x"));
    let image = ImageRef::parse(&name).ok()?;
    let repository = Repository::of(&image)?;
    Some(match canary {
        Some(_) => (Probed::Canary, client.head(&repository, &Reference::of(&image)).await.map(drop)),
        None => (Probed::Base, client.ping(&repository).await),
    })
}

fn read(of: Probed, answer: &Answer<()>) -> Probe {
    let Answer { outcome, trace } = answer;
    let is_answer = match outcome {
        Outcome::Unreachable(_) => false,
        Outcome::Invalid(invalid) => matches!(invalid, Invalid::Redirect(_) | Invalid::TokenServer(_)),
        Outcome::Served(()) | Outcome::Missing | Outcome::Denied(_) | Outcome::RateLimited | Outcome::Other => true,
    };
    match trace.status.filter(|_| is_answer) {
        // A challenge is an answer to a request for `/v2/`.
        Some(status) => {
            Probe::Answer { of, status, has_challenge: status == 401 && matches!(outcome, Outcome::Served(())) }
        }
        None => Probe::NoAnswer,
    }
}

/// Returns a random number from -1 to 1.
fn jitter() -> f64 {
    random_part() * 2.0 - 1.0
}
