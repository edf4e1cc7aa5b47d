//! The model of distribution, compared with the product: a pull-through cache whose upstream answers as told, or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use pullthrough::engine::Product;
use pullthrough::products::{Blobs, Cause, Head, Inventory, Model};
use sha2::{Digest, Sha256};

use crate::init::registry::{DEADLINE, Registry, free_address};
use crate::needs;

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux"}"#;

/// What the upstream answers, its code in the distribution API, and the cause of an answer of the cache.
const FAILURES: [(u16, &str, Cause); 5] = [
    (401, "UNAUTHORIZED", Cause::UpstreamLogin),
    (403, "DENIED", Cause::UpstreamLogin),
    (404, "MANIFEST_UNKNOWN", Cause::Absent),
    (429, "TOOMANYREQUESTS", Cause::UpstreamLimit),
    (500, "UNKNOWN", Cause::UpstreamFailure),
];

fn digest(text: &str) -> String {
    let digits: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn manifest() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        digest(CONFIG),
        CONFIG.len()
    )
}

/// A registry with one image under every name and tag.
struct Upstream {
    address: String,
    /// The status of every answer but that of `/v2/`.
    status: Arc<AtomicU16>,
    is_down: Arc<AtomicBool>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (status, is_down) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicBool::new(false)));
        let upstream = Self { address, status: Arc::clone(&status), is_down: Arc::clone(&is_down) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_down.load(Ordering::SeqCst) {
                    return;
                }
                // A cache that closes its connection is no fault of the upstream.
                let _ = answer(&stream, status.load(Ordering::SeqCst));
            }
        });
        upstream
    }

    fn set(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Closes the port.
    fn stop(&self) {
        self.is_down.store(true, Ordering::SeqCst);
        while TcpStream::connect(&self.address).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn answer(mut stream: &TcpStream, status: u16) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (method, path) = request.split_once(' ').unwrap_or_default();
    let path = path.split(' ').next().unwrap_or_default();
    let manifest = manifest();
    let (status, kind, body) = match path {
        "/v2/" => (200, "application/json", "{}".to_owned()),
        _ if status != 200 => {
            let code = FAILURES.iter().find(|(failure, ..)| *failure == status).map_or("", |(_, code, _)| code);
            (status, "application/json", format!(r#"{{"errors":[{{"code":"{code}","message":"a test"}}]}}"#))
        }
        _ if path.ends_with("/tags/list") => (200, "application/json", r#"{"name":"a","tags":["1","2"]}"#.to_owned()),
        _ if path.contains("/blobs/") => (200, "application/octet-stream", CONFIG.to_owned()),
        _ => (200, TYPE, manifest.clone()),
    };
    let body_digest = digest(&body);
    let head = format!(
        "HTTP/1.1 {status} Test\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: {kind}\r\n\
         Docker-Content-Digest: {body_digest}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}

/// Distribution as a pull-through cache.
struct Cache {
    process: Registry,
    folder: tempfile::TempDir,
    address: String,
}

impl Cache {
    fn start(upstream: &Upstream) -> Self {
        needs("docker-registry");
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: {address}}}\n\
             proxy: {{remoteurl: 'http://{}'}}\n",
            folder.path().join("storage").display(),
            upstream.address
        );
        let configuration = folder.path().join("cache.yml");
        std::fs::write(&configuration, text).expect("a file");
        let process = Registry::start(&configuration, &address);
        Self { process, folder, address }
    }

    fn manifest(&self, repository: &str, reference: &str) -> String {
        format!("http://{}/v2/{repository}/manifests/{reference}", self.address)
    }

    fn blob(&self, repository: &str) -> String {
        format!("http://{}/v2/{repository}/blobs/{}", self.address, digest(CONFIG))
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Where it stores what a repository has.
    fn repository(&self, name: &str) -> PathBuf {
        self.storage().join("docker/registry/v2/repositories").join(name)
    }

    /// Pulls an image until its blob is stored: the cache stores it after it was served, with a request of its own to the
    /// upstream, and not for a repository that asks while it stores the blob for another one.
    fn pull(&self, repository: &str, reference: &str) {
        let link = self.repository(repository).join("_layers").join(digest(CONFIG).replace(':', "/")).join("link");
        let start = Instant::now();
        while !link.exists() {
            assert!(start.elapsed() < DEADLINE, "{repository} is not stored");
            for url in [self.manifest(repository, reference), self.blob(repository)] {
                assert_eq!(curl("GET", &url).0, 200, "{url}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Returns the status and the body.
fn curl(method: &str, url: &str) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--max-time",
        "20",
        "--write-out",
        "\n%{http_code}",
        "--header",
        &format!("Accept: {TYPE}"),
    ]);
    match method {
        "HEAD" => command.arg("--head"),
        _ => command.args(["--request", method]),
    };
    let output = command.arg(url).output().expect("curl");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a status"), body.to_owned())
}

#[test]
fn distribution_behaves_as_its_model_says() {
    let model = Model::of(Product::Distribution);
    let upstream = Upstream::start();
    let cache = Cache::start(&upstream);
    let by_tag = |repository: &str| cache.manifest(repository, "1");
    let by_digest = |repository: &str| cache.manifest(repository, &digest(&manifest()));
    let blob = |repository: &str| cache.blob(repository);

    // A HEAD stores the manifest, and not its blobs.
    assert_eq!(curl("HEAD", &by_tag("held")).0, 200);
    cache.pull("whole", "1");
    assert_eq!(curl("GET", &by_digest("whole")).0, 200);
    let tags = curl("GET", &format!("http://{}/v2/held/tags/list", cache.address)).1;
    assert!(tags.contains("\"2\""), "the tags of the upstream: {tags}");
    assert_eq!(model.head.value, Head::Manifest);
    assert_eq!(model.blobs.value, Blobs::OnRequest);
    assert_eq!(model.inventory.value, Inventory::Storage);

    let failures = FAILURES.iter().map(|(status, _, cause)| (Some(*status), *cause));
    for (status, cause) in failures.chain([(None, Cause::UpstreamFailure)]) {
        match status {
            Some(status) => upstream.set(status),
            None => upstream.stop(),
        }
        for url in [by_tag("held"), by_digest("held"), by_tag("whole"), by_digest("whole"), blob("whole")] {
            assert_eq!(curl("GET", &url).0, 200, "{url} is not served while the upstream answers {status:?}");
        }
        for url in [by_tag("absent"), by_digest("absent"), blob("absent"), blob("held")] {
            let (found, body) = curl("GET", &url);
            let causes = model.causes(found);
            assert_ne!(found, 200, "{url} is held");
            assert!(
                causes.contains(&cause),
                "{url}: {found} is not by {cause:?}, of the upstream's {status:?}: {body}"
            );
        }
    }
    assert_eq!(model.offline.value.serves_held, Some(true));

    // It does not start without its upstream.
    let Cache { folder, process, .. } = cache;
    drop(process);
    let mut process = Command::new("docker-registry")
        .arg("serve")
        .arg(folder.path().join("cache.yml"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("docker-registry runs");
    let start = Instant::now();
    let ended = loop {
        match process.try_wait().expect("a process") {
            None if start.elapsed() < DEADLINE => std::thread::sleep(Duration::from_millis(50)),
            ended => break ended,
        }
    };
    let _ = process.kill();
    assert!(ended.is_some_and(|status| !status.success()), "it starts: {ended:?}");
    assert_eq!(model.offline.value.starts, Some(false));
}

/// Returns the verdict of `pullthrough drill` about an image of the cache.
fn drill(cache: &Cache, image: &str) -> serde_json::Value {
    let (folder, address) = (cache.folder.path(), &cache.address);
    let rules = folder.join("rules.yaml");
    let text = format!(
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{{prefix: '{address}', product: distribution}}]\n\
         rules: [{{name: all, from: [docker.io], to: '{address}'}}]\n"
    );
    std::fs::write(&rules, text).expect("a file");
    let list = folder.join("images.txt");
    std::fs::write(&list, format!("{address}/{image}\n")).expect("a file");
    let storage = format!("{address}={}", cache.storage().display());
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["drill", "-o", "json", "--platform", "linux/amd64", "--storage", &storage, "--rules"])
        .arg(rules)
        .arg("--images")
        .arg(list)
        .output()
        .expect("pullthrough runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What `drill` calls safe is pulled without the upstream, and what it calls unsafe is not.
#[test]
fn the_storage_of_distribution_is_an_inventory() {
    let upstream = Upstream::start();
    let cache = Cache::start(&upstream);
    let by_digest = digest(&manifest());
    for name in ["whole", "without-layers", "untagged"] {
        cache.pull(name, "1");
    }
    assert_eq!(curl("GET", &cache.manifest("no-blobs", "1")).0, 200);
    cache.pull("by-digest", &by_digest);
    // The cache writes when its content expires every 5 s.
    let start = Instant::now();
    let is_known = || {
        let state = std::fs::read_to_string(cache.storage().join("scheduler-state.json")).unwrap_or_default();
        let key = format!("by-digest@{}", digest(CONFIG));
        state.contains(&key)
    };
    while !is_known() && start.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_dir_all(cache.repository("without-layers").join("_layers")).expect("layers");
    std::fs::remove_dir_all(cache.repository("untagged").join("_manifests/tags")).expect("tags");
    upstream.stop();

    for (name, reference, expected) in [
        ("whole", "1", "yes"),
        ("whole", &by_digest, "yes"),
        ("without-layers", "1", "no"),
        ("without-layers", &by_digest, "no"),
        ("untagged", "1", "no"),
        ("untagged", &by_digest, "yes"),
        ("no-blobs", "1", "no"),
        ("by-digest", "1", "no"),
        ("by-digest", &by_digest, "yes"),
        ("absent", "1", "no"),
    ] {
        let separator = if reference.contains(':') { '@' } else { ':' };
        let line = drill(&cache, &format!("{name}{separator}{reference}"));
        assert_eq!(line["verdict"], expected, "{line}");
        let pulled = [cache.manifest(name, reference), cache.blob(name)].iter().all(|url| curl("GET", url).0 == 200);
        assert_eq!(pulled, expected == "yes", "{name} {reference}");
        // 168 hours.
        assert!(expected != "yes" || line["until_secs"].as_i64().is_some(), "{line}");
    }
    std::fs::remove_dir_all(cache.storage().join("docker/registry/v2/blobs")).expect("blobs");
    assert_eq!(drill(&cache, "whole:1")["verdict"], "no");
    assert_ne!(curl("GET", &cache.manifest("whole", "1")).0, 200);
}

/// `verify` sees the same upstream as the cache. So the most likely cause is the right one.
#[test]
fn verify_names_the_fault_of_the_upstream_of_distribution() {
    let upstream = Upstream::start();
    let cache = Cache::start(&upstream);
    let (folder, address) = (cache.folder.path(), &cache.address);
    let rules = folder.join("rules.yaml");
    let text = format!(
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{{prefix: '{address}', product: distribution}}]\n\
         rules: [{{name: all, from: ['{}'], to: '{address}'}}]\n",
        upstream.address
    );
    std::fs::write(&rules, text).expect("a file");
    let list = folder.join("images");
    let verify = |repository: &str| {
        let names = [format!(":{}", 1), format!("@{}", digest(&manifest()))];
        let images = names.map(|name| format!("{}/{repository}{name}\n", upstream.address)).concat();
        std::fs::write(&list, images).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        // The upstream of the tests closes connections with TLS, from which a client can't tell that it speaks plain HTTP.
        command.args(["verify", "-o", "json", "--anonymous", "--plain-http", &upstream.address]);
        command.args(["--platform", "linux/amd64", "--rules"]);
        let output = command.arg(&rules).arg("--images").arg(&list).output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let lines: Vec<serde_json::Value> = lines.collect();
        assert_eq!(lines.len(), 2, "{text}{}", String::from_utf8_lossy(&output.stderr));
        lines
    };
    cache.pull("whole", "1");
    for (status, cause) in
        FAILURES.map(|(status, _, cause)| (Some(status), cause)).into_iter().chain([(None, Cause::UpstreamFailure)])
    {
        match status {
            Some(status) => upstream.set(status),
            None => upstream.stop(),
        }
        for line in verify("absent") {
            let cause = pullthrough::diagnosis::Cause::from(cause).as_str();
            assert_eq!(line["causes"][0]["cause"], cause, "{status:?} {line}");
            let is_by_tag = line["image"].as_str().is_some_and(|image| !image.contains('@'));
            let expected = if cause == "absent" && is_by_tag { "missing" } else { "unknown" };
            assert_eq!(line["status"], expected, "{status:?} {line}");
        }
        // What the cache holds is served without its upstream.
        for line in verify("whole") {
            assert_eq!(line["status"], "served", "{status:?} {line}");
        }
    }
}
