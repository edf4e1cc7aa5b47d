//! What a registry answered, and how.

use std::time::Duration;

use thiserror::Error;

use super::credentials::CredentialFault;
use super::digest::Digest;

/// The outcome of a question, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    pub outcome: Outcome<T>,
    pub trace: Trace,
}

impl<T> Answer<T> {
    pub fn served(&self) -> Option<&T> {
        match &self.outcome {
            Outcome::Served(served) => Some(served),
            _ => None,
        }
    }

    /// Returns the answer with something else instead of what was served.
    pub fn map<U>(self, other: impl FnOnce(T) -> U) -> Answer<U> {
        let Self { outcome, trace } = self;
        let outcome = match outcome.into_served() {
            Ok(served) => Outcome::Served(other(served)),
            Err(outcome) => outcome,
        };
        Answer { outcome, trace }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// 2xx, and the content is what was asked for.
    Served(T),
    /// 404. A cache can mean another failure of its upstream by it.
    Missing,
    /// 401 or 403, of the registry or of its token server.
    Denied(Denied),
    /// 429, of the registry or of its token server.
    RateLimited,
    /// There was no response.
    Unreachable(Unreachable),
    /// There was a response that can't be used.
    Invalid(Invalid),
    /// Another status, of the registry or of its token server.
    Other,
}

impl<T> Outcome<T> {
    /// Returns whether the next attempt may have another outcome. `status` is that of the last response.
    pub fn can_pass(&self, status: Option<u16>) -> bool {
        match self {
            Self::RateLimited => true,
            Self::Other => matches!(status, Some(408 | 500 | 502 | 503 | 504)),
            Self::Unreachable(unreachable) => {
                matches!(
                    unreachable,
                    Unreachable::Refused { .. } | Unreachable::Closed { .. } | Unreachable::Network { .. }
                )
            }
            Self::Invalid(Invalid::Truncated { .. }) => true,
            Self::Served(_) | Self::Missing | Self::Denied(_) | Self::Invalid(_) => false,
        }
    }

    /// Returns what was served, or the outcome as one of another question.
    pub fn into_served<U>(self) -> Result<T, Outcome<U>> {
        Err(match self {
            Self::Served(served) => return Ok(served),
            Self::Missing => Outcome::Missing,
            Self::Denied(denied) => Outcome::Denied(denied),
            Self::RateLimited => Outcome::RateLimited,
            Self::Unreachable(unreachable) => Outcome::Unreachable(unreachable),
            Self::Invalid(invalid) => Outcome::Invalid(invalid),
            Self::Other => Outcome::Other,
        })
    }
}

/// How an answer came about. Texts of the registry have no control characters and none of the secrets that were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The server of the last response: the registry, its token server, or the target of a redirect.
    pub host: Option<String>,
    /// The status of the last response.
    pub status: Option<u16>,
    /// The errors in the body of the last response; HEAD has none.
    pub errors: Vec<RegistryError>,
    /// The beginning of a body that is not in the format of the specification, such as a page of a proxy.
    pub page: Option<String>,
    /// The texts of `Warning` headers.
    pub warnings: Vec<String>,
    pub rate_limit: Option<RateLimit>,
    /// `Cache-Control` of the last response.
    pub cache_control: Option<String>,
    /// `Retry-After` of the last response.
    pub retry_after: Option<Duration>,
    /// The time from the last request to its response's headers.
    pub first_byte: Option<Duration>,
    /// The number of requests to the registry, to its token server and to targets of redirects.
    pub requests: u32,
    /// The hosts of redirects, in order.
    pub redirects: Vec<String>,
    /// The source of the credentials that were used for the answer; `None` if it was asked without any.
    pub credential: Option<String>,
    /// Why other credentials could not be read. Without them, a denial has another cause.
    pub credential_faults: Vec<CredentialFault>,
}

/// An error of the distribution specification, such as `MANIFEST_UNKNOWN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    pub code: String,
    pub message: String,
}

/// What `ratelimit-limit` and `ratelimit-remaining` say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    pub window_secs: Option<u64>,
}

/// Who denied a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("the registry denied the request")]
    Registry,
    #[error("the token server {host} denied the request for a token")]
    TokenServer { host: String },
}

/// Why there was no response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreachable {
    #[error("the name {host} can't be resolved ({reason}); check the name and this machine's DNS")]
    Dns { host: String, reason: String },
    #[error("{host} refused the connection; check the port, and whether the server runs")]
    Refused { host: String },
    #[error("{host} closed the connection; check for a firewall or a proxy on the way, and the server's log")]
    Closed { host: String },
    #[error("{host} did not answer within {after:?} ({phase}); check the network, or allow more time")]
    Timeout { host: String, phase: Phase, after: Duration },
    #[error("TLS with {host} failed: {fault}")]
    Tls { host: String, fault: TlsFault },
    #[error("the proxy {proxy} failed: {reason}; check it, or add {host} to NO_PROXY")]
    Proxy { proxy: String, host: String, reason: String },
    /// Link-local and metadata addresses, and loopback addresses that another host names.
    #[error(
        "requests to {host} are not allowed: {address} is a link-local, metadata or loopback address; name another host"
    )]
    NotAllowed { host: String, address: String },
    #[error("no connection to {host}: {reason}; check the network")]
    Network { host: String, reason: String },
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Headers,
    Body,
    /// The whole answer, with its retries.
    Total,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Dns => "DNS",
            Self::Connect => "connection",
            Self::Tls => "TLS handshake",
            Self::Headers => "first header",
            Self::Body => "body",
            Self::Total => "all attempts",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlsFault {
    #[error("no trusted CA signed its certificate; add the CA that did")]
    UnknownCa,
    #[error("its certificate is for {}; use that name, or issue a certificate for this one", if names.is_empty() { "no name".to_owned() } else { names.join(", ") })]
    WrongName { names: Vec<String> },
    #[error("its certificate is expired; renew it, or set this machine's clock")]
    Expired,
    #[error("its certificate is not yet valid; set the clocks")]
    NotYetValid,
    #[error(
        "the connection was closed during the handshake; check firewalls and proxies before the server, and its TLS versions"
    )]
    Closed,
    #[error("it speaks plain HTTP; use its HTTPS port, or allow plain HTTP for it")]
    PlainHttp,
    #[error("it requires another client certificate ({alert}); give one that it trusts")]
    ClientCertificate { alert: String },
    #[error("{0}")]
    Other(String),
}

/// Why a response can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Invalid {
    #[error(
        "the content has the digest {found}, but {expected} was promised; delete it in the cache, and fetch it again"
    )]
    WrongDigest { expected: Digest, found: Digest },
    #[error(
        "the body has more than {limit_bytes} bytes; check that the host is a registry, and that the cache is not damaged"
    )]
    TooLarge { limit_bytes: u64 },
    #[error(
        "the body ended after {found_bytes} of {expected_bytes} bytes; delete the content in the cache, and fetch it again"
    )]
    Truncated { expected_bytes: u64, found_bytes: u64 },
    #[error(
        "the headers have more than {limit_bytes} bytes, or are more than {limit_count}; check that the host is a registry"
    )]
    HeadersTooLarge { limit_bytes: usize, limit_count: usize },
    #[error(
        "the content is not a manifest: {reason}; check that the host is a registry, and that no proxy answers for it"
    )]
    Manifest { reason: String },
    #[error("the content is not an image's configuration: {reason}; push the image again")]
    Config { reason: String },
    #[error("the content is not a list of names: {reason}; check that the host is a registry")]
    List { reason: String },
    #[error(
        "the content is not a document of the product's API: {reason}; check `product` in `caches`, and that no proxy answers for the API"
    )]
    Document { reason: String },
    #[error("the body has the encoding `{0}`, which was not accepted; disable compression of registry responses")]
    Compressed(String),
    #[error("the response is not HTTP: {reason}; check the port")]
    NotHttp { reason: String },
    #[error("{0}; fix the address that the registry, or the proxy before it, gives out")]
    Redirect(RedirectFault),
    #[error("{0}")]
    TokenServer(TokenServerFault),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RedirectFault {
    #[error("it redirects more than {0} times")]
    TooMany(usize),
    #[error("it redirects in a circle, through {0}")]
    Circle(String),
    #[error("it redirects to plain HTTP at {0}, which is not allowed")]
    PlainHttp(String),
    #[error("it redirects without a usable `Location`")]
    NoLocation,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenServerFault {
    #[error("the challenge has no usable realm; set the registry's token server to an https URL")]
    NoRealm,
    #[error(
        "the challenge names a token server with plain HTTP, {0}, which is not allowed; use HTTPS, or allow plain HTTP for it"
    )]
    PlainHttp(String),
    #[error(
        "the challenge names a token server at another host, {0}; no credentials were sent; if it is right, allow it as a token server"
    )]
    Elsewhere(String),
    #[error("the token server {0} returned no usable token; check that the challenge names the right URL")]
    NoToken(String),
}
