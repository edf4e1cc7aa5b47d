//! What an answer is made from: the headers and the body of a response with a status of success.

use std::marker::PhantomData;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Invalid;
use super::digest::Digest;
use super::http_client::{Failure, Received};
use super::manifest::{Content, Descriptor, Manifest};
use super::name::Reference;
use super::platform::Platform;

/// The limit on a manifest and on a configuration, as registries have it.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;

pub(super) trait Reader: Sync {
    type Output: Send;

    fn read(&self, received: Received) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// Needs no body.
pub(super) struct Nothing;

impl Reader for Nothing {
    type Output = ();

    async fn read(&self, received: Received) -> Result<(), Failure> {
        received.body.discard().await;
        Ok(())
    }
}

/// What HEAD tells of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `Docker-Content-Digest`, or the digest that was asked for; some registries do not send it for a tag.
    pub digest: Option<Digest>,
    pub media_type: Option<String>,
    pub size_bytes: Option<u64>,
}

/// Reads the headers of a manifest.
pub(super) struct HeadReader<'r>(pub(super) &'r Reference);

impl Reader for HeadReader<'_> {
    type Output = Head;

    async fn read(&self, received: Received) -> Result<Head, Failure> {
        let headers = &received.head.headers;
        let of_header = content_digest(headers);
        if let (Reference::Digest(expected), Some(found)) = (self.0, &of_header)
            && algorithm(expected) == algorithm(found)
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(Failure::Invalid(Invalid::WrongDigest { expected, found }));
        }
        Ok(Head {
            digest: asked(self.0).cloned().or(of_header),
            media_type: text(headers, CONTENT_TYPE.as_str()).map(str::to_owned),
            size_bytes: text(headers, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok()),
        })
    }
}

/// Reads a manifest and verifies its digest.
pub(super) struct ManifestReader<'r>(pub(super) &'r Reference);

impl Reader for ManifestReader<'_> {
    type Output = Manifest;

    async fn read(&self, received: Received) -> Result<Manifest, Failure> {
        let (headers, asked) = (received.head.headers, asked(self.0));
        let bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        let of_header = content_digest(&headers);
        for expected in asked.into_iter().chain(&of_header) {
            verify(expected, &bytes)?;
        }
        let digest = asked.cloned().or(of_header).unwrap_or_else(|| Digest::of(&bytes));
        Manifest::parse(digest, text(&headers, CONTENT_TYPE.as_str()), bytes)
            .map_err(|reason| Failure::Invalid(Invalid::Manifest { reason }))
    }
}

/// A manifest that was received as a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestBlob {
    pub manifest: Manifest,
    /// `Content-Type`; for a blob it need not be the manifest's.
    pub content_type: Option<String>,
}

/// Reads a blob that is a manifest, and verifies its digest.
pub(super) struct ManifestBlobReader<'r>(pub(super) &'r Digest);

impl Reader for ManifestBlobReader<'_> {
    type Output = ManifestBlob;

    async fn read(&self, received: Received) -> Result<ManifestBlob, Failure> {
        let content_type = text(&received.head.headers, CONTENT_TYPE.as_str()).map(str::to_owned);
        let bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        verify(self.0, &bytes)?;
        let manifest = Manifest::parse(self.0.clone(), None, bytes);
        let manifest = manifest.map_err(|reason| Failure::Invalid(Invalid::Manifest { reason }))?;
        Ok(ManifestBlob { manifest, content_type })
    }
}

/// Reads a JSON document of a product's own API.
pub(super) struct DocumentReader<T>(PhantomData<fn() -> T>);

impl<T> DocumentReader<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: DeserializeOwned + Send> Reader for DocumentReader<T> {
    type Output = T;

    async fn read(&self, received: Received) -> Result<T, Failure> {
        let bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::Invalid(Invalid::Document { reason: fault(&error) }))
    }
}

/// Reads the configuration of an image and verifies its digest.
pub(super) struct ConfigReader<'r>(pub(super) &'r Digest);

impl Reader for ConfigReader<'_> {
    type Output = Platform;

    async fn read(&self, received: Received) -> Result<Platform, Failure> {
        let bytes: Bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        verify(self.0, &bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::Invalid(Invalid::Config { reason: fault(&error) }))
    }
}

/// A blob that was read and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub size_bytes: u64,
}

/// Reads a blob piece by piece, and verifies its size and digest.
pub(super) struct BlobReader<'r> {
    pub(super) blob: &'r Descriptor,
    pub(super) on_bytes: &'r (dyn Fn(u64) + Sync),
}

impl Reader for BlobReader<'_> {
    type Output = Blob;

    async fn read(&self, mut received: Received) -> Result<Blob, Failure> {
        let expected_bytes = self.blob.size_bytes;
        let mut hasher = self.blob.digest.hasher();
        let mut found_bytes = 0;
        while let Some(chunk) = received.body.next().await? {
            let bytes = chunk.len() as u64;
            found_bytes += bytes;
            if found_bytes > expected_bytes {
                return Err(Failure::Invalid(Invalid::TooLarge { limit_bytes: expected_bytes }));
            }
            hasher.update(&chunk);
            (self.on_bytes)(bytes);
        }
        if found_bytes < expected_bytes {
            return Err(Failure::Invalid(Invalid::Truncated { expected_bytes, found_bytes }));
        }
        let (expected, found) = (self.blob.digest.clone(), hasher.finish());
        if expected == found {
            Ok(Blob { size_bytes: found_bytes })
        } else {
            Err(Failure::Invalid(Invalid::WrongDigest { expected, found }))
        }
    }
}

/// Names of repositories or tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    pub names: Vec<String>,
    /// Whether these are all. A list is cut at the limit that was given, and where the registry's link to the next page is unusable.
    pub is_complete: bool,
}

/// A page of a list, and the link to the next one.
pub(super) struct Page {
    pub(super) names: Vec<String>,
    pub(super) next: Option<String>,
}

/// Reads a page of a list.
pub(super) struct PageReader;

#[derive(Deserialize)]
struct Names {
    #[serde(alias = "repositories")]
    tags: Option<Vec<String>>,
}

impl Reader for PageReader {
    type Output = Page;

    async fn read(&self, received: Received) -> Result<Page, Failure> {
        // `<URL>; rel="next"`
        let next = text(&received.head.headers, LINK.as_str())
            .and_then(|link| Some(link.split_once('<')?.1.split_once('>')?.0));
        let next = next.map(str::to_owned);
        let bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        let names: Names = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Invalid(Invalid::List { reason: fault(&error) }))?;
        // A repository whose tags were all deleted has `null`.
        Ok(Page { names: names.tags.unwrap_or_default(), next })
    }
}

/// Reads the descriptors of an index.
pub(super) struct ReferrersReader;

impl Reader for ReferrersReader {
    type Output = Vec<Descriptor>;

    async fn read(&self, received: Received) -> Result<Vec<Descriptor>, Failure> {
        let bytes = received.body.all(MAX_MANIFEST_BYTES).await?;
        let invalid = |reason| Failure::Invalid(Invalid::Manifest { reason });
        match Manifest::parse(Digest::of(&bytes), None, bytes).map_err(invalid)?.content {
            Content::Index(manifests) => Ok(manifests),
            Content::Image { .. } => Err(invalid("it is an image, not an index".to_owned())),
        }
    }
}

fn fault(error: &serde_json::Error) -> String {
    format!("invalid JSON, or a value of the wrong type, at line {}", error.line())
}

fn asked(reference: &Reference) -> Option<&Digest> {
    match reference {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    Digest::parse(text(headers, "docker-content-digest")?)
}

fn algorithm(digest: &Digest) -> Option<&str> {
    digest.as_str().split(':').next()
}

fn verify(expected: &Digest, bytes: &[u8]) -> Result<(), Failure> {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    let found = hasher.finish();
    let wrong = || Failure::Invalid(Invalid::WrongDigest { expected: expected.clone(), found: found.clone() });
    if found == *expected { Ok(()) } else { Err(wrong()) }
}
