//! One JSON object a line.

use serde::Serialize;

use crate::scan::{Finding, OutOfReach, Place, Use, Verdict};

/// A finding as a line, without the line's end.
pub fn line(finding: &Finding) -> String {
    written(&Line::new(finding))
}

/// A field that looks like an image as a line, with the entry of `manifests` that makes it known.
pub fn unknown_line(finding: &Finding, declaration: Option<&str>) -> String {
    written(&Line { declaration, ..Line::new(finding) })
}

fn written(line: &Line) -> String {
    // There is nothing in it that can't be written.
    serde_json::to_string(line).unwrap_or_default()
}

/// The keys of `-o json`. They are stable, and all there on every line.
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
    out_of_reach: Option<OutOfReach>,
    declaration: Option<&'f str>,
}

impl<'f> Line<'f> {
    fn new(finding: &'f Finding) -> Self {
        let Finding { image, registry, repository, place, in_use, verdict, out_of_reach } = finding;
        let (decision, result, rule, reason) = match verdict {
            Some(Verdict::Rewrite { result, rule }) => (Some("rewrite"), Some(result), Some(rule), None),
            Some(Verdict::Keep { reason, rule }) => (Some("keep"), Some(image), rule.as_ref(), Some(reason.as_str())),
            None => (None, None, None, None),
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
            out_of_reach: *out_of_reach,
            declaration: None,
        };
        match place {
            Place::Cluster { api_version, kind, namespace, name, place } => Self {
                source: "cluster",
                api_version: Some(api_version),
                kind: Some(kind),
                namespace: namespace.as_deref(),
                name: Some(name),
                place: Some(place),
                ..line
            },
            Place::File { file, line: at, column, api_version, kind, namespace, name, place } => Self {
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
            Place::Node { node } => Self { source: "node", node: Some(node), ..line },
        }
    }
}
