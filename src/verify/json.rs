//! One JSON object a line, for each rewritten image.

use serde::Serialize;

use super::{Match, PullUse, Target, Verified};
use crate::diagnosis::{Advice, Status};
use crate::scan::Location;

/// Formats an image as a line without its line end.
pub fn line(verified: &Verified) -> String {
    // The serializer fails on no value in it.
    serde_json::to_string(&Line::new(verified)).unwrap_or_default()
}

/// Returns the line as a value.
pub(super) fn value(verified: &Verified) -> serde_json::Value {
    serde_json::to_value(Line::new(verified)).unwrap_or_default()
}

/// The keys of `-o json`. They are stable, and every line has all of them.
#[derive(Serialize)]
struct Line<'v> {
    image: &'v str,
    upstream: Option<&'v str>,
    rule: Option<&'v str>,
    product: &'static str,
    places: usize,
    place: String,
    file: Option<&'v str>,
    line: Option<usize>,
    status: Status,
    /// Those that look alike from outside.
    causes: Vec<Advice>,
    answer: String,
    http_status: Option<u16>,
    retry_after_secs: Option<u64>,
    credential: Option<&'v str>,
    pull_secrets: Option<&'v [PullUse]>,
    /// Whether the answer is that to another image of the same registry.
    inferred: bool,
    requests: u32,
    warnings: &'v [String],
    upstream_answer: Option<String>,
    upstream_http_status: Option<u16>,
    digest: Option<&'v str>,
    platforms: Option<Vec<String>>,
    missing_platforms: Vec<String>,
    digest_proof: Option<DigestProof<'v>>,
}

#[derive(Serialize)]
struct DigestProof<'v> {
    result: Match,
    upstream_digest: Option<&'v str>,
    stale_secs: Option<i64>,
    reason: Option<&'v str>,
}

impl<'v> Line<'v> {
    fn new(verified: &'v Verified) -> Self {
        let Verified { target, product, diagnosis, seen } = verified;
        let Target { image, upstream, rule, places, pull } = target;
        let (file, line) = match places.first() {
            Location::File { file, line, .. } => (Some(file.as_str()), Some(*line)),
            Location::Cluster { .. } | Location::Node { .. } => (None, None),
        };
        let trace = &seen.cache.trace;
        Self {
            image,
            upstream: upstream.as_deref(),
            rule: rule.as_deref(),
            product: product.as_str(),
            places: places.iter().count(),
            place: places.first().to_string(),
            file,
            line,
            status: diagnosis.status,
            causes: verified.advice().collect(),
            answer: seen.cache.in_words(),
            http_status: trace.status,
            retry_after_secs: trace.retry_after.map(|wait| wait.as_secs()),
            credential: trace.credential.as_deref(),
            pull_secrets: pull.as_deref(),
            inferred: seen.is_inferred,
            requests: if seen.is_inferred { 0 } else { trace.requests },
            warnings: &trace.warnings,
            upstream_answer: seen.upstream.as_ref().map(crate::registry::Answer::in_words),
            upstream_http_status: seen.upstream.as_ref().and_then(|upstream| upstream.trace.status),
            digest: seen.digest.as_ref().map(|digest| digest.as_str()),
            platforms: seen.platforms.found.as_ref().map(|found| found.iter().map(ToString::to_string).collect()),
            missing_platforms: seen.platforms.missing.iter().map(ToString::to_string).collect(),
            digest_proof: seen.proof.as_ref().map(|proof| DigestProof {
                result: proof.result,
                upstream_digest: proof.upstream_digest.as_ref().map(|digest| digest.as_str()),
                stale_secs: proof.stale_secs,
                reason: proof.reason.as_deref(),
            }),
        }
    }
}
