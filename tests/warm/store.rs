//! Images that a server of the tests has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use pullthrough::registry::Digest;
use serde_json::{Value, json};

use super::server::{Answer, Seen, answer, error};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BYTES: &str = "application/octet-stream";

/// Content by the path of its request.
#[derive(Debug, Clone, Default)]
pub struct Store {
    content: BTreeMap<String, (&'static str, String)>,
}

impl Store {
    /// Adds content by its digest, and returns its descriptor.
    fn add(&mut self, repository: &str, kind: &str, media_type: &'static str, body: String) -> Value {
        let digest = Digest::of(body.as_bytes()).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": body.len()});
        self.content.insert(format!("/v2/{repository}/{kind}/{digest}"), (media_type, body));
        descriptor
    }

    fn tag(&mut self, repository: &str, tag: &str, descriptor: &Value) {
        let digest = descriptor["digest"].as_str().unwrap();
        let content = self.content[&format!("/v2/{repository}/manifests/{digest}")].clone();
        self.content.insert(format!("/v2/{repository}/manifests/{tag}"), content);
    }

    /// Adds an image of one platform. Its layers begin with their names.
    fn image(&mut self, repository: &str, platform: &str, layers: &[&str]) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({"os": os, "architecture": architecture, "of": repository}).to_string();
        let config = self.add(repository, "blobs", BYTES, config);
        let layer = |text: &&str| self.add(repository, "blobs", BYTES, format!("{text} of {platform}\n").repeat(20));
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.add(repository, "manifests", MANIFEST, manifest.to_string());
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    }

    /// Adds an index with two platforms and an attestation, and returns its digest.
    pub fn index(&mut self, repository: &str, tag: &str, layers: &[&str]) -> String {
        let mut children: Vec<Value> =
            ["linux/amd64", "linux/arm64"].iter().map(|platform| self.image(repository, platform, layers)).collect();
        let mut attestation = self.image(repository, "unknown/unknown", &["attestation"]);
        attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        children.push(attestation);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        let descriptor = self.add(repository, "manifests", INDEX, index);
        self.tag(repository, tag, &descriptor);
        descriptor["digest"].as_str().unwrap().to_owned()
    }

    /// Adds an image under the tag that cosign has for a digest.
    pub fn signature(&mut self, repository: &str, digest: &str) {
        let descriptor = self.image(repository, "unknown/unknown", &["signature"]);
        self.tag(repository, &format!("{}.sig", digest.replace(':', "-")), &descriptor);
    }

    /// Adds a signature that the referrers API lists for a digest.
    pub fn referrer(&mut self, repository: &str, digest: &str) {
        let descriptor = self.image(repository, "unknown/unknown", &["signature"]);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]}).to_string();
        self.content.insert(format!("/v2/{repository}/referrers/{digest}"), (INDEX, index));
    }

    /// Returns the path with a digest of what a path names.
    pub fn by_digest(&self, path: &str) -> Option<String> {
        let (_, body) = self.content.get(path)?;
        let (start, _) = path.rsplit_once('/')?;
        Some(format!("{start}/{}", Digest::of(body.as_bytes())))
    }

    /// Returns the paths of what a manifest names.
    pub fn parts(&self, path: &str) -> Vec<String> {
        let manifest: Value = serde_json::from_str(&self.content[path].1).unwrap();
        let (repository, _) = path.split_once("/manifests/").unwrap();
        let of = |kind: &str, part: &Value| format!("{repository}/{kind}/{}", part["digest"].as_str().unwrap());
        match manifest["manifests"].as_array() {
            Some(children) => children.iter().map(|child| of("manifests", child)).collect(),
            None => {
                let layers = manifest["layers"].as_array().unwrap();
                layers.iter().chain([&manifest["config"]]).map(|blob| of("blobs", blob)).collect()
            }
        }
    }

    /// Removes what a part of a path names.
    pub fn remove(&mut self, part: &str) {
        let before = self.content.len();
        self.content.retain(|path, _| !path.contains(part));
        assert!(self.content.len() < before, "{part}");
    }

    /// Answers as a registry. `prefix` comes before the repositories, as in a cache.
    pub fn answer(&self, prefix: &str, seen: &Seen) -> Answer {
        let path = seen.path.replacen(&format!("/v2/{prefix}"), "/v2/", 1);
        match self.content.get(&path) {
            Some((media_type, body)) => {
                let digest = Digest::of(body.as_bytes()).to_string();
                answer(200, &[("content-type", media_type), ("docker-content-digest", &digest)], body.clone())
            }
            None if path == "/v2/" => answer(200, &[], "{}"),
            None => error(404, "MANIFEST_UNKNOWN", "not here"),
        }
    }

    /// Answers as distribution: blobs that were requested before are served from its storage.
    pub fn distribution(self, prefix: &'static str) -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
        let stored = Mutex::new(BTreeSet::new());
        move |seen| {
            let (mut head, body) = self.answer(prefix, seen).into_parts();
            let is_blob = head.status == 200 && seen.path.contains("/blobs/");
            if is_blob && !stored.lock().unwrap().insert(seen.path.clone()) {
                head.headers.insert("cache-control", "max-age=31536000".parse().unwrap());
            }
            Answer::from_parts(head, body)
        }
    }

    /// Returns the paths, with `prefix` before the repositories, and without tags.
    pub fn paths(&self, prefix: &str) -> Vec<String> {
        let by_digest = self.content.keys().filter(|path| path.contains("sha256:"));
        by_digest.map(|path| path.replacen("/v2/", &format!("/v2/{prefix}"), 1)).collect()
    }

    /// Returns the sum of the bytes of content that a whole pull receives.
    pub fn bytes(&self) -> usize {
        self.content.iter().filter(|(path, _)| path.contains("sha256:")).map(|(_, (_, body))| body.len()).sum()
    }

    /// Replaces digests by what they are of: `index`, `amd64`, `config of amd64`, `base of arm64`.
    pub fn named(&self, line: &str) -> String {
        let Some((path, (media_type, body))) = self.content.iter().find(|(path, _)| {
            path.rsplit('/').next().is_some_and(|digest| digest.starts_with("sha256:") && line.ends_with(digest))
        }) else {
            return line.to_owned();
        };
        let (_, digest) = path.rsplit_once('/').unwrap();
        let platform = |body: &str| serde_json::from_str::<Value>(body).ok().map(|it| it["architecture"].clone());
        let name = match *media_type {
            INDEX => "index".to_owned(),
            MANIFEST => {
                let manifest: Value = serde_json::from_str(body).unwrap();
                let config = manifest["config"]["digest"].as_str().unwrap();
                let config = self.content.iter().find(|(path, _)| path.ends_with(config)).unwrap();
                platform(&config.1.1).unwrap().as_str().unwrap().to_owned()
            }
            _ => match platform(body) {
                Some(architecture) => format!("config of {}", architecture.as_str().unwrap()),
                None => body.lines().next().unwrap().replace("linux/", "").replace("unknown/", ""),
            },
        };
        line.replace(digest, &name)
    }
}
