//! The model of each cache product: what fills it, in what order to ask, what a status means, what it serves without its
//! upstream, and how to list what it holds.
//!
//! [`Model::of`] returns the facts of a product. Each has its sources, and says whether it was run against the product. The page
//! docs/reference/cache-products.md is generated from them. Pure: nothing here sends a request.

mod facts;
mod remedies;

use std::fmt;

use self::facts::MODELS;
pub use self::remedies::Remedy;
use crate::engine::Product;

/// The facts about a product.
#[derive(Debug)]
pub struct Model {
    pub product: Product,
    pub fill: Fact<Fill>,
    pub blobs: Fact<Blobs>,
    pub head: Fact<Head>,
    pub order: Fact<Order>,
    pub offline: Fact<Offline>,
    pub inventory: Fact<Inventory>,
    /// What statuses mean that have another or a narrower meaning than those of [`Product::Generic`].
    pub answers: &'static [Answer],
}

/// A value, and where it is from.
#[derive(Debug)]
pub struct Fact<T> {
    pub value: T,
    /// Sentences for people.
    pub text: &'static str,
    pub sources: &'static [Source],
}

/// Where a fact is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was seen in this version of the product itself.
    Run(&'static str),
    /// The source code, at this address.
    Code(&'static str),
    /// The documentation of the product or of the protocol, at this address.
    Documentation(&'static str),
    /// A report by a user or a maintainer, at this address.
    Report(&'static str),
    /// Nothing states it. It is the careful choice.
    Assumed,
}

/// The request that makes a cache store an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A request for a manifest stores this manifest. Each platform has a request of its own.
    Manifest,
    /// A request for a manifest stores the image, with every platform.
    Image,
    /// As [`Fill::Image`], by tag only.
    ImageByTag,
    /// A complete pull.
    Pull,
}

/// When a cache stores blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blobs {
    /// When they are requested, each by itself.
    OnRequest,
    /// Some time after a request for their manifest.
    Later,
    /// With their manifest.
    WithManifest,
}

/// What a HEAD of a manifest causes in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Nothing is stored.
    Nothing,
    /// The manifest is stored.
    Manifest,
    /// The image is stored, with every platform.
    Image,
    Unknown,
}

/// The requests that fill a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub steps: &'static [Step],
    /// The time in which the children of an index have to be requested.
    pub children_within_secs: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    HeadTag,
    GetTag,
    GetDigest,
    /// GET of every child of an index, by digest.
    Children,
    /// GET of the configuration and of the layers.
    Blobs,
    /// HEAD of each of them, until the answer shows that the cache has stored it.
    HeadBlobs,
}

/// What a cache serves without its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offline {
    /// Whether it serves what it holds; `None` if unknown.
    pub serves_held: Option<bool>,
    /// Whether it starts while the upstream is unreachable; `None` if unknown.
    pub starts: Option<bool>,
    /// The time after which an image is removed, by default.
    pub kept_secs: Option<u32>,
    /// Whether an index may be stored without some of its children, with another digest.
    pub may_trim_index: bool,
}

/// How to list what a cache holds, without a change by its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inventory {
    /// Its files or its bucket.
    Storage,
    /// Harbor's API.
    HarborApi,
    /// zot's API: `tags/list`, blobs and its search.
    ZotApi,
    /// The output of `aws ecr batch-get-image`.
    EcrBatchGetImage,
    /// The output of `az acr manifest list-metadata`.
    AcrListMetadata,
    /// The output of `gcloud artifacts docker images list`.
    ArtifactRegistryList,
    /// The search of Nexus' API.
    NexusSearch,
    /// Artifactory's query language (AQL).
    ArtifactoryQuery,
    None,
}

/// What a status means.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The causes that look alike from outside. The most likely one is first.
    pub causes: &'static [Cause],
    pub text: &'static str,
    pub sources: &'static [Source],
}

/// A cause of an answer that is not the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The upstream does not have the image.
    Absent,
    /// The cache has no such project, repository or rule.
    Path,
    /// The cache does not have the image, and this request does not make it fetch it.
    NotCached,
    /// The cache remembers an earlier failure.
    Remembered,
    /// No credentials for the cache, or wrong or expired ones.
    Login,
    /// The credentials have no right to the image.
    Rights,
    /// The upstream rejects the cache's credentials.
    UpstreamLogin,
    /// The upstream limits the cache's rate.
    UpstreamLimit,
    /// The upstream is unavailable.
    UpstreamFailure,
    /// The cache limits the client's rate.
    CacheLimit,
    /// The cache has a fault.
    CacheFailure,
}

impl Model {
    /// Returns the model of a product.
    pub fn of(product: Product) -> &'static Self {
        let [generic, ..] = &MODELS;
        MODELS.iter().find(|model| model.product == product).unwrap_or(generic)
    }

    /// Returns what a status means; `None` if nothing is known.
    pub fn answer(&self, status: u16) -> Option<&'static Answer> {
        let generic = Self::of(Product::Generic);
        self.answers.iter().chain(generic.answers).find(|answer| answer.status == status)
    }

    /// Returns what may have caused a status; none if nothing is known. A cause that is not in the list is not excluded by a
    /// proxy before the cache.
    pub fn causes(&self, status: u16) -> &'static [Cause] {
        self.answer(status).map_or(&[], |answer| answer.causes)
    }
}

impl Source {
    pub const fn is_run(self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// Returns the address, or the version that was run.
    pub const fn address(self) -> &'static str {
        match self {
            Self::Run(version) => version,
            Self::Code(address) | Self::Documentation(address) | Self::Report(address) => address,
            Self::Assumed => "assumed",
        }
    }
}

impl Step {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeadTag => "HEAD of the tag",
            Self::GetTag => "GET of the tag",
            Self::GetDigest => "GET of its digest",
            Self::Children => "GET of every child of an index",
            Self::Blobs => "GET of the configuration and the layers",
            Self::HeadBlobs => "HEAD of each of them until it is stored",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "the upstream does not have the image",
            Self::Path => "the cache has no such project, repository or rule",
            Self::NotCached => "the cache does not have the image, and does not fetch it by this request",
            Self::Remembered => "the cache remembers an earlier failure",
            Self::Login => "credentials for the cache are missing, wrong or expired",
            Self::Rights => "the credentials have no right to the image",
            Self::UpstreamLogin => "the upstream rejects the credentials of the cache",
            Self::UpstreamLimit => "the upstream limits the rate of the cache",
            Self::UpstreamFailure => "the upstream is unavailable",
            Self::CacheLimit => "the cache limits the rate",
            Self::CacheFailure => "the cache has a fault",
        })
    }
}
