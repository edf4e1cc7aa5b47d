//! What a cache holds, as its own API says now. Only requests are sent for which the product does not ask its upstream.

mod harbor;
mod keys;
mod zot;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use self::harbor::Harbor;
use self::keys::Keys;
use self::zot::Zot;
use super::expiry::Expiry;
use super::gathered::Gathered;
use super::holdings::{Gathering, Holdings, Part};
use super::listing::Listing;
use crate::engine::{ImageRef, Product};
use crate::registry::{Answer, Client, Descriptor, Digest, Head, Manifest, Outcome, Platform, Repository};

/// The most requests to a cache at the same time.
const AT_ONCE: usize = 4;

/// The parts of images that a cache was asked for.
#[derive(Debug)]
pub struct Api {
    title: String,
    host: String,
    asker: Arc<Asker>,
    tags: Gathered<(Repository, String), Digest>,
    manifests: Gathered<(Repository, Digest), Manifest>,
    blobs: Gathered<(Repository, Descriptor), ()>,
    platforms: Gathered<(Repository, Descriptor), Platform>,
}

#[derive(Debug)]
enum Asker {
    Harbor(Harbor),
    Keys(Keys),
    Zot(Zot),
}

impl Api {
    /// Returns the API of a host. `None` if the API of its product is not supported.
    pub fn new(host: &str, product: Product, client: Client) -> Option<Self> {
        let asker = match product {
            Product::Harbor => Asker::Harbor(Harbor::new(client)),
            Product::Zot => Asker::Zot(Zot::new(client)),
            _ => return None,
        };
        Some(Self::with(host, format!("API of {host}"), asker))
    }

    /// Returns the keys of a storage of distribution together with its cache. `expiry` is what the cache removes when, if known.
    pub fn with_keys(host: &str, client: Client, listing: Listing, expiry: Option<Expiry>) -> Self {
        Self::with(host, "listing of the storage".to_owned(), Asker::Keys(Keys::new(client, listing, expiry)))
    }

    fn with(host: &str, title: String, asker: Asker) -> Self {
        Self {
            title,
            host: host.to_owned(),
            asker: Arc::new(asker),
            tags: Gathered::default(),
            manifests: Gathered::default(),
            blobs: Gathered::default(),
            platforms: Gathered::default(),
        }
    }

    pub const fn is_supported(product: Product) -> bool {
        matches!(product, Product::Harbor | Product::Zot)
    }

    /// Returns what asking causes in the cache.
    pub fn effect(&self) -> String {
        let host = &self.host;
        match *self.asker {
            Asker::Harbor(_) => format!(
                "{host} (harbor) is asked for what it holds: nothing is fetched from its upstream, and each manifest that is read \
                 counts as a pull"
            ),
            Asker::Keys(_) => format!(
                "{host} (distribution) is asked for manifests that the listing has, by digest: for these its upstream is not asked"
            ),
            Asker::Zot(_) => format!("{host} (zot) is asked for what it holds: its upstream is not asked"),
        }
    }

    fn repository(&self, path: &str) -> Option<Repository> {
        Repository::of(&ImageRef::parse(&format!("{}/{path}", self.host)).ok()?)
    }

    fn of<T>(&self, repository: &str, get: impl FnOnce(Repository) -> Part<T>) -> Part<T> {
        match self.repository(repository) {
            Some(repository) => get(repository),
            None => Part::Unknown("its name is not an image reference".to_owned()),
        }
    }
}

impl Holdings for Api {
    fn title(&self) -> &str {
        &self.title
    }

    fn tag(&self, repository: &str, tag: &str) -> Part<Digest> {
        self.of(repository, |repository| self.tags.get((repository, tag.to_owned())))
    }

    fn manifest(&self, repository: &str, digest: &Digest) -> Part<Manifest> {
        self.of(repository, |repository| self.manifests.get((repository, digest.clone())))
    }

    fn blob(&self, repository: &str, blob: &Descriptor) -> Part<()> {
        self.of(repository, |repository| self.blobs.get((repository, blob.clone())))
    }

    fn platform(&self, repository: &str, config: &Descriptor) -> Part<Platform> {
        self.of(repository, |repository| self.platforms.get((repository, config.clone())))
    }

    fn gather<'h>(&'h self, on_part: &'h dyn Fn(usize, usize)) -> Gathering<'h> {
        Box::pin(async move {
            let asker = || Arc::clone(&self.asker);
            let tag = |(repository, tag): (Repository, String)| {
                let asker = asker();
                async move { asker.tag(&repository, &tag).await }
            };
            let manifest = |(repository, digest): (Repository, Digest)| {
                let asker = asker();
                async move { asker.manifest(&repository, &digest).await }
            };
            let blob = |(repository, blob): (Repository, Descriptor)| {
                let asker = asker();
                async move { asker.blob(&repository, &blob).await }
            };
            let platform = |(repository, config): (Repository, Descriptor)| {
                let asker = asker();
                async move { asker.platform(&repository, &config).await }
            };
            self.tags.gather(AT_ONCE, tag, on_part).await
                + self.manifests.gather(AT_ONCE, manifest, on_part).await
                + self.blobs.gather(AT_ONCE, blob, on_part).await
                + self.platforms.gather(AT_ONCE, platform, on_part).await
        })
    }

    fn notes(&self) -> Vec<String> {
        self.asker.notes()
    }
}

impl Asker {
    async fn tag(&self, repository: &Repository, tag: &str) -> Part<Digest> {
        match self {
            Self::Harbor(harbor) => harbor.tag(repository, tag).await,
            Self::Keys(keys) => keys.tag(repository, tag),
            Self::Zot(zot) => zot.tag(repository, tag).await,
        }
    }

    async fn manifest(&self, repository: &Repository, digest: &Digest) -> Part<Manifest> {
        match self {
            Self::Harbor(harbor) => harbor.manifest(repository, digest).await,
            Self::Keys(keys) => keys.manifest(repository, digest).await,
            Self::Zot(zot) => zot.manifest(repository, digest).await,
        }
    }

    async fn blob(&self, repository: &Repository, blob: &Descriptor) -> Part<()> {
        match self {
            Self::Harbor(Harbor { client, .. }) | Self::Zot(Zot { client, .. }) => head(client, repository, blob).await,
            Self::Keys(keys) => keys.blob(repository, blob),
        }
    }

    /// A blob that is stored is read from the storage: `UseLocalBlob` (src/server/middleware/repoproxy/proxy.go of Harbor),
    /// `GetBlob` (pkg/api/routes.go of zot), `ServeBlob` (registry/proxy/proxyblobstore.go of distribution). One that is not could
    /// be fetched.
    async fn platform(&self, repository: &Repository, config: &Descriptor) -> Part<Platform> {
        let client = match self {
            Self::Harbor(Harbor { client, .. }) | Self::Zot(Zot { client, .. }) | Self::Keys(Keys { client, .. }) => {
                client
            }
        };
        match self.blob(repository, config).await {
            Part::Held { until_secs, .. } => {
                let answer = client.platform(repository, config).await;
                if let Outcome::Served(value) = answer.outcome {
                    Part::Held { value, until_secs }
                } else {
                    failed(answer)
                }
            }
            Part::Absent(why) => Part::Absent(why),
            Part::Unknown(why) => Part::Unknown(why),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Harbor(harbor) => harbor.notes.all(),
            Self::Keys(_) => Vec::new(),
            Self::Zot(zot) => zot.notes.all(),
        }
    }
}

/// Harbor and zot answer HEAD of a blob from their storage.
///
/// Harbor's HEAD has no proxy middleware (src/server/registry/route.go). Zot's looks into its storage only, and links a blob that
/// another of its repositories has (`CheckBlob`, pkg/api/routes.go and pkg/storage/imagestore/imagestore.go).
async fn head(client: &Client, repository: &Repository, blob: &Descriptor) -> Part<()> {
    let answer = client.head_blob(repository, blob).await;
    match answer.outcome {
        Outcome::Missing => Part::Absent("not stored".to_owned()),
        Outcome::Served(Head { size_bytes: Some(bytes), .. }) if bytes == blob.size_bytes => held(()),
        Outcome::Served(Head { size_bytes: Some(bytes), .. }) => {
            Part::Absent(format!("it has {bytes} bytes instead of {}", blob.size_bytes))
        }
        Outcome::Served(_) => Part::Unknown("the answer has no `Content-Length`".to_owned()),
        _ => failed(answer),
    }
}

/// What users have to know of an API, each once.
#[derive(Debug, Default)]
struct Notes(Mutex<HashSet<String>>);

impl Notes {
    fn add(&self, note: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(note);
    }

    fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        all.sort_unstable();
        all
    }
}

const fn held<T>(value: T) -> Part<T> {
    Part::Held { value, until_secs: None }
}

/// Returns why an answer says nothing of a part.
fn failed<T, U>(answer: Answer<T>) -> Part<U> {
    let is_status = !matches!(answer.outcome, Outcome::Unreachable(_) | Outcome::Invalid(_));
    Part::Unknown(format!("{}{}", if is_status { "the answer is " } else { "" }, answer.map(drop).in_words()))
}

/// Returns whether an answer is a 404 of the product itself, with a code of it. A proxy before it has other ones.
fn is_absent<T>(answer: &Answer<T>, codes: &[&str]) -> bool {
    matches!(answer.outcome, Outcome::Missing)
        && answer.trace.errors.iter().any(|error| codes.contains(&error.code.as_str()))
}
