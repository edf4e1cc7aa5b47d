//! Multi-arch images with attestations, as BuildKit makes them, and the upstream that has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use pullthrough::registry::Digest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::{Answer, Seen, Server, answer, error};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const STATEMENT: &str = "application/vnd.in-toto+json";
const PLATFORMS: [&str; 2] = ["amd64", "arm64"];
/// Of this machine, and the other.
pub const NATIVE: &str = PLATFORMS[cfg!(target_arch = "aarch64") as usize];
pub const FOREIGN: &str = PLATFORMS[cfg!(not(target_arch = "aarch64")) as usize];

/// An image of both platforms.
#[derive(Debug, Clone)]
pub struct Image {
    pub repository: String,
    pub tag: String,
    /// Of the index.
    pub digest: Digest,
    /// The part for this machine.
    pub native: Child,
}

/// An image of one platform.
#[derive(Debug, Clone)]
pub struct Child {
    pub digest: Digest,
    pub config: Digest,
    /// The layer that the images do not share.
    pub layer: Digest,
}

impl Image {
    pub fn by_tag(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    pub fn by_digest(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// Content by the path of its request.
#[derive(Debug, Default)]
struct Content(BTreeMap<String, (&'static str, Bytes)>);

impl Content {
    /// Adds an image with a layer that all images share, and one with this text.
    fn add(&mut self, repository: &str, tag: &str, text: &str) -> Image {
        let mut native = None;
        let mut descriptors = Vec::new();
        for architecture in PLATFORMS {
            let name = format!("{repository}:{tag} for {architecture}");
            let layers = [tar("base", architecture), tar("own", &format!("{text} for {architecture}"))];
            let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
            let config = json!({
                "os": "linux", "architecture": architecture, "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            });
            let layers = layers.map(|layer| (LAYER, layer));
            let platform = json!({"os": "linux", "architecture": architecture});
            let child = self.child(repository, &platform, &config, layers.into());
            if architecture == NATIVE {
                let manifest = &self.0[&path(repository, "manifests", child["digest"].as_str().unwrap())].1;
                let manifest: Value = serde_json::from_slice(manifest).unwrap();
                native = Some(Child {
                    digest: digest_of(&child),
                    config: digest_of(&manifest["config"]),
                    layer: digest_of(&manifest["layers"][1]),
                });
            }
            let subject = &child["digest"];
            let statement = json!({"subject": [{"name": name, "digest": subject}], "predicate": {}}).to_string();
            let unknown = json!({"os": "unknown", "architecture": "unknown"});
            let mut attestation =
                self.child(repository, &unknown, &unknown.clone(), vec![(STATEMENT, statement.into())]);
            attestation["annotations"] = json!({
                "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject,
            });
            descriptors.extend([child, attestation]);
        }
        let index = Bytes::from(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}).to_string());
        self.0.insert(path(repository, "manifests", tag), (INDEX, index.clone()));
        let digest = self.put(repository, "manifests", INDEX, index);
        Image {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest_of(&digest),
            native: native.unwrap(),
        }
    }

    /// Adds one manifest of an index. Returns its descriptor.
    fn child(
        &mut self,
        repository: &str,
        platform: &Value,
        config: &Value,
        layers: Vec<(&'static str, Bytes)>,
    ) -> Value {
        let config = self.put(repository, "blobs", CONFIG, config.to_string().into());
        let layers: Vec<Value> =
            layers.into_iter().map(|(media_type, layer)| self.put(repository, "blobs", media_type, layer)).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(repository, "manifests", MANIFEST, manifest.to_string().into());
        descriptor["platform"] = platform.clone();
        descriptor
    }

    /// Adds content by its digest. Returns its descriptor.
    fn put(&mut self, repository: &str, kind: &str, media_type: &'static str, bytes: Bytes) -> Value {
        let digest = Digest::of(&bytes).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.0.insert(path(repository, kind, &digest), (media_type, bytes));
        descriptor
    }

    fn answer(&self, seen: &Seen) -> Answer {
        if seen.path == "/v2/" {
            return answer(200, &[], "{}");
        }
        let Some((media_type, bytes)) = self.0.get(&seen.path) else {
            let kind = if seen.path.contains("/blobs/") { "BLOB_UNKNOWN" } else { "MANIFEST_UNKNOWN" };
            return error(404, kind, "not here");
        };
        let (digest, length) = (Digest::of(bytes).to_string(), bytes.len().to_string());
        let headers =
            [("content-type", *media_type), ("docker-content-digest", &*digest), ("content-length", &*length)];
        answer(200, &headers, if seen.method == "HEAD" { Bytes::new() } else { bytes.clone() })
    }
}

fn path(repository: &str, kind: &str, reference: &str) -> String {
    format!("/v2/{repository}/{kind}/{reference}")
}

fn digest_of(descriptor: &Value) -> Digest {
    Digest::parse(descriptor["digest"].as_str().unwrap()).unwrap()
}

/// Returns an archive with one file.
fn tar(name: &str, text: &str) -> Bytes {
    let mut header = [0; 512];
    let size = format!("{:011o}", text.len());
    for (offset, field) in
        [(0, name), (100, "0000644"), (124, &size), (148, "        "), (156, "0"), (257, "ustar\x0000")]
    {
        header[offset..offset + field.len()].copy_from_slice(field.as_bytes());
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = [&header[..], text.as_bytes()].concat();
    // Padding, and two blocks of zeros at the end.
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive.into()
}

/// A registry of the tests. When this value is dropped, its port is closed.
pub struct Upstream {
    content: Arc<Mutex<Content>>,
    server: Server,
    _runtime: Runtime,
}

impl Upstream {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let content = Arc::<Mutex<Content>>::default();
        let of_server = Arc::clone(&content);
        let server = runtime.block_on(Server::plain(move |seen| of_server.lock().unwrap().answer(seen)));
        Self { content, server, _runtime: runtime }
    }

    /// Adds an image. One of its layers has this text.
    pub fn add(&self, repository: &str, tag: &str, text: &str) -> Image {
        self.content.lock().unwrap().add(repository, tag, text)
    }

    pub fn host(&self) -> String {
        self.server.host()
    }

    /// Returns the requests that it received.
    pub fn requests(&self) -> Vec<String> {
        self.server.lines()
    }
}
