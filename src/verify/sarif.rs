//! SARIF 2.1.0, for code scanning: a result for each place of an image with a finding.

use std::fmt::{self, Display};

use serde_json::Value;

use super::report::Report;
use super::{Finding, Proof, Verified, json, words};
use crate::diagnosis::Advice;
use crate::scan::Location;
use crate::scan::report::sarif::log::{self, ImageAtPlace, Inputs, Rule, at};

/// Keys of a line of JSON that are about all places of an image.
const KEYS_OF_PLACES: [&str; 4] = ["places", "place", "file", "line"];

/// Returns one log with one run.
pub fn sarif(report: &Report) -> impl Display {
    fmt::from_fn(|f| {
        let results = || {
            report.images.iter().flat_map(|verified| {
                verified.findings().flat_map(move |finding| {
                    let properties = properties(verified);
                    verified.target.places.iter().map(move |place| result(finding, verified, place, properties.clone()))
                })
            })
        };
        let rules = Finding::ALL.map(rule);
        log::write(f, &Inputs { rules: &rules, skipped: report.skipped, unknowns: report.unknowns }, results)
    })
}

const fn rule(finding: Finding) -> Rule {
    let (level, title, description) = match finding {
        Finding::Missing => (
            "error",
            "Image that the cache does not have",
            "The cache answers 404 for the rewritten image, and the upstream answered too. Or a required platform is missing.",
        ),
        Finding::Denied => (
            "error",
            "Image that the cache denies",
            "The cache or its token server answers 401 or 403 for the rewritten image.",
        ),
        Finding::Unreachable => (
            "error",
            "Image of an unreachable cache",
            "The cache gives no response: DNS, connection, TLS, a proxy or a timeout.",
        ),
        Finding::RateLimited => (
            "warning",
            "Image for which the cache limits the rate",
            "The cache or its token server answers 429 for the rewritten image.",
        ),
        Finding::Unknown => (
            "warning",
            "Image that may not be served",
            "The cache does not serve the rewritten image, and the answers do not suffice to say why.",
        ),
        Finding::Different => (
            "error",
            "Image whose digest the upstream does not have",
            "The cache serves a digest for the tag that the upstream does not have.",
        ),
        Finding::Trimmed => (
            "warning",
            "Image whose index is trimmed",
            "The cache serves the upstream's index without some of its children.",
        ),
        Finding::Stale => (
            "warning",
            "Image that is older than the upstream's",
            "The cache serves an earlier digest of the upstream for the tag.",
        ),
        Finding::NotCompared => (
            "note",
            "Image whose digest was not compared",
            "`--digest-proof` is set, and the upstream gave no usable answer or is not known.",
        ),
    };
    let help = if finding.is_of_digests() {
        "The message has the result of the comparison and its fix."
    } else {
        "The message has the causes with their fixes. Causes that look alike from outside are all listed: check them in \
         their order. For one image, `pullthrough doctor --image IMAGE` checks every step from the rule to the node."
    };
    Rule { id: finding.as_str(), level, title, description, help }
}

/// Returns the keys of a line of JSON that are about the image.
fn properties(verified: &Verified) -> Value {
    let mut line = json::value(verified);
    if let Some(keys) = line.as_object_mut() {
        KEYS_OF_PLACES.iter().for_each(|key| drop(keys.remove(*key)));
    }
    line
}

fn result(finding: Finding, verified: &Verified, place: &Location, properties: Value) -> Value {
    let message = message(finding, verified, place);
    let image = &verified.target.image;
    let rule_index = Finding::ALL.iter().position(|one| *one == finding).unwrap_or_default();
    ImageAtPlace { rule: rule(finding), rule_index, image, place, message: &message, properties }.result()
}

/// Returns the message: the image, its place, why it is not served or differs, and what was answered.
fn message(finding: Finding, verified: &Verified, place: &Location) -> String {
    let target = &verified.target;
    let of = target.upstream.as_ref().map(|upstream| format!(" for {upstream}")).unwrap_or_default();
    let image = format!("{}{of} {}", target.image, at(place));
    match &verified.seen.proof {
        Some(proof) if finding.is_of_digests() => format!("{image}: {}", comparison(finding, verified, proof)),
        _ => format!("{image} is not served ({}): {}", finding.title(), causes(verified)),
    }
}

fn causes(verified: &Verified) -> String {
    let seen = &verified.seen;
    let cause = |Advice { cause: _, text, fix, source }: Advice| {
        let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
        format!("{text}; fix: {fix}{source}")
    };
    let causes: Vec<String> = verified.advice().map(cause).collect();
    let one = if causes.len() > 1 { "one of: " } else { "" };
    let upstream = seen.upstream.as_ref();
    let upstream = upstream.map(|upstream| format!("; the upstream answers: {}", upstream.in_words()));
    let platforms = words::platforms(verified).map(|platforms| format!("; platforms {platforms}"));
    format!(
        "{one}{}; the cache answers: {}{}{}",
        causes.join("; or "),
        seen.cache.in_words(),
        upstream.unwrap_or_default(),
        platforms.unwrap_or_default()
    )
}

fn comparison(finding: Finding, verified: &Verified, proof: &Proof) -> String {
    let (what, fix) = proof.result.words();
    let cached = verified.seen.digest.as_ref().map(|digest| format!("; the cache serves {digest}")).unwrap_or_default();
    let current = proof.upstream_digest.as_ref().map(|digest| format!(", the upstream {digest}")).unwrap_or_default();
    match &proof.reason {
        Some(reason) => format!("{}: {reason}{cached}{current}", finding.title()),
        None => format!("{what}; fix: {fix}{cached}{current}"),
    }
}
