//! Caches are probed off the admission path, and rules name the first one that is not down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::support::certificates::Trust;
use crate::support::client::Client;
use crate::support::process::Server;
use crate::support::{review, review_of, until, until_within};

/// The least time for which a cache is down, and the time for five probes after it.
const UP_AGAIN: Duration = Duration::from_secs(90);
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What a cache does with requests.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// The status of every answer.
    Status(u16),
    /// A 401 with a challenge, or 200 for the right login.
    Challenge,
    /// It has the images whose names do not have `absent`.
    Subset,
    /// It closes connections.
    Closed,
    /// It reads and does not answer.
    Silent,
}

/// A registry of the tests, which speaks plain HTTP on the loopback interface.
struct Cache {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Cache {
    fn start(mode: Mode) -> Cache {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cache =
            Cache { address: listener.local_addr().unwrap(), mode: Arc::new(Mutex::new(mode)), lines: Arc::default() };
        let (mode, lines) = (Arc::clone(&cache.mode), Arc::clone(&cache.lines));
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                let mode = *mode.lock().unwrap();
                match mode {
                    Mode::Closed => drop(stream),
                    Mode::Silent => silent.push(stream),
                    Mode::Status(_) | Mode::Challenge | Mode::Subset => drop(answer(stream, mode, &lines)),
                }
            }
        });
        cache
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, mode: Mode, lines: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?).lines();
    let Some(request) = reader.next().transpose()? else { return Ok(()) };
    let headers: Vec<String> =
        reader.map_while(Result::ok).take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    // The login jane:hunter2.
    let has_login = headers.iter().any(|line| line == "authorization: basic amfuztpodw50zxiy");
    lines.lock().unwrap().push(request.clone());
    let (status, challenge) = match mode {
        Mode::Status(status) => (status, ""),
        Mode::Subset if request.contains("absent") => (404, ""),
        Mode::Subset => (200, ""),
        Mode::Challenge if has_login => (200, ""),
        _ => (401, "WWW-Authenticate: Basic realm=\"cache\"\r\n"),
    };
    let head = format!(
        "HTTP/1.1 {status} Test\r\n{challenge}Docker-Content-Digest: {DIGEST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())
}

/// A server whose rules name caches. Its folder has the rules file.
struct Scene {
    server: Server,
    rules: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start(rules: &str, caches: &[&Cache], arguments: &[&str]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let (path, ca) = (folder.path().join("rules.yaml"), folder.path().join("ca.pem"));
        std::fs::write(&path, rules).unwrap();
        let (rules, write_ca) = (path.display().to_string(), ca.display().to_string());
        // A client can't tell that they speak plain HTTP, since they close connections with TLS.
        let plain = caches.iter().map(|cache| cache.address.to_string()).collect::<Vec<_>>().join(",");
        let own = ["--rules", &rules, "--write-ca", &write_ca, "--reload-interval", "25ms", "--plain-http", &plain];
        let all = [&own, arguments].concat();
        let trust = || Trust::pem(&std::fs::read_to_string(&ca).unwrap());
        Scene { server: Server::start_reading(&all, trust).await, rules: path, _folder: folder }
    }

    /// Returns the image that a new Pod gets, and the warnings.
    async fn admit(&self) -> (String, String) {
        self.admit_review(review()).await
    }

    async fn admit_review(&self, review: Vec<u8>) -> (String, String) {
        let mut client = Client::http1(self.server.address, &self.server.trust).await.unwrap();
        let body = client.admit(review).await.unwrap().body;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        (given(&body), answer["response"]["warnings"].to_string())
    }

    async fn until_up(&self, cache: &Cache, is_up: bool) {
        let series = format!("pullthrough_cache_up{{cache=\"{}\"}}", cache.address);
        let value = f64::from(u8::from(is_up));
        until_within(&format!("{series} is {value}"), UP_AGAIN, async || {
            self.server.metric(&series).await == Some(value)
        })
        .await;
    }
}

/// Returns the image that an answer gives the container.
fn given(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let Some(patch) = answer["response"]["patch"].as_str() else { return "as written".to_owned() };
    let patch: Value = serde_json::from_slice(&BASE64_STANDARD.decode(patch).unwrap()).unwrap();
    patch[0]["value"].as_str().unwrap().to_owned()
}

fn entry(cache: &Cache, rest: &str) -> String {
    format!("- {{prefix: '{}', health: {{interval: 1s, timeout: 1s{rest}}}}}\n", cache.address)
}

fn rules(caches: &str, rule: &str) -> String {
    format!(
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches:\n{caches}rules:\n- {{name: k8s, from: [registry.k8s.io], {rule}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_down_is_left_for_its_failover_and_comes_back() {
    let (first, second) = (Cache::start(Mode::Status(200)), Cache::start(Mode::Challenge));
    let (one, other) = (first.address, second.address);
    let caches = entry(&first, "") + &entry(&second, "");
    let scene =
        Scene::start(&rules(&caches, &format!("to: '{one}/k8s', failover: ['{other}/k8s']")), &[&first, &second], &[])
            .await;
    let of = |address: SocketAddr| format!("{address}/k8s/pause:3.10");

    scene.until_up(&first, true).await;
    assert_eq!(scene.admit().await.0, of(one));
    first.set(Mode::Closed);
    scene.until_up(&first, false).await;
    let down = Instant::now();
    let (image, warnings) = scene.admit().await;
    assert_eq!(image, of(other));
    assert!(warnings.contains(&format!("{other}/k8s (rule k8s, a failover)")), "{warnings}");
    let line = scene.server.wait_for_log("the cache is down").await;
    assert!(line.contains(&one.to_string()), "{line}");

    // Without any cache the rule keeps its first one, and the server is ready all the same.
    second.set(Mode::Status(503));
    scene.until_up(&second, false).await;
    assert_eq!(scene.admit().await.0, of(one));
    assert_eq!(scene.server.probe("/readyz").await.0, 200);

    first.set(Mode::Status(200));
    scene.until_up(&first, true).await;
    assert!(down.elapsed() > Duration::from_secs(55), "it is up again after {:?}", down.elapsed());
    assert_eq!(scene.admit().await.0, of(one));
    for to in ["down", "up"] {
        let series = format!("pullthrough_cache_transitions_total{{cache=\"{one}\",to=\"{to}\"}}");
        assert_eq!(scene.server.metric(&series).await, Some(1.0), "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_caches_have_the_state_of_the_law() {
    let rows = [
        (Mode::Status(200), "", "success", "up"),
        (Mode::Challenge, "", "success", "up"),
        (Mode::Status(401), "", "wrong_credentials", "up"),
        (Mode::Status(403), "", "wrong_credentials", "up"),
        (Mode::Status(400), "", "misconfigured", "up"),
        (Mode::Status(404), "", "misconfigured", "up"),
        (Mode::Status(429), "", "rate_limited", "degraded"),
        (Mode::Status(500), "", "failure", "down"),
        (Mode::Status(503), "", "failure", "down"),
        (Mode::Closed, "", "failure", "down"),
        (Mode::Silent, "", "failure", "down"),
        (Mode::Status(404), DIGEST, "misconfigured", "up"),
        (Mode::Challenge, DIGEST, "success", "up"),
        (Mode::Status(503), DIGEST, "failure", "down"),
    ];
    let caches = rows.map(|(mode, ..)| Cache::start(mode));
    let entries: String = rows
        .iter()
        .zip(&caches)
        .map(|((_, digest, ..), cache)| match *digest {
            "" => entry(cache, ""),
            digest => entry(cache, &format!(", canary: 'library/busybox@{digest}'")),
        })
        .collect();
    let unprobed = Cache::start(Mode::Status(200));
    let entries = entries + &format!("- {{prefix: '{}'}}\n", unprobed.address);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.json");
    let auths: serde_json::Map<String, Value> = caches
        .iter()
        .map(|cache| (cache.address.to_string(), serde_json::json!({"username": "jane", "password": "hunter2"})))
        .collect();
    std::fs::write(&secret, serde_json::json!({"auths": auths}).to_string()).unwrap();
    let secret = secret.display().to_string();
    let rules = rules(&entries, &format!("to: '{}/k8s'", unprobed.address));
    let scene = Scene::start(&rules, &caches.iter().collect::<Vec<_>>(), &["--pull-secret", &secret]).await;
    for ((mode, digest, result, state), cache) in rows.iter().zip(&caches) {
        let address = cache.address;
        let series = format!("pullthrough_cache_probes_total{{cache=\"{address}\",result=\"{result}\"}}");
        until(&format!("{mode:?}: {series}"), async || scene.server.metric(&series).await >= Some(4.0)).await;
        for one in ["up", "degraded", "down"] {
            let series = format!("pullthrough_cache_state{{cache=\"{address}\",state=\"{one}\"}}");
            let expected = if one == *state { 1.0 } else { 0.0 };
            assert_eq!(scene.server.metric(&series).await, Some(expected), "{mode:?} {series}");
        }
        let asked = match *digest {
            "" => "GET /v2/ HTTP/1.1".to_owned(),
            digest => format!("HEAD /v2/library/busybox/manifests/{digest} HTTP/1.1"),
        };
        let lines = cache.lines();
        assert!(lines.iter().all(|line| *line == asked), "{mode:?}: {lines:?}");
    }
    assert_eq!(unprobed.lines(), Vec::<String>::new(), "a cache without `health` is probed");
    assert!(!scene.server.log().contains("hunter2"), "{}", scene.server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_change_start_and_end_probes() {
    let (first, second) = (Cache::start(Mode::Status(500)), Cache::start(Mode::Status(200)));
    let rule = format!("to: '{}/k8s'", first.address);
    let scene = Scene::start(&rules(&entry(&first, ""), &rule), &[&first, &second], &[]).await;
    scene.until_up(&first, false).await;
    std::fs::write(&scene.rules, rules(&(entry(&first, "") + &entry(&second, "")), &rule)).unwrap();
    scene.until_up(&second, true).await;
    // The state of a cache outlives a reload that does not concern it.
    let series = format!("pullthrough_cache_up{{cache=\"{}\"}}", first.address);
    assert_eq!(scene.server.metric(&series).await, Some(0.0));
    std::fs::write(&scene.rules, rules(&format!("- {{prefix: '{}'}}\n", first.address), &rule)).unwrap();
    until("no series", async || !scene.server.probe("/metrics").await.1.contains("pullthrough_cache_up{")).await;
    let asked = first.lines().len();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(first.lines().len(), asked, "a cache without `health` is probed");
}

/// Writes a file as the kubelet replaces one: at once.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_change_are_read_again() {
    let cache = Cache::start(Mode::Challenge);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.json");
    let login = |password: &str| {
        let auth = serde_json::json!({"username": "jane", "password": password});
        serde_json::json!({"auths": {cache.address.to_string(): auth, "a b": auth}}).to_string()
    };
    replace(&secret, &login("hunter1"));
    let path = secret.display().to_string();
    let entry = entry(&cache, &format!(", canary: 'busybox@{DIGEST}'"));
    let rules = rules(&entry, &format!("to: '{}/k8s'", cache.address));
    let scene = Scene::start(&rules, &[&cache], &["--pull-secret", &path]).await;
    scene.server.wait_for_log("the cache rejects the credentials of probes").await;
    let line = scene.server.wait_for_log("the key `a b` is not supported").await;
    assert!(line.contains(" WARN "), "{line}");
    // The last valid credentials stay in use.
    replace(&secret, "{");
    let line = scene.server.wait_for_log("a file for probes is not valid").await;
    assert!(line.contains("secret.json"), "{line}");
    replace(&secret, &login("hunter2"));
    scene.server.wait_for_log("the cache answers probes").await;
    assert!(!scene.server.log().contains("hunter"), "{}", scene.server.log());
}

/// The rules of a cache that holds a subset.
fn checking(cache: &Cache, deadline: &str) -> String {
    let address = cache.address;
    let rule = format!("to: '{address}/k8s', checkExists: {{deadline: {deadline}}}");
    rules(&format!("- {{prefix: '{address}'}}\n"), &rule)
}

const CONNECTIONS: usize = 100;
const ADMISSIONS_EACH: usize = 10;
const IMAGES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_of_fifty_images_ask_fifty_times() {
    let cache = Cache::start(Mode::Subset);
    let scene = Arc::new(Scene::start(&checking(&cache, "2s"), &[&cache], &[]).await);
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let scene = Arc::clone(&scene);
        tasks.spawn(async move {
            let mut client = Client::http1(scene.server.address, &scene.server.trust).await.unwrap();
            for admission in 0..ADMISSIONS_EACH {
                let number = (connection * ADMISSIONS_EACH + admission) % IMAGES;
                let name = if number.is_multiple_of(2) { "absent" } else { "held" };
                let image = format!("registry.k8s.io/{name}:{number}");
                let answer = client.admit(review_of("pod", &image)).await.unwrap();
                assert_eq!(given(&answer.body) == "as written", name == "absent", "{image}");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let lines = cache.lines();
    let admissions = CONNECTIONS * ADMISSIONS_EACH;
    println!("{admissions} admissions of {IMAGES} images: {} requests to the cache", lines.len());
    assert_eq!(lines.len(), IMAGES, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("HEAD /v2/k8s/")), "{lines:?}");
    let missing = "pullthrough_images_not_rewritten_total{dry_run=\"false\",reason=\"not_in_cache\"}";
    scene.server.wait_for_metric(missing, (admissions / 2) as f64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_404_in_time_the_cache_counts_as_having_an_image() {
    for (mode, result) in [
        (Mode::Status(200), "found"),
        (Mode::Status(401), "denied"),
        (Mode::Status(403), "denied"),
        (Mode::Status(429), "failed"),
        (Mode::Status(500), "failed"),
        (Mode::Closed, "failed"),
        (Mode::Silent, "late"),
    ] {
        let cache = Cache::start(mode);
        let scene = Scene::start(&checking(&cache, "300ms"), &[&cache], &[]).await;
        let start = Instant::now();
        assert_eq!(scene.admit().await.0, format!("{}/k8s/pause:3.10", cache.address), "{mode:?}");
        // The deadline, and what a busy machine adds.
        assert!(start.elapsed() < Duration::from_secs(5), "{mode:?}: {:?}", start.elapsed());
        scene.server.wait_for_metric(&format!("pullthrough_existence_checks_total{{result=\"{result}\"}}"), 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_no_cache() {
    let cache = Cache::start(Mode::Status(404));
    let scene = Scene::start(&checking(&cache, "2s"), &[&cache], &[]).await;
    let mut dry_run: Value = serde_json::from_slice(&review()).unwrap();
    dry_run["request"]["dryRun"] = true.into();
    let given = scene.admit_review(dry_run.to_string().into_bytes()).await.0;
    assert_eq!(given, format!("{}/k8s/pause:3.10", cache.address));
    assert_eq!(cache.lines(), Vec::<String>::new());
    assert_eq!(scene.admit().await.0, "as written");
}
