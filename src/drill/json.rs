//! One JSON object a line, for each image of each workload.

use serde::Serialize;

use super::plan::{Drilled, DrilledImage};
use super::verdict::{Evidence, Verdict};
use super::workloads::Name;
use crate::scan::Location;

/// Formats a workload as a line for each of its images, with line ends.
pub fn lines(drilled: &Drilled) -> String {
    // The serializer fails on no value in it.
    drilled
        .images
        .iter()
        .map(|image| serde_json::to_string(&Line::new(drilled, image)).unwrap_or_default() + "\n")
        .collect()
}

/// The keys of `-o json`. They are stable, and every line has all of them.
#[derive(Serialize)]
struct Line<'d> {
    workload: Option<String>,
    namespace: Option<&'d str>,
    source: Option<&'d str>,
    line: Option<usize>,
    place: &'d str,
    /// As written.
    image: &'d str,
    /// The name that a node pulls.
    result: &'d str,
    rule: Option<&'d str>,
    product: Option<&'static str>,
    pull_policy: &'static str,
    verdict: Verdict,
    workload_verdict: Verdict,
    evidence: &'d [Evidence],
    digest: Option<&'d str>,
    until_secs: Option<i64>,
    platforms: Vec<String>,
}

impl<'d> Line<'d> {
    fn new(drilled: &'d Drilled, one: &'d DrilledImage) -> Self {
        let place = &drilled.workload.place;
        let (source, line) = match place {
            Location::File { file, line, .. } => (Some(file.as_str()), Some(*line)),
            Location::Cluster { .. } | Location::Node { .. } => (None, None),
        };
        Self {
            workload: place.object(),
            namespace: place.namespace(),
            source,
            line,
            place: &one.image.place,
            image: &one.image.written,
            result: one.image.pulled(),
            rule: match &one.image.name {
                Name::Cached { rule, .. } => rule.as_deref(),
                Name::Written { .. } | Name::NeverPulled => None,
            },
            product: one.product.map(|product| product.as_str()),
            pull_policy: one.image.policy.as_str(),
            verdict: one.verdict,
            workload_verdict: drilled.verdict,
            evidence: &one.evidence,
            digest: one.digest.as_ref().map(|digest| digest.as_str()),
            until_secs: one.until_secs,
            platforms: one.platforms.iter().map(ToString::to_string).collect(),
        }
    }
}
