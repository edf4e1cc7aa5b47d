//! A multi-arch image with an attestation, and a registry that serves it.

use std::collections::HashMap;

use hyper::body::Bytes;
use pullthrough::registry::{Content, Descriptor, Digest, Manifest};
use serde_json::{Value, json};

use super::server::{Answer, Seen, answer, error};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Content by digest, with its media type.
#[derive(Clone, Default)]
pub struct Store {
    manifests: HashMap<String, (&'static str, Bytes)>,
    blobs: HashMap<String, Bytes>,
    pub index: Option<Digest>,
}

impl Store {
    /// Makes an image for linux/amd64 and linux/arm64/v8, with one attestation.
    pub fn new() -> Self {
        let mut store = Self::default();
        let mut children = Vec::new();
        for (architecture, variant) in [("amd64", ""), ("arm64", "v8")] {
            let mut child = store.image(architecture, variant, &[Bytes::from(architecture.repeat(10_000))]);
            child["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
            children.push(child);
        }
        let mut attestation = store.image("unknown", "", &[Bytes::from("{}")]);
        attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        children.push(attestation);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        store.index = Some(store.manifest(INDEX, index.into()));
        store
    }

    fn image(&mut self, architecture: &str, variant: &str, layers: &[Bytes]) -> Value {
        let config = json!({"os": "linux", "architecture": architecture, "variant": variant}).to_string();
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.into());
        let layers: Vec<Value> =
            layers.iter().map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", layer.clone())).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers}).to_string();
        let size = manifest.len();
        let digest = self.manifest(IMAGE, manifest.into());
        json!({"mediaType": IMAGE, "digest": digest.as_str(), "size": size})
    }

    pub fn manifest(&mut self, media_type: &'static str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.manifests.insert(digest.to_string(), (media_type, bytes));
        digest
    }

    /// Returns the bytes of a manifest.
    pub fn manifest_of(&self, digest: &Digest) -> Bytes {
        self.manifests[digest.as_str()].1.clone()
    }

    fn blob(&mut self, media_type: &str, bytes: Bytes) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()});
        self.blobs.insert(digest.to_string(), bytes);
        descriptor
    }

    /// Answers as a registry without authorization does. Every tag is the index.
    pub fn answer(&self, seen: &Seen) -> Answer {
        let Some((_, rest)) = seen.path.split_once("/manifests/") else { return self.answer_blob(seen) };
        let digest = if rest.contains(':') { rest } else { self.index.as_ref().unwrap().as_str() };
        match self.manifests.get(digest) {
            Some((media_type, bytes)) => {
                let length = bytes.len().to_string();
                let headers =
                    [("content-type", *media_type), ("docker-content-digest", digest), ("content-length", &length)];
                answer(200, &headers, if seen.method == "HEAD" { Bytes::new() } else { bytes.clone() })
            }
            None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }

    fn answer_blob(&self, seen: &Seen) -> Answer {
        match seen.path.split_once("/blobs/").and_then(|(_, digest)| self.blobs.get(digest)) {
            Some(bytes) => answer(200, &[], bytes.clone()),
            None if seen.path == "/v2/" => answer(200, &[], "{}"),
            None => error(404, "BLOB_UNKNOWN", "blob unknown"),
        }
    }
}

/// Makes an index of the children of another that `keep` selects, and returns a store with it.
pub fn changed(keep: fn(&Value) -> bool, created: &str) -> Store {
    let mut store = Store::new();
    let index = store.manifest_of(store.index.as_ref().unwrap());
    let mut index: Value = serde_json::from_slice(&index).unwrap();
    index["manifests"].as_array_mut().unwrap().retain(keep);
    if !created.is_empty() {
        index["annotations"] = json!({"org.opencontainers.image.created": created});
    }
    store.index = Some(store.manifest(INDEX, index.to_string().into()));
    store
}

pub fn is_amd64(child: &Value) -> bool {
    child["platform"]["architecture"] == "amd64"
}

/// Returns the manifests in an index.
pub fn children(manifest: &Manifest) -> &[Descriptor] {
    match &manifest.content {
        Content::Index(children) => children,
        Content::Image { .. } => panic!("an image: {manifest:?}"),
    }
}

/// Returns the config and the layers of an image.
pub fn parts(manifest: &Manifest) -> (&Descriptor, &[Descriptor]) {
    match &manifest.content {
        Content::Image { config, layers } => (config, layers),
        Content::Index(_) => panic!("an index: {manifest:?}"),
    }
}

/// Returns the descriptor of a blob that a manifest could name.
pub fn descriptor(digest: &Digest, size_bytes: u64) -> Descriptor {
    Descriptor {
        media_type: String::new(),
        digest: digest.clone(),
        size_bytes,
        platform: None,
        urls: Vec::new(),
        annotations: Default::default(),
    }
}
