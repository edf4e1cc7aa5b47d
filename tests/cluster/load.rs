//! Pods created at a constant rate, which slow responses do not lower, and the outcome of each.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::DEADLINE;
use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::harness::request;

pub const PER_SECOND: u32 = 20;
/// The required share of the creations that were due. With fewer, the machine was too busy for a result.
const KEPT_PACE: f64 = 0.95;
/// Stored Pods are deleted after this number of creations.
const CLEARED_AFTER: usize = 200;
const RETRY: Duration = Duration::from_millis(500);

const PODS: &str = "/api/v1/namespaces/default/pods";
const DRY_RUNS: &str = "/api/v1/namespaces/default/pods?dryRun=All";
const OWN_PODS: &str = "/api/v1/namespaces/default/pods?labelSelector=app%3Dload";

/// Creates Pods until it is stopped. One in two is a dry run. The others are stored, with a scheduling gate, so that the kubelet is
/// not involved.
pub struct Load {
    start: Instant,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Outcome>,
}

/// The outcome of the Pods.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    lasted: Duration,
    creations: Vec<Creation>,
}

#[derive(Clone, Debug)]
pub struct Creation {
    /// The times at which it was sent and answered, since the load started.
    pub sent: Duration,
    pub answered: Duration,
    pub dry_run: bool,
    /// The position of its image among the expected ones.
    pub named: Option<usize>,
    pub fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server could not call the webhook, or the webhook denied the Pod; with the message.
    Refused(String),
    /// The Pod was admitted with its original image.
    SlippedThrough,
    /// The API server failed or was unavailable; with the message.
    ApiServer(String),
}

impl Load {
    pub fn start(cluster: &Cluster) -> Self {
        Self::naming(cluster, vec![cluster.cache.image("k8s/hello:1")])
    }

    /// Expects one of these images.
    pub fn naming(cluster: &Cluster, images: Vec<String>) -> Self {
        let control_plane = &cluster.control_plane;
        let config = control_plane.client_config(control_plane.admin()).unwrap_or_else(|error| panic!("{error:#}"));
        let (stop, stopped) = oneshot::channel();
        let start = Instant::now();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = kube::Client::try_from(config).expect("a client");
                create_pods(Creator { client, images, start }, stopped).await
            })
        };
        Self { start, stop, thread: thread::spawn(run) }
    }

    /// Returns the time since the start. The outcome uses this clock.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Stops the load. Waits until every creation is answered and the stored Pods are deleted.
    pub fn stop(self) -> Outcome {
        // If the thread has panicked, joining it reports that.
        let _ = self.stop.send(());
        let outcome = self.thread.join().expect("the load creates Pods until it is stopped");
        let due = f64::from(PER_SECOND) * outcome.lasted.as_secs_f64();
        let count = outcome.creations.len();
        assert!(count as f64 >= KEPT_PACE * due, "only {count} of {due:.0} Pods were created");
        outcome
    }
}

impl Outcome {
    /// Returns the outcome of the Pods that were sent in this time.
    pub fn during(&self, time: &Range<Duration>) -> Self {
        let sent = self.creations.iter().filter(|creation| time.contains(&creation.sent));
        Self { lasted: time.end - time.start, creations: sent.cloned().collect() }
    }

    pub fn count(&self) -> usize {
        self.creations.len()
    }

    pub fn faulty(&self) -> impl Iterator<Item = &Creation> {
        self.creations.iter().filter(|creation| creation.fault.is_some())
    }

    pub fn refused(&self) -> usize {
        self.faulty().filter(|creation| matches!(creation.fault, Some(Fault::Refused(_)))).count()
    }

    pub fn slipped_through(&self) -> usize {
        self.faulty().filter(|creation| creation.fault == Some(Fault::SlippedThrough)).count()
    }

    /// Returns the number of creations for which the API server itself failed.
    pub fn unanswered(&self) -> usize {
        self.faulty().filter(|creation| matches!(creation.fault, Some(Fault::ApiServer(_)))).count()
    }

    /// Returns when Pods began to name another of the expected images, and which.
    pub fn changes(&self) -> Vec<(Duration, usize)> {
        let mut named: Vec<_> =
            self.creations.iter().filter_map(|creation| Some((creation.sent, creation.named?))).collect();
        named.sort_unstable();
        named.dedup_by_key(|(_, named)| *named);
        named
    }

    pub fn slowest(&self) -> Duration {
        self.latencies().last().copied().unwrap_or_default()
    }

    pub fn p99(&self) -> Duration {
        let latencies = self.latencies();
        latencies.get((latencies.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Returns the number of faults by reason.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for fault in self.faulty().filter_map(|creation| creation.fault.as_ref()) {
            *reasons.entry(fault.to_string()).or_default() += 1;
        }
        reasons
    }

    /// Fails the test if a Pod was denied, not rewritten, or not answered.
    #[track_caller]
    pub fn assert_nothing_lost(&self, what: &str) {
        assert!(self.count() > 0, "{what}: no Pod was created");
        let lost: Vec<_> = self.faulty().collect();
        assert!(lost.is_empty(), "{what}: {self}: {:#?}\nfirst: {:#?}", self.reasons(), &lost[..lost.len().min(5)]);
    }

    fn latencies(&self) -> Vec<Duration> {
        let mut latencies: Vec<_> =
            self.creations.iter().map(|creation| creation.answered.saturating_sub(creation.sent)).collect();
        latencies.sort_unstable();
        latencies
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} Pods ({} in dry runs) in {:.1} s, p99 {} ms, slowest {} ms; {} denied, {} not rewritten",
            self.count(),
            self.creations.iter().filter(|creation| creation.dry_run).count(),
            self.lasted.as_secs_f64(),
            self.p99().as_millis(),
            self.slowest().as_millis(),
            self.refused(),
            self.slipped_through()
        )?;
        match self.unanswered() {
            0 => Ok(()),
            count => write!(f, ", {count} not answered by the API server"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused(message) => write!(f, "denied: {}", cause(message)),
            Fault::SlippedThrough => f.write_str("not rewritten"),
            Fault::ApiServer(message) => write!(f, "the API server failed: {message}"),
        }
    }
}

/// Returns the end of `failed calling webhook "…": failed to call webhook: Post "…": dial tcp …: connect: connection refused`.
pub fn cause(message: &str) -> &str {
    message.rsplit_once("\": ").map_or(message, |(_, cause)| cause)
}

#[derive(Clone)]
struct Creator {
    client: kube::Client,
    /// The expected images of the Pods.
    images: Vec<String>,
    start: Instant,
}

async fn create_pods(creator: Creator, mut stopped: oneshot::Receiver<()>) -> Outcome {
    // Late ticks are caught up, so that a busy machine does not lower the rate.
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    let mut under_way = JoinSet::new();
    let mut outcome = Outcome::default();
    let mut count = 0;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = ticks.tick() => {
                count += 1;
                under_way.spawn(creator.clone().create(count % 2 == 0));
                if count % CLEARED_AFTER == 0 {
                    let creator = creator.clone();
                    tokio::spawn(async move { creator.clear().await });
                }
            }
            Some(creation) = under_way.join_next() => outcome.creations.push(creation.expect("the thread did not panic")),
        }
    }
    outcome.lasted = creator.start.elapsed();
    while let Some(creation) = under_way.join_next().await {
        outcome.creations.push(creation.expect("the thread did not panic"));
    }
    while let Err(error) = creator.clear().await {
        assert!(creator.start.elapsed() < outcome.lasted + DEADLINE, "the Pods can't be deleted: {error}");
        sleep(RETRY).await;
    }
    outcome
}

impl Creator {
    async fn create(self, dry_run: bool) -> Creation {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "load-", "labels": {"app": "load"}},
            "spec": {
                "containers": [{"name": "hello", "image": HELLO}],
                "schedulingGates": [{"name": "pullthrough.dev/load"}],
            },
        });
        let path = if dry_run { DRY_RUNS } else { PODS };
        let sent = self.start.elapsed();
        let answer = self.client.request::<Value>(request(Method::POST, path, pod.to_string().into_bytes())).await;
        let answered = self.start.elapsed();
        let mut named = None;
        let fault = match answer {
            Ok(pod) => {
                let image = &pod["spec"]["containers"][0]["image"];
                named = self.images.iter().position(|expected| image == expected);
                named.is_none().then_some(Fault::SlippedThrough)
            }
            Err(kube::Error::Api(status)) if status.message.contains("webhook \"") => {
                Some(Fault::Refused(status.message))
            }
            Err(error) => Some(Fault::ApiServer(error.to_string())),
        };
        Creation { sent, answered, dry_run, named, fault }
    }

    async fn clear(&self) -> Result<(), kube::Error> {
        self.client.request::<Value>(request(Method::DELETE, OWN_PODS, Vec::new())).await.map(drop)
    }
}
