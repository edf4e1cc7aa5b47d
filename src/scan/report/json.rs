//! One JSON object a line.

use serde::Serialize;

use crate::scan::{Comparison, FoundImage, FoundWorkload, Location, NotCovered, Use, Verdict};

/// Formats a finding as a line without its line end.
pub fn line(finding: &FoundImage) -> String {
    written(&Line::new(finding))
}

/// Formats a field that looks like an image, with the entry of `manifests` that declares it.
pub fn unknown_line(finding: &FoundImage, declaration: Option<&str>) -> String {
    written(&Line { declaration, ..Line::new(finding) })
}

fn written(line: &Line) -> String {
    // The serializer fails on no value in it.
    serde_json::to_string(line).unwrap_or_default()
}

/// The keys of `-o json`. They are stable, and every line has all of them.
#[derive(Serialize)]
struct Line<'f> {
    image: &'f str,
    registry: Option<&'f str>,
    repository: Option<&'f str>,
    source: &'static str,
    file: Option<&'f str>,
    line: Option<usize>,
    column: Option<usize>,
    node: Option<&'f str>,
    api_version: Option<&'f str>,
    kind: Option<&'f str>,
    namespace: Option<&'f str>,
    name: Option<&'f str>,
    place: Option<&'f str>,
    r#use: Use,
    decision: Option<&'static str>,
    result: Option<&'f str>,
    rule: Option<&'f str>,
    reason: Option<&'f str>,
    would_be: Option<&'f str>,
    not_covered: Option<NotCovered>,
    workload: Option<&'f str>,
    included_from_percent: Option<u8>,
    operator: Option<&'static str>,
    place_to_set: Option<String>,
    owner: Option<&'f str>,
    declaration: Option<&'f str>,
}

impl<'f> Line<'f> {
    fn new(finding: &'f FoundImage) -> Self {
        let FoundImage {
            image,
            registry,
            repository,
            place,
            in_use,
            verdict,
            not_covered,
            comparison,
            pull_access: _,
            workload,
        } = finding;
        let (workload, included_from) = match workload {
            Some(FoundWorkload { name, namespace: _, included_from }) => (Some(&**name), Some(included_from.get())),
            None => (None, None),
        };
        let (operator, owner) = match comparison {
            Some(Comparison::Known(operator)) => (Some(operator.name), None),
            Some(Comparison::Possible(kind)) => (None, Some(&**kind)),
            None => (None, None),
        };
        let (decision, result, rule, reason, would_be) = match verdict {
            Some(Verdict::Rewrite { result, rule }) => (Some("rewritten"), Some(result), Some(rule), None, None),
            Some(Verdict::NotRewritten { reason, rule, would_be }) => {
                (Some("not_rewritten"), Some(image), rule.as_ref(), Some(reason.as_str()), would_be.as_deref())
            }
            None => (None, None, None, None, None),
        };
        let line = Self {
            image,
            registry: registry.as_deref(),
            repository: repository.as_deref(),
            source: "",
            file: None,
            line: None,
            column: None,
            node: None,
            api_version: None,
            kind: None,
            namespace: None,
            name: None,
            place: None,
            r#use: *in_use,
            decision,
            result: result.map(String::as_str),
            rule: rule.map(String::as_str),
            reason,
            would_be,
            not_covered: *not_covered,
            workload,
            included_from_percent: included_from,
            operator,
            place_to_set: finding.place_to_set(),
            owner,
            declaration: None,
        };
        match place {
            Location::Cluster { api_version, kind, namespace, name, place } => Self {
                source: "cluster",
                api_version: Some(api_version),
                kind: Some(kind),
                namespace: namespace.as_deref(),
                name: Some(name),
                place: Some(place),
                ..line
            },
            Location::File { file, line: at, column, api_version, kind, namespace, name, place } => Self {
                source: "file",
                file: Some(file),
                line: Some(*at),
                column: Some(*column),
                api_version: Some(api_version),
                kind: Some(kind),
                namespace: namespace.as_deref(),
                name: Some(name),
                place: Some(place),
                ..line
            },
            Location::Node { node } => Self { source: "node", node: Some(node), ..line },
        }
    }
}
