//! Rate, requests, quota, and waits after 429.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::server::{Answer, Seen, Server, answer, error};
use super::store::Store;
use super::{PREFIX, Scene};

fn store() -> Store {
    let mut store = Store::default();
    for name in ["a", "b", "c"] {
        store.index(name, "1", &["base"]);
    }
    store
}

const IMAGES: [&str; 3] = ["a:1", "b:1", "c:1"];
/// Manifests by digest, blobs, and the HEAD of the tag.
const REQUESTS_OF_AN_IMAGE: u64 = 4 + 6 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept() {
    let scene = Scene::of("generic", &store()).await;
    let start = Instant::now();
    let ran = scene.warm(&IMAGES, &["--rate", "20/s"]).await;
    assert_eq!((ran.code, ran.sum("requests")), (Some(0), 3 * REQUESTS_OF_AN_IMAGE), "{ran:?}");
    let least = Duration::from_millis(50) * (3 * REQUESTS_OF_AN_IMAGE - 1) as u32;
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_after_its_requests() {
    let store = store();
    let scene = Scene::of("generic", &store).await;
    let mut sent = 0;
    for _ in 0..20 {
        let ran = scene.warm(&IMAGES, &["--max-requests", "5", "--resume", "resume"]).await;
        let now = scene.cache.lines().len();
        assert!(now - sent <= 5, "{ran:?}");
        sent = now;
        if ran.code == Some(0) {
            let mut blobs = scene.cache.lines();
            blobs.retain(|line| line.contains("/blobs/"));
            let count = blobs.len();
            blobs.sort();
            blobs.dedup();
            assert_eq!((count, blobs.len()), (18, 18), "no blob is fetched twice");
            return;
        }
        assert_eq!(ran.code, Some(1));
        let stopped = ran.entries.iter().filter(|entry| entry["status"] == "stopped");
        for fault in stopped.map(|entry| &entry["faults"][0]["causes"][0]) {
            assert_eq!(fault["cause"], "max_requests");
            assert_eq!(fault["text"], "the limit of 5 requests (--max-requests) is reached");
            assert_eq!(fault["fix"], "run again with the same --resume file");
        }
    }
    panic!("it does not end");
}

fn too_many(retry_after: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = retry_after.map(|value| ("retry-after", value)).into_iter().collect();
    answer(429, &headers, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#)
}

/// Returns a server that answers the requests from `first` to `last` with 429.
async fn limited(
    store: &Store,
    prefix: &'static str,
    first: u64,
    last: u64,
    retry_after: Option<&'static str>,
) -> Server {
    let (store, count) = (store.clone(), AtomicU64::new(0));
    Server::plain(move |seen| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if (first..=last).contains(&number) { too_many(retry_after) } else { store.answer(prefix, seen) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_waited_for() {
    let store = store();
    for (retry_after, least) in [(Some("1"), 1), (None, 5)] {
        let cache = limited(&store, PREFIX, 3, 3, retry_after).await;
        let upstream = limited(&store, "", 0, 0, None).await;
        let scene = Scene::new("generic", upstream, cache).await;
        let start = Instant::now();
        let ran = scene.warm(&IMAGES, &[]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.sum("requests"), 3 * REQUESTS_OF_AN_IMAGE + 1);
        assert!(start.elapsed() >= Duration::from_secs(least), "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_without_end_ends_the_run() {
    let store = store();
    let cache = limited(&store, PREFIX, 2, u64::MAX, Some("3600")).await;
    let upstream = limited(&store, "", 0, 0, None).await;
    let scene = Scene::new("generic", upstream, cache).await;
    let ran = scene.warm(&["a:1", "b:1"], &["--max-wait", "2s", "--concurrency", "1"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(scene.cache.lines().len(), 3, "nothing is sent after that: {ran:?}");
    let host = scene.cache.host();
    for entry in &ran.entries {
        assert_eq!(entry["status"], "stopped");
        let cause = format!("{host} limits the rate (429) for longer than --max-wait, and asks to wait 60 minutes");
        assert_eq!(entry["faults"][0]["causes"][0]["text"], cause);
    }
}

/// Some caches answer 404 if their upstream limits the rate.
#[tokio::test(flavor = "multi_thread")]
async fn a_404_for_a_429_of_the_upstream_is_waited_for() {
    let store = store();
    let (of_cache, count) = (store.clone().distribution(PREFIX), AtomicU64::new(0));
    let cache = Server::plain(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        0 => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        _ => of_cache(seen),
    })
    .await;
    let upstream = limited(&store, "", 0, 0, Some("1")).await;
    let scene = Scene::new("distribution", upstream, cache).await;
    let ran = scene.warm(&["a:1"], &["--concurrency", "1"]).await;
    assert_eq!((ran.code, ran.status()), (Some(0), "fetched"), "{ran:?}");
    assert_eq!(scene.upstream.lines(), ["HEAD /v2/a/manifests/1"]);
}

/// Adds the headers of a rate limit.
fn with_limit(answer: Answer, limit: i64, remaining: i64, window_secs: u64) -> Answer {
    let (mut head, body) = answer.into_parts();
    let mut add = |name: &'static str, value: i64| {
        head.headers.insert(name, format!("{value};w={window_secs}").parse().unwrap());
    };
    add("ratelimit-limit", limit);
    add("ratelimit-remaining", remaining);
    Answer::from_parts(head, body)
}

/// A rate limit that counts GET of manifests, as Docker Hub does.
#[derive(Debug)]
pub struct Limiter {
    limit: i64,
    remaining: AtomicI64,
    least: AtomicI64,
}

impl Limiter {
    pub fn new(limit: i64) -> Arc<Self> {
        Arc::new(Self { limit, remaining: AtomicI64::new(limit), least: AtomicI64::new(limit) })
    }

    /// Returns the smallest number that remained.
    pub fn least(&self) -> i64 {
        self.least.load(Ordering::SeqCst)
    }

    /// Begins a new window.
    pub fn refill(&self) {
        self.remaining.store(self.limit, Ordering::SeqCst);
    }

    fn count(&self, seen: &Seen) -> i64 {
        let cost = i64::from(seen.method == "GET" && seen.path.contains("/manifests/"));
        let remaining = self.remaining.fetch_sub(cost, Ordering::SeqCst) - cost;
        self.least.fetch_min(remaining, Ordering::SeqCst);
        remaining
    }
}

/// `passes`: the cache passes the headers on. Else the upstream has to be asked.
pub async fn limited_scene(store: &Store, limiter: &Arc<Limiter>, passes: bool, window_secs: u64) -> Scene {
    let (of_cache, of_upstream) = (store.clone(), store.clone());
    let (counting, reading) = (Arc::clone(limiter), Arc::clone(limiter));
    let cache = Server::plain(move |seen| {
        let remaining = counting.count(seen);
        let answer = of_cache.answer(PREFIX, seen);
        if passes { with_limit(answer, counting.limit, remaining, window_secs) } else { answer }
    })
    .await;
    let upstream = Server::plain(move |seen| {
        let remaining = reading.remaining.load(Ordering::SeqCst);
        with_limit(of_upstream.answer("", seen), reading.limit, remaining, window_secs)
    })
    .await;
    Scene::new("generic", upstream, cache).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_others_is_kept() {
    let store = store();
    for passes in [true, false] {
        let limiter = Limiter::new(10);
        let scene = limited_scene(&store, &limiter, passes, 21_600).await;
        let arguments = ["--keep-quota", "20%", "--resume", "resume"];
        let ran = scene.warm(&IMAGES, &arguments).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let least = limiter.least();
        assert!((2..10).contains(&least), "{least} of 10 remain, passes={passes}");
        // What is known of the upstream is exact, as HEAD does not count.
        assert!(passes || least == 2, "{least}");
        assert_eq!(scene.upstream.lines().is_empty(), passes);
        let cause =
            |entry: &serde_json::Value| entry["faults"][0]["causes"][0]["text"].as_str().unwrap_or_default().to_owned();
        let stopped = ran.entries.iter().map(cause).find(|cause| cause.contains("--keep-quota keeps 2"));
        assert!(stopped.is_some(), "{ran:?}");
        // Later, there is a new quota.
        for _ in 0..4 {
            limiter.refill();
            limiter.least.store(10, Ordering::SeqCst);
            let ran = scene.warm(&IMAGES, &arguments).await;
            assert!(limiter.least() >= 2);
            if ran.code == Some(0) {
                break;
            }
        }
        limiter.refill();
        let last = scene.warm(&IMAGES, &arguments).await;
        assert_eq!((last.code, last.sum("bytes")), (Some(0), 0), "{last:?}");
    }
}

/// The limit is that of the account that Docker's configuration has for the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_asked_for_the_quota_of_the_account() {
    let store = store();
    let limiter = Limiter::new(10);
    let (of_cache, of_upstream) = (store.clone(), store.clone());
    let (counting, reading) = (Arc::clone(&limiter), Arc::clone(&limiter));
    let cache = Server::plain(move |seen| {
        counting.count(seen);
        of_cache.answer(PREFIX, seen)
    })
    .await;
    let upstream = Server::plain(move |seen| match seen.authorization.as_deref() {
        // user:password
        Some("Basic dXNlcjpwYXNzd29yZA==") => {
            let remaining = reading.remaining.load(Ordering::SeqCst);
            with_limit(of_upstream.answer("", seen), reading.limit, remaining, 21_600)
        }
        _ => answer(401, &[("www-authenticate", "Basic realm=\"upstream\"")], "{}"),
    })
    .await;
    let scene = Scene::new("generic", upstream, cache).await;
    let auths = serde_json::json!({"auths": {scene.upstream.host(): {"auth": "dXNlcjpwYXNzd29yZA=="}}});
    std::fs::write(scene.folder.path().join("config.json"), auths.to_string()).unwrap();
    let ran = scene.warm(&IMAGES, &["--keep-quota", "50%", "--max-wait", "1s"]).await;
    assert_eq!((ran.code, limiter.least()), (Some(1), 5), "{ran:?}");
    assert!(scene.cache.seen().iter().all(|seen| seen.authorization.is_none()));
    assert!(scene.upstream.lines().iter().all(|line| line.starts_with("HEAD ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_window_is_waited_for() {
    let store = store();
    for passes in [true, false] {
        let limiter = Limiter::new(8);
        let scene = limited_scene(&store, &limiter, passes, 2).await;
        let refilled = Arc::clone(&limiter);
        let refilling = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                refilled.refill();
            }
        });
        let ran = scene.warm(&IMAGES, &["--keep-quota", "25%", "--max-wait", "1m"]).await;
        refilling.abort();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(limiter.least() >= 2, "passes={passes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_a_limit_is_noted() {
    let scene = Scene::of("generic", &store()).await;
    let ran = scene.warm(&IMAGES, &["--keep-quota", "20%"]).await;
    assert_eq!(ran.code, Some(0));
    let note = format!("note: {} reports no rate limit, so --keep-quota has no effect on it", scene.upstream.host());
    assert_eq!(ran.stderr.matches(&note).count(), 1, "{}", ran.stderr);
}
