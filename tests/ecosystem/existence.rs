//! `checkExists` with a real API server and a real registry, which answers at once, slowly, not at all, or falsely.

#[path = "../e2e/registry.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod stand_in;

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::stand_in::Reply;
use crate::harness::request;
use crate::init::registry::{Registry, free_address};
use crate::scene::{Scene, image, rules, simple_pod};
use crate::{CLUSTER, needs};

const DEADLINE: Duration = Duration::from_millis(500);
/// What a creation may take beside the deadline, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
const PODS: usize = 1000;
const IMAGES: usize = 50;
const AT_ONCE: usize = 100;
/// How long an answer is used.
const LIFE: Duration = Duration::from_secs(30);

/// What stands before the registry.
#[derive(Clone, Copy)]
enum Front {
    Nothing,
    /// It passes everything on after this time.
    Delay(Duration),
    /// It closes connections.
    Closes,
    /// It gives every answer this status.
    Status(&'static str),
}

impl Front {
    /// Listens on the loopback interface until the process ends. Returns the address.
    fn start(self, registry: &str) -> String {
        if let Self::Nothing = self {
            return registry.to_owned();
        }
        if let Self::Status(status) = self {
            return stand_in::start(move |_| Reply { status, headers: Vec::new(), body: String::new() });
        }
        let front = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = front.local_addr().expect("an address").to_string();
        let registry = registry.to_owned();
        thread::spawn(move || {
            for stream in front.incoming().flatten() {
                let registry = registry.clone();
                // A client that closes its connection is no fault.
                thread::spawn(move || drop(self.answer(stream, &registry)));
            }
        });
        address
    }

    fn answer(self, mut client: TcpStream, registry: &str) -> std::io::Result<()> {
        let Self::Delay(time) = self else { return Ok(()) };
        thread::sleep(time);
        let server = TcpStream::connect(registry)?;
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        std::io::copy(&mut &server, &mut client).map(drop)
    }
}

/// A registry that somebody pushes to.
struct Mirror {
    process: Registry,
    address: String,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mirror {
    fn start() -> Self {
        needs("docker-registry");
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let configuration = folder.path().join("mirror.yml");
        let text = format!("version: 0.1\nstorage: {{inmemory: {{}}}}\nhttp: {{addr: {address}}}\n");
        std::fs::write(&configuration, text).expect("a file");
        let process = Registry::start(&configuration, &address);
        Self { process, address, log: configuration.with_extension("log"), _folder: folder }
    }

    /// Returns how often manifests were asked for.
    fn asked(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains("\"HEAD /v2/") && line.contains("/manifests/")).count()
    }
}

fn checking(name: &str, cache: &str) -> String {
    format!(
        "  - {{name: {name}, from: [{name}.example.com], to: '{cache}/k8s', checkExists: {{deadline: {}ms}}}}\n",
        DEADLINE.as_millis()
    )
}

#[test]
fn a_registry_is_believed_if_it_answers_in_time() {
    let mirror = Mirror::start();
    mirror.process.push("k8s/held", "1");
    let slow = DEADLINE * 4;
    // Whether images are rewritten that the registry has, and that it does not have.
    let cases = [
        ("fast", Front::Nothing, [true, false]),
        ("slower", Front::Delay(DEADLINE / 5), [true, false]),
        ("slow", Front::Delay(slow), [true, true]),
        ("dead", Front::Closes, [true, true]),
        ("hides", Front::Status("404 Not Found"), [false, false]),
        ("boasts", Front::Status("200 OK"), [true, true]),
    ];
    let caches = cases.map(|(name, front, _)| (name, front.start(&mirror.address)));
    let entries: String = caches.iter().map(|(name, cache)| checking(name, cache)).collect();
    let scene = Scene::new("existence", &rules("", &entries));
    for ((name, cache), (.., expected)) in caches.iter().zip(cases) {
        for (repository, is_rewritten) in ["held", "absent"].into_iter().zip(expected) {
            let written = format!("{name}.example.com/{repository}:1");
            let start = Instant::now();
            let output = scene.create(&simple_pod(&format!("{name}-{repository}"), &written), &[]);
            let took = start.elapsed();
            let given = if is_rewritten { format!("{cache}/k8s/{repository}:1") } else { written };
            assert_eq!(image(&output.json()), given, "{name}");
            assert!(took < DEADLINE + SLACK, "{name}: {took:?}");
            println!("{name}, {repository}: {given} after {took:?}");
        }
    }
    assert_eq!(scene.kept("not_in_cache"), 4.0);
}

#[test]
fn a_registry_is_asked_once_for_each_image_of_many_pods() {
    let mirror = Mirror::start();
    for number in (0..IMAGES).step_by(2) {
        mirror.process.push(&format!("k8s/app{number}"), "1");
    }
    let scene = Scene::unregistered("existence-many", &rules("", &checking("many", &mirror.address)));
    // On a busy machine, an answer may come late. The API server must not admit the Pod without it.
    scene.register(&["--failure-policy=Fail", "--timeout-seconds=30"]);
    let config = CLUSTER.client_config(CLUSTER.admin()).expect("a configuration");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let before = mirror.asked();
    let start = Instant::now();
    runtime.block_on(async {
        let client = kube::Client::try_from(config).expect("a client");
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut creations = JoinSet::new();
        for pod in 0..PODS {
            let (client, slots) = (client.clone(), Arc::clone(&slots));
            creations.spawn(async move {
                let _slot = slots.acquire_owned().await.expect("a slot");
                let number = pod % IMAGES;
                let object = simple_pod(&format!("pod-{pod}"), &format!("many.example.com/app{number}:1"));
                let path = "/api/v1/namespaces/existence-many/pods";
                let created: Value =
                    client.request(request(Method::POST, path, object.to_string().into_bytes())).await.expect("a Pod");
                assert_eq!(image(&created).starts_with("many."), number % 2 == 1, "{created}");
            });
        }
        while let Some(created) = creations.join_next().await {
            created.expect("a creation");
        }
    });
    let (took, asked) = (start.elapsed(), mirror.asked() - before);
    println!("{PODS} Pods of {IMAGES} images in {took:?}: {asked} requests to the registry");
    let lives = 1 + took.as_secs() as usize / LIFE.as_secs() as usize;
    assert!((IMAGES..=IMAGES * lives).contains(&asked), "{asked} requests in {took:?}");
}
