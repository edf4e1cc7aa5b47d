//! Why an image, or a part of it, was not fetched.

use std::borrow::Cow;

use serde::Serialize;

use crate::diagnosis::{self, Advice, Cause, Diagnosis, Observation, diagnose};
use crate::engine::Product;
use crate::products::Model;
use crate::registry::{Answer, Outcome, Repository};

/// The result for an image. The worst of its faults is its status; the order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Fetched,
    /// In a dry run.
    WouldFetch,
    /// The run ended before the image was complete.
    Stopped,
    /// The answers do not suffice.
    Unknown,
    RateLimited,
    Unreachable,
    Denied,
    /// Everything was served, but the cache may not have stored it.
    NotStored,
    /// The index does not have a platform that was asked for.
    PlatformMissing,
    /// The cache does not serve what the upstream has.
    Missing,
    /// The upstream does not have it.
    Absent,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::WouldFetch => "would fetch",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::RateLimited => "rate limited",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::NotStored => "not stored",
            Self::PlatformMissing => "platform missing",
            Self::Missing => "missing",
            Self::Absent => "absent",
        }
    }

    pub const fn is_done(self) -> bool {
        matches!(self, Self::Fetched | Self::WouldFetch)
    }

    fn of(diagnosis: &Diagnosis) -> Self {
        match diagnosis.status {
            diagnosis::Status::Served => Self::Fetched,
            diagnosis::Status::Missing if diagnosis.causes == [Cause::Absent] => Self::Absent,
            diagnosis::Status::Missing => Self::Missing,
            diagnosis::Status::Denied => Self::Denied,
            diagnosis::Status::RateLimited => Self::RateLimited,
            diagnosis::Status::Unreachable => Self::Unreachable,
            diagnosis::Status::Unknown => Self::Unknown,
        }
    }
}

/// A part of an image that was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub status: Status,
    /// `tag 1.29`, `manifest sha256:…`, `blob sha256:…`.
    pub part: String,
    /// Those that look alike from outside.
    pub causes: Vec<Reason>,
    /// The cache's answer, or in a dry run the upstream's; `None` if no answer is the reason.
    pub answer: Option<String>,
    /// What the upstream answered, if it was asked too.
    pub upstream_answer: Option<String>,
}

/// A cause with its words. The keys are those of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub cause: &'static str,
    pub text: Cow<'static, str>,
    pub fix: Cow<'static, str>,
    /// Where the fix of the product is from; `None` if the fix is not the product's.
    pub source: Option<&'static str>,
}

impl From<Advice> for Reason {
    fn from(Advice { cause, text, fix, source }: Advice) -> Self {
        Self { cause, text: text.into(), fix: fix.into(), source }
    }
}

impl Fault {
    /// Returns the fault of an image for another reason than an answer.
    pub fn new(status: Status, part: String, cause: &'static str, text: String, fix: String) -> Self {
        let causes = vec![Reason { cause, text: text.into(), fix: fix.into(), source: None }];
        Self { status, part, causes, answer: None, upstream_answer: None }
    }

    /// Returns the fault of a part that the cache did not serve.
    pub fn not_served(part: String, observation: &Observation) -> Self {
        Self {
            answer: Some(observation.cache.in_words()),
            upstream_answer: observation.upstream.map(crate::registry::Answer::in_words),
            ..Self::of(part, observation)
        }
    }

    /// Returns the fault of platforms that an index does not have.
    pub fn platforms(part: String, observation: &Observation) -> Self {
        Self { status: Status::PlatformMissing, ..Self::of(part, observation) }
    }

    /// Returns the fault of a dry run, which asks the upstream alone.
    pub fn of_upstream(part: String, upstream: &Repository, answer: &Answer<()>) -> Self {
        let host = upstream.host();
        let (status, cause, text, fix) = match &answer.outcome {
            Outcome::Missing => {
                let (causes, answer) =
                    (vec![Cause::Absent.advice(Model::of(Product::Generic)).into()], Some(answer.in_words()));
                return Self { status: Status::Absent, part, causes, answer, upstream_answer: None };
            }
            Outcome::Denied(_) => (
                Status::Denied,
                Cause::UpstreamLogin,
                format!("{host} denies it to this machine"),
                format!("add credentials for {host} (--docker-config), or run without --dry-run"),
            ),
            Outcome::RateLimited => (
                Status::RateLimited,
                Cause::UpstreamLimit,
                format!("{host} limits the rate of this machine"),
                "run again later, or without --dry-run".to_owned(),
            ),
            Outcome::Unreachable(_) => (
                Status::Unreachable,
                Cause::UpstreamFailure,
                format!("{host} is unreachable from this machine"),
                "check the network and the proxy, or run without --dry-run".to_owned(),
            ),
            Outcome::Served(()) | Outcome::Invalid(_) | Outcome::Other => (
                Status::Unknown,
                Cause::UpstreamFailure,
                format!("the answer of {host} is unusable"),
                "run again later, or without --dry-run".to_owned(),
            ),
        };
        let answer = Some(answer.in_words());
        Self { answer, ..Self::new(status, part, cause.as_str(), text, fix) }
    }

    fn of(part: String, observation: &Observation) -> Self {
        let diagnosis = diagnose(observation);
        let causes = diagnosis.advice(observation.model).map(Reason::from).collect();
        Self { status: Status::of(&diagnosis), part, causes, answer: None, upstream_answer: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Trace;

    #[test]
    fn an_absent_image_is_not_one_that_the_cache_lacks() {
        let answer = |outcome, status| Answer { outcome, trace: Trace { status: Some(status), ..Trace::default() } };
        let (missing, served) = (answer(Outcome::Missing, 404), answer(Outcome::Served(()), 200));
        for (upstream, status) in
            [(Some(&missing), Status::Absent), (Some(&served), Status::Missing), (None, Status::Unknown)]
        {
            let fault = Fault::not_served(
                "tag 1".to_owned(),
                &Observation {
                    model: Model::of(Product::Distribution),
                    name: "cache.io/a",
                    upstream_name: None,
                    cache: &missing,
                    upstream,
                    requires_login: None,
                    is_start_served: false,
                    platforms: diagnosis::Platforms::Served,
                },
            );
            assert_eq!(fault.status, status, "{fault:?}");
        }
    }
}
