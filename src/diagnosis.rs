//! Why a cache does not serve an image: its answer, the upstream's answer, and the model of the product in; a status and its
//! causes out.
//!
//! [`diagnose`] is pure. The causes and their words are in one table, [`Cause`]. If several causes look alike from outside, a
//! [`Diagnosis`] has all of them, the most likely one first.

mod advice;
mod cause;
mod message;

pub use advice::Advice;
pub use cause::Cause;
pub use message::causes_of_message;

use serde::Serialize;

use crate::products::{self, Model};
use crate::registry::{Answer, Denied, Invalid, Outcome, TlsFault, Trace, Unreachable};

/// Whether a registry serves an image now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Served,
    /// The cache answers 404, or a platform is missing, and the upstream confirms it or shows that the fault is the cache's.
    Missing,
    Denied,
    RateLimited,
    Unreachable,
    /// The answers do not suffice.
    Unknown,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Served, Self::Missing, Self::Denied, Self::RateLimited, Self::Unreachable, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }

    /// Returns it as people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::RateLimited => "rate limited",
            _ => self.as_str(),
        }
    }
}

/// What was seen of one image.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'o> {
    pub model: &'static Model,
    /// The rewritten name in canonical form, without tag and digest.
    pub name: &'o str,
    /// The same of the original name, if it is known.
    pub upstream_name: Option<&'o str>,
    pub cache: &'o Answer<()>,
    /// `None` if the upstream was not asked.
    pub upstream: Option<&'o Answer<()>>,
    /// Whether the cache's API requires a login; `None` if it was not asked or did not answer.
    pub requires_login: Option<bool>,
    /// Whether the cache served another image with the same [`start`].
    pub is_start_served: bool,
    pub platforms: Platforms,
}

/// Whether the image has the platforms that are needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Platforms {
    /// It has them, or none was asked for.
    #[default]
    Served,
    /// Some are missing. The upstream was not asked, or gave no answer.
    Missing,
    /// Some are missing, and the upstream does not have them either.
    MissingUpstream,
    /// Some are missing that the upstream has.
    MissingInCache,
    /// The configuration that names the platform was not served.
    Unknown,
}

/// A status, with its causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub status: Status,
    /// Those that look alike from outside. The most likely one is first. There is none if the image is served.
    pub causes: Vec<Cause>,
}

/// Finds the status of an image and its causes.
pub fn diagnose(observation: &Observation) -> Diagnosis {
    let Observation { model, cache, platforms, .. } = observation;
    match &cache.outcome {
        Outcome::Served(()) => of_platforms(model, *platforms),
        Outcome::Missing => not_found(observation),
        Outcome::Denied(denied) => Diagnosis { status: Status::Denied, causes: denied_by(observation, denied) },
        Outcome::RateLimited => Diagnosis { status: Status::RateLimited, causes: limited(observation) },
        Outcome::Unreachable(unreachable) => {
            Diagnosis { status: Status::Unreachable, causes: of_unreachable(unreachable) }
        }
        Outcome::Invalid(invalid) => Diagnosis { status: Status::Unknown, causes: vec![of_invalid(invalid)] },
        Outcome::Other => Diagnosis { status: Status::Unknown, causes: of_status(observation) },
    }
}

fn of_platforms(model: &Model, platforms: Platforms) -> Diagnosis {
    let missing = |causes: &[Cause]| Diagnosis { status: Status::Missing, causes: causes.to_vec() };
    let may_trim = model.offline.value.may_trim_index || model.product == crate::engine::Product::Generic;
    match platforms {
        Platforms::Served => Diagnosis { status: Status::Served, causes: Vec::new() },
        Platforms::Missing if may_trim => missing(&[Cause::PlatformAbsent, Cause::IndexTrimmed]),
        Platforms::Missing | Platforms::MissingUpstream => missing(&[Cause::PlatformAbsent]),
        Platforms::MissingInCache if may_trim => missing(&[Cause::IndexTrimmed]),
        Platforms::MissingInCache => missing(&[Cause::TagStale, Cause::IndexTrimmed]),
        Platforms::Unknown => Diagnosis { status: Status::Unknown, causes: vec![Cause::ConfigNotServed] },
    }
}

/// A 404 has the meaning that the upstream's answer leaves.
fn not_found(observation: &Observation) -> Diagnosis {
    let upstream = observation.upstream.map(|upstream| &upstream.outcome);
    let status = match upstream {
        Some(Outcome::Served(()) | Outcome::Missing) => Status::Missing,
        _ => Status::Unknown,
    };
    if is_absent(observation) {
        return Diagnosis { status, causes: vec![Cause::Absent] };
    }
    let mut causes = of_status(observation);
    if lacks_library(observation) && !observation.is_start_served {
        causes.retain(|cause| *cause != Cause::LibraryMissing);
        causes.insert(0, Cause::LibraryMissing);
    }
    Diagnosis { status, causes }
}

/// Returns whether the upstream says that it does not have the image.
fn is_absent(observation: &Observation) -> bool {
    observation.upstream.is_some_and(|upstream| matches!(upstream.outcome, Outcome::Missing))
}

/// Returns whether the rewritten name lacks the `library/` of Docker Hub.
fn lacks_library(observation: &Observation) -> bool {
    let Some(upstream) = observation.upstream_name else { return false };
    upstream.strip_prefix("docker.io/library/").is_some_and(|image| {
        let is_below = |end: &str| observation.name.strip_suffix(end).is_some_and(|start| start.ends_with('/'));
        is_below(image) && !is_below(&format!("library/{image}"))
    })
}

/// Returns what the model says of the status, without what the other answers exclude.
fn of_status(observation: &Observation) -> Vec<Cause> {
    let Observation { model, cache, upstream, is_start_served, .. } = observation;
    let Trace { status, page, errors, .. } = &cache.trace;
    let of_model = status.map_or(&[][..], |status| model.causes(status));
    let mut causes: Vec<Cause> = of_model.iter().map(|cause| Cause::from(*cause)).collect();
    if causes.is_empty() && status.is_some_and(|status| status >= 500) {
        causes.extend([Cause::CacheFailure, Cause::UpstreamFailure]);
    }
    let mut front = |first: Cause| {
        if let Some(at) = causes.iter().position(|cause| *cause == first) {
            causes[..=at].rotate_right(1);
        }
    };
    match upstream.map(|upstream| &upstream.outcome) {
        Some(Outcome::Denied(_)) => front(Cause::UpstreamLogin),
        Some(Outcome::RateLimited) => front(Cause::UpstreamLimit),
        Some(Outcome::Unreachable(_) | Outcome::Other) => front(Cause::UpstreamFailure),
        Some(Outcome::Served(())) => causes.retain(|cause| *cause != Cause::Absent),
        // The image is absent, whatever else is wrong.
        Some(Outcome::Missing) => front(Cause::Absent),
        Some(Outcome::Invalid(_)) | None => {}
    }
    if *is_start_served {
        causes.retain(|cause| *cause != Cause::Path);
    }
    // Registries answer in JSON.
    if (page.is_some() && errors.is_empty()) || causes.is_empty() {
        causes.insert(0, Cause::NotARegistry);
    }
    causes
}

fn denied_by(observation: &Observation, denied: &Denied) -> Vec<Cause> {
    let Observation { cache, requires_login, .. } = observation;
    let Trace { credential, credential_faults, errors, .. } = &cache.trace;
    if !credential_faults.is_empty() && credential.is_none() {
        return vec![Cause::CredentialsUnreadable];
    }
    let is_login_required = matches!(denied, Denied::TokenServer { .. }) || *requires_login == Some(true);
    if credential.is_none() && is_login_required {
        return vec![Cause::NoCredentials];
    }
    if matches!(denied, Denied::TokenServer { .. }) {
        return vec![Cause::Login, Cause::Rights];
    }
    let mut causes = of_status(observation);
    match (requires_login, credential) {
        // The cache itself lets everybody in.
        (Some(false), _) if causes.contains(&Cause::UpstreamLogin) => {
            causes.retain(|cause| !matches!(cause, Cause::Login | Cause::Rights));
        }
        (_, None) => {
            for cause in &mut causes {
                if *cause == Cause::Login {
                    *cause = Cause::NoCredentials;
                }
            }
        }
        _ => {}
    }
    // Of the specification: access to the resource is denied. A login is not what is missing. Some caches deny what is absent.
    if errors.iter().any(|error| error.code == "DENIED") && causes.contains(&Cause::Rights) && !is_absent(observation) {
        causes.sort_by_key(|cause| *cause != Cause::Rights);
    }
    causes
}

fn limited(observation: &Observation) -> Vec<Cause> {
    let causes = of_status(observation);
    if causes.is_empty() { vec![Cause::CacheLimit, Cause::UpstreamLimit] } else { causes }
}

fn of_unreachable(unreachable: &Unreachable) -> Vec<Cause> {
    let cause = match unreachable {
        Unreachable::Dns { .. } => Cause::Dns,
        Unreachable::Refused { .. } => Cause::ConnectionRefused,
        Unreachable::Closed { .. } => Cause::ConnectionClosed,
        Unreachable::Timeout { .. } => Cause::Timeout,
        Unreachable::Tls { fault, .. } => match fault {
            TlsFault::UnknownCa => Cause::UnknownCa,
            TlsFault::WrongName { .. } => Cause::WrongCertificateName,
            TlsFault::Expired | TlsFault::NotYetValid => Cause::CertificateTime,
            TlsFault::PlainHttp => Cause::PlainHttp,
            TlsFault::ClientCertificate { .. } => Cause::ClientCertificate,
            // A server that does not like the TLS version may do this too.
            TlsFault::Closed => return vec![Cause::ConnectionClosed, Cause::Tls],
            TlsFault::Other(_) => Cause::Tls,
        },
        Unreachable::Proxy { .. } => Cause::Proxy,
        Unreachable::NotAllowed { .. } => Cause::AddressNotAllowed,
        Unreachable::Network { .. } => Cause::Network,
    };
    vec![cause]
}

fn of_invalid(invalid: &Invalid) -> Cause {
    match invalid {
        Invalid::WrongDigest { .. } | Invalid::Truncated { .. } | Invalid::Config { .. } => Cause::Damaged,
        Invalid::TooLarge { .. }
        | Invalid::HeadersTooLarge { .. }
        | Invalid::Manifest { .. }
        | Invalid::List { .. }
        | Invalid::Document { .. }
        | Invalid::Compressed(_)
        | Invalid::NotHttp { .. } => Cause::NotARegistry,
        Invalid::Redirect(_) => Cause::Redirect,
        Invalid::TokenServer(_) => Cause::TokenServer,
    }
}

/// Returns the part of a rewritten name that is the rule's: `harbor.example.com/docker-hub` of
/// `harbor.example.com/docker-hub/library/nginx`.
pub fn start<'n>(name: &'n str, upstream_name: &str) -> &'n str {
    let same = name.rsplit('/').zip(upstream_name.rsplit('/')).take_while(|(a, b)| a == b);
    let bytes: usize = same.map(|(part, _)| part.len() + 1).sum();
    &name[..name.len().saturating_sub(bytes)]
}

impl From<products::Cause> for Cause {
    fn from(cause: products::Cause) -> Self {
        match cause {
            products::Cause::Absent => Self::Absent,
            products::Cause::Path => Self::Path,
            products::Cause::NotCached => Self::NotCached,
            products::Cause::Remembered => Self::Remembered,
            products::Cause::Login => Self::Login,
            products::Cause::Rights => Self::Rights,
            products::Cause::UpstreamLogin => Self::UpstreamLogin,
            products::Cause::UpstreamLimit => Self::UpstreamLimit,
            products::Cause::UpstreamFailure => Self::UpstreamFailure,
            products::Cause::CacheLimit => Self::CacheLimit,
            products::Cause::CacheFailure => Self::CacheFailure,
        }
    }
}

#[cfg(test)]
mod tests;
