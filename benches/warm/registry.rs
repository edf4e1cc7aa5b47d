//! A registry that keeps its images in memory, and counts what it is asked for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use pullthrough::registry::Digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Content by the path of its request, without the part of the cache.
#[derive(Default)]
pub struct Registry {
    content: HashMap<String, (&'static str, Bytes, String)>,
    /// Layers that several images have, by their text.
    layers: HashMap<String, (Bytes, String)>,
}

/// What was asked for and sent.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub requests: u64,
    /// The bodies, without headers.
    pub bytes: u64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { requests: self.requests - other.requests, bytes: self.bytes - other.bytes }
    }
}

/// The registry, at two addresses.
pub struct Serving {
    pub upstream: String,
    pub cache: String,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Serving {
    pub fn counts(&self) -> Counts {
        Counts { requests: self.requests.load(Ordering::SeqCst), bytes: self.bytes.load(Ordering::SeqCst) }
    }
}

impl Registry {
    fn put(&mut self, path: String, media_type: &'static str, body: Bytes) -> Value {
        let digest = Digest::of(&body).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": body.len()});
        self.content.insert(format!("{path}/{digest}"), (media_type, body, digest));
        descriptor
    }

    /// Adds an image with two platforms and an attestation. The last layer is its own, and the others are those of all images.
    pub fn add(&mut self, name: &str, layers: &[usize]) {
        let blobs = format!("/v2/{name}/blobs");
        let mut children = Vec::new();
        for (os, architecture) in [("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown")] {
            let sizes = if os == "unknown" { &[1000][..] } else { layers };
            let layers: Vec<Value> = sizes
                .iter()
                .enumerate()
                .map(|(index, size)| {
                    let is_own = index + 1 == sizes.len();
                    let of = if is_own { name.to_owned() } else { format!("base {index}") };
                    let text = format!("{of} {architecture}\n");
                    let (body, digest) = self.layers.entry(text).or_insert_with_key(|text| {
                        let body: Bytes = text.bytes().cycle().take(*size).collect::<Vec<u8>>().into();
                        let digest = Digest::of(&body).to_string();
                        (body, digest)
                    });
                    let descriptor = json!({"mediaType": LAYER, "digest": digest, "size": body.len()});
                    self.content.insert(format!("{blobs}/{digest}"), (LAYER, body.clone(), digest.clone()));
                    descriptor
                })
                .collect();
            let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
            let config = json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": ids}, "config": {"Labels": {"of": name}}});
            let config = self.put(blobs.clone(), CONFIG, config.to_string().into());
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
            let mut child = self.put(format!("/v2/{name}/manifests"), MANIFEST, manifest.to_string().into());
            child["platform"] = json!({"os": os, "architecture": architecture});
            if os == "unknown" {
                child["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
            }
            children.push(child);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        let manifests = format!("/v2/{name}/manifests");
        let descriptor = self.put(manifests.clone(), INDEX, index.into());
        let of_digest = format!("{manifests}/{}", descriptor["digest"].as_str().unwrap_or_default());
        let of_tag = self.content[&of_digest].clone();
        self.content.insert(format!("{manifests}/1"), of_tag);
    }

    /// Serves it at two ports, as the upstream and as its cache.
    pub fn serve(self) -> Result<Serving> {
        let runtime = Runtime::new()?;
        let (requests, bytes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let content = Arc::new(self.content);
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let (upstream, cache) = (listen()?, listen()?);
        let addresses = (upstream.local_addr()?.to_string(), cache.local_addr()?.to_string());
        for listener in [upstream, cache] {
            let (content, requests, bytes) = (Arc::clone(&content), Arc::clone(&requests), Arc::clone(&bytes));
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (content, requests, bytes) = (Arc::clone(&content), Arc::clone(&requests), Arc::clone(&bytes));
                    let service = service_fn(move |request: Request<Incoming>| {
                        requests.fetch_add(1, Ordering::SeqCst);
                        let path = request.uri().path().replacen("/v2/up/", "/v2/", 1);
                        let response = Response::builder();
                        let response = match content.get(&path) {
                            Some((media_type, body, digest)) => {
                                let is_get = request.method() == Method::GET;
                                bytes.fetch_add(if is_get { body.len() as u64 } else { 0 }, Ordering::SeqCst);
                                let response = response.header("content-type", *media_type);
                                response.header("docker-content-digest", digest).body(Full::new(body.clone()))
                            }
                            None if path == "/v2/" => response.body(Full::default()),
                            None => response.status(404).body(Full::default()),
                        };
                        async move { Ok::<_, Infallible>(response.unwrap_or_default()) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(async move { drop(connection.serve_connection(TokioIo::new(stream), service).await) });
                }
            });
        }
        Ok(Serving { upstream: addresses.0, cache: addresses.1, requests, bytes, _runtime: runtime })
    }
}
