//! `pullthrough drill --inventory`, through the binary: caches that are asked what they hold. The stand-ins answer as the sources of
//! the products say. A request for which a product asks its upstream is answered as if the upstream had everything.

mod harbor;
mod keys;
mod zot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use hyper::Method;
use pullthrough::registry::Digest;
use serde_json::json;

use super::program::{Said, run};
use super::server::{Answer, Seen, Server, answer, error};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image for linux/amd64 and linux/arm64: `hub/library/app:1`.
#[derive(Clone)]
struct Image {
    index: Digest,
    /// Manifest, configuration and layer.
    amd64: [Digest; 3],
    manifests: BTreeMap<Digest, String>,
    blobs: BTreeMap<Digest, String>,
}

impl Image {
    fn new() -> Self {
        let (mut manifests, mut blobs, mut children, mut all) =
            (BTreeMap::new(), BTreeMap::new(), Vec::new(), Vec::new());
        for architecture in ["amd64", "arm64"] {
            let platform = json!({"os": "linux", "architecture": architecture});
            let texts = [platform.to_string(), format!("layer of {architecture}")];
            let [config, layer] = texts.map(|text| {
                let digest = Digest::of(text.as_bytes());
                let descriptor = json!({"mediaType": "x", "digest": digest.as_str(), "size": text.len()});
                blobs.insert(digest.clone(), text);
                (digest, descriptor)
            });
            let manifest =
                json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config.1, "layers": [layer.1]}).to_string();
            let digest = Digest::of(manifest.as_bytes());
            children.push(json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 1, "platform": platform}));
            manifests.insert(digest.clone(), manifest);
            all.push([digest, config.0, layer.0]);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).to_string();
        let digest = Digest::of(index.as_bytes());
        manifests.insert(digest.clone(), index);
        Self { index: digest, amd64: all.swap_remove(0), manifests, blobs }
    }
}

/// What a cache holds, and how it is set up.
#[derive(Clone)]
struct Cache {
    image: Image,
    tags: BTreeMap<String, Digest>,
    /// Manifests that the product lists: `index.json` of zot, the database of Harbor.
    listed: BTreeSet<Digest>,
    /// Answers instead of others, by the end of the path, or by a part of it that ends with a slash.
    instead: Vec<(&'static str, u16, &'static str, String)>,
    /// When the image was last pulled; with a retention policy if set (Harbor).
    pulled: Option<String>,
    /// Whether zot's search has the image.
    is_searched: bool,
    /// Whether zot looks up the media types of blobs.
    has_media_types: bool,
}

impl Cache {
    fn new() -> Self {
        let image = Image::new();
        Self {
            tags: [("1".to_owned(), image.index.clone())].into(),
            listed: image.manifests.keys().cloned().collect(),
            image,
            instead: Vec::new(),
            pulled: None,
            is_searched: true,
            has_media_types: false,
        }
    }

    fn instead(&self, seen: &Seen) -> Option<Answer> {
        let path = seen.path.split('?').next().unwrap();
        let (_, status, kind, body) = self
            .instead
            .iter()
            .find(|(part, ..)| path.ends_with(part) || (part.ends_with('/') && path.contains(part)))?;
        Some(answer(*status, &[("content-type", kind)], body.clone()))
    }
}

/// Returns the digest or the tag after a part of a path.
fn after<'p>(path: &'p str, part: &str) -> Option<&'p str> {
    Some(path.split_once(part)?.1)
}

/// Answers with content; HEAD gets its headers only.
fn content(seen: &Seen, kind: &str, body: &str) -> Answer {
    let digest = Digest::of(body.as_bytes());
    let length = body.len().to_string();
    let headers = [("content-type", kind), ("docker-content-digest", digest.as_str()), ("content-length", &length)];
    answer(200, &headers, if seen.method == Method::HEAD { String::new() } else { body.to_owned() })
}

/// A stand-in, with the requests for which it asked its upstream.
struct Stand {
    server: Server,
    product: &'static str,
    upstream: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    async fn start(product: &'static str, cache: Cache) -> Self {
        let upstream = Arc::<Mutex<Vec<String>>>::default();
        let asked = Arc::clone(&upstream);
        let answer = match product {
            "zot" => zot::answer,
            "harbor" => harbor::answer,
            _ => keys::answer,
        };
        let server = Server::plain(move |seen| {
            cache.instead(seen).unwrap_or_else(|| match answer(&cache, seen) {
                Some(answer) => answer,
                None => {
                    asked.lock().unwrap().push(format!("{} {}", seen.method, seen.path));
                    error(500, "UNKNOWN", "the upstream was asked")
                }
            })
        })
        .await;
        Self { server, product, upstream }
    }

    /// Drills an image of the cache: a name without the host.
    async fn drill(&self, image: &str, arguments: &[&str]) -> Said {
        self.drill_by(&["--inventory", &self.server.host()], image, arguments).await
    }

    /// Drills with other inventories.
    async fn drill_by(&self, inventory: &[&str], image: &str, arguments: &[&str]) -> Said {
        let host = self.server.host();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules",
            "caches": [{"prefix": host, "product": self.product}],
            "rules": [{"name": "hub", "from": ["docker.io"], "to": format!("{host}/hub")}],
        });
        std::fs::write(path("rules.yaml"), rules.to_string()).unwrap();
        let auths = json!({"auths": {&host: {"username": "robot$drill", "password": "not-shown"}}});
        std::fs::write(path("pull.json"), auths.to_string()).unwrap();
        let (rules, pull) = (path("rules.yaml"), path("pull.json"));
        let mut all = vec!["drill", "--rules", &rules, "--images", "-", "-o", "json"];
        if !inventory.contains(&"--anonymous") {
            all.extend(["--pull-secret", &pull]);
        }
        all.extend(inventory.iter().chain(arguments));
        let said = run(&all, &[], &format!("{host}/{image}\n")).await;
        assert!(!format!("{said:?}").contains("not-shown"), "{said:?}");
        said
    }

    /// Returns the verdict for linux/amd64 and the evidence. The upstream is never asked.
    #[track_caller]
    fn verdict(&self, said: &Said) -> (String, String) {
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(*self.upstream.lock().unwrap(), Vec::<String>::new());
        let line = said.line();
        let evidence = line["evidence"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap());
        (line["verdict"].as_str().unwrap().to_owned(), evidence.collect::<Vec<_>>().join("; "))
    }
}

const AMD64: [&str; 2] = ["--platform", "linux/amd64"];

/// A fault of a cache, and the verdict with a part of the evidence.
type Case = (&'static str, fn(&mut Cache), &'static str, &'static str);

/// Drills `hub/library/app:1` in caches with faults.
async fn table(product: &'static str, cases: Vec<Case>) {
    for (name, change, expected, part) in cases {
        let mut cache = Cache::new();
        change(&mut cache);
        let stand = Stand::start(product, cache).await;
        let said = stand.drill("hub/library/app:1", &AMD64).await;
        let (verdict, evidence) = stand.verdict(&said);
        assert!(verdict == expected && evidence.contains(part), "{name}: {verdict}: {evidence}");
    }
}

#[tokio::test]
async fn an_inventory_of_another_product_is_an_error() {
    for (product, host, part) in [
        ("distribution", None, "the product of this cache is distribution, whose API is not supported"),
        ("zot", Some("other.example.com"), "the product of this cache is generic"),
    ] {
        let stand = Stand { server: Server::plain(|_| answer(200, &[], "")).await, product, upstream: Arc::default() };
        let said = match host {
            None => stand.drill("hub/library/app:1", &[]).await,
            Some(host) => stand.drill("hub/library/app:1", &["--inventory", host]).await,
        };
        assert!(said.code == 2 && said.stderr.contains(part), "{said:?}");
    }
    let stand = Stand::start("zot", Cache::new()).await;
    let host = stand.server.host();
    let said = stand.drill("hub/library/app:1", &["--inventory", &host]).await;
    assert!(said.code == 2 && said.stderr.contains("has several inventories"), "{said:?}");
    let said = stand.drill("hub/library/app:1", &["--inventory", "a/b"]).await;
    assert!(said.code == 2 && said.stderr.contains("write HOST or HOST:PORT"), "{said:?}");
}

/// Each part is looked up once, however many images have it.
#[tokio::test]
async fn parts_are_looked_up_once() {
    for product in ["zot", "harbor"] {
        let stand = Stand::start(product, Cache::new()).await;
        let host = stand.server.host();
        let said = stand.drill(&format!("hub/library/app:1\n{host}/hub/library/app:1"), &[]).await;
        assert_eq!(said.lines().iter().map(|line| &line["verdict"]).collect::<Vec<_>>(), ["yes", "yes"], "{said:?}");
        // Requests without a login get a challenge.
        let seen = stand.server.seen().into_iter().filter(|seen| product == "zot" || seen.authorization.is_some());
        let lines: Vec<String> = seen.map(|seen| format!("{} {}", seen.method, seen.path)).collect();
        let twice: Vec<&String> =
            lines.iter().filter(|line| lines.iter().filter(|one| one == line).count() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

#[tokio::test]
async fn an_unreachable_cache_is_unknown() {
    for product in ["zot", "harbor"] {
        let server = Server::raw(|stream| async move { drop(stream) }).await;
        let stand = Stand { server, product, upstream: Arc::default() };
        let said = stand.drill("hub/library/app:1", &["--timeout", "2s"]).await;
        let (verdict, evidence) = stand.verdict(&said);
        assert!(
            verdict == "unknown" && evidence.contains("the connection was closed during the handshake"),
            "{verdict}: {evidence}"
        );
    }
}
