//! Two registries of the distribution project, one as a cache of the other, configured by `init registry --setup`. The cache must
//! have an image at the path that the rules give it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use pullthrough::init::Product;
use pullthrough::registries::Upstream;
use sha2::{Digest, Sha256};

use super::layouts::{layout, policy, rewritten};
use crate::needs;

pub const DEADLINE: Duration = Duration::from_secs(30);

/// A process that is killed when this value is dropped.
pub struct Registry {
    process: Child,
    url: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    pub fn start(configuration: &Path, address: &str) -> Self {
        let log = std::fs::File::create(configuration.with_extension("log")).expect("a file");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(configuration)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("docker-registry runs");
        let registry = Self { process, url: format!("http://{address}") };
        let start = Instant::now();
        while curl(&[&format!("{}/v2/", registry.url)]).is_none() {
            assert!(
                start.elapsed() < DEADLINE,
                "{}",
                std::fs::read_to_string(configuration.with_extension("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    /// Pushes an image without layers. Returns its manifest.
    pub fn push(&self, repository: &str, tag: &str) -> String {
        let digest = |text: &str| {
            let digits: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{digits}")
        };
        let config = r#"{"architecture":"amd64","os":"linux"}"#;
        let uploads = format!("{}/v2/{repository}/blobs/uploads/", self.url);
        let head =
            curl(&["--request", "POST", "--dump-header", "-", "--output", "/dev/null", &uploads]).expect("an upload");
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("its place").trim();
        let blob = format!("{location}&digest={}", digest(config));
        curl(&[
            "--request",
            "PUT",
            "--header",
            "Content-Type: application/octet-stream",
            "--data-binary",
            config,
            &blob,
        ])
        .expect("a blob");
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
            digest(config),
            config.len()
        );
        let manifests = format!("{}/v2/{repository}/manifests/{tag}", self.url);
        let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json";
        curl(&["--request", "PUT", "--header", kind, "--data-binary", &manifest, &manifests]).expect("a manifest");
        manifest
    }
}

fn curl(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("curl").args(["--silent", "--fail", "--max-time", "10"]).args(arguments).output().expect("curl");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
}

pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address").to_string()
}

#[test]
fn a_real_registry_has_the_image_where_the_rules_say() {
    needs("docker-registry");
    let folder = tempfile::tempdir().expect("a folder");
    let upstream_address = free_address();
    let configuration = folder.path().join("upstream.yml");
    let text = format!("version: 0.1\nstorage:\n  inmemory: {{}}\nhttp:\n  addr: {upstream_address}\n");
    std::fs::write(&configuration, text).expect("a file");
    let upstream = Registry::start(&configuration, &upstream_address);
    let manifest = upstream.push("library/nginx", "1.29");

    // The configuration of the script, with addresses of this machine.
    let layout = layout(Product::Registry, &[Upstream::DockerHub]);
    let mut setup = Command::new("bash");
    setup.args(["-c", &layout.setup()]).env("FOLDER", folder.path()).env("CONFIGURE_ONLY", "true");
    assert!(setup.status().expect("bash").success());
    let file = folder.path().join("docker-hub.yml");
    let address = free_address();
    let text = std::fs::read_to_string(&file).expect("a file");
    let text = ["/var/lib/registry", ":5000", "https://registry-1.docker.io"].into_iter().fold(text, |text, place| {
        assert_eq!(text.matches(place).count(), 1, "{text}");
        text.replace(
            place,
            match place {
                ":5000" => &address,
                "https://registry-1.docker.io" => &upstream.url,
                _ => folder.path().to_str().expect("UTF-8"),
            },
        )
    });
    std::fs::write(&file, text).expect("a file");
    let cache = Registry::start(&file, &address);

    let image = rewritten(&policy(&layout), "nginx:1.29").expect("a rule");
    let path = image.strip_prefix("registry.example.com:5001/").expect("the cache's host");
    let (repository, tag) = path.split_once(':').expect("a tag");
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json";
    let pulled = curl(&["--header", accept, &format!("{}/v2/{repository}/manifests/{tag}", cache.url)]);
    assert_eq!(pulled.as_deref(), Some(manifest.as_str()));
}
