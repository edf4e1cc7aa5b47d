//! SARIF 2.1.0, for code scanning.

use std::fmt::{self, Display, Write};
use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::words;
use crate::scan::{Bucket, Entry, Location, Report, Verdict};
use crate::words::visible;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Increment the last part when the input of a fingerprint changes.
const FINGERPRINT: &str = "imageAtPlace/v1";
const SKIPPED: &str = "skipped";
const UNKNOWN: &str = "unknown-kind";

/// The rule of a result.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Forbidden,
    Rewritable,
    Observed,
    NotCovered,
    NotRewritten,
}

impl Rule {
    const ALL: [Self; 5] = [Self::Forbidden, Self::Rewritable, Self::Observed, Self::NotCovered, Self::NotRewritten];

    /// Returns `None` for an image that needs no change, and without rules.
    fn of(entry: &Entry, is_forbidden: bool) -> Option<Self> {
        match Bucket::of(&entry.finding) {
            _ if is_forbidden => Some(Self::Forbidden),
            Bucket::Rewritten => Some(Self::Rewritable),
            Bucket::Observed => Some(Self::Observed),
            Bucket::NotCovered => Some(Self::NotCovered),
            Bucket::NotRewritten => Some(Self::NotRewritten),
            Bucket::Cached | Bucket::Undecided => None,
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden-registry",
            Self::Rewritable => "rewritable",
            Self::Observed => "observed",
            Self::NotCovered => "not-covered",
            Self::NotRewritten => "not-rewritten",
        }
    }

    const fn level(self) -> &'static str {
        match self {
            Self::Forbidden => "error",
            Self::Rewritable => "warning",
            Self::Observed | Self::NotCovered | Self::NotRewritten => "note",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Forbidden => "Image from a forbidden registry",
            Self::Rewritable => "Image from an upstream that has a cache",
            Self::Observed => "Image that a rule in observe mode matches",
            Self::NotCovered => "Image not covered by the webhook",
            Self::NotRewritten => "Image that the rules do not rewrite",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Forbidden => "The image is pulled from a registry of `--fail-on`.",
            Self::Rewritable => "The image names an upstream, and the rules would rewrite it to name the cache.",
            Self::Observed => {
                "The image names an upstream. A rule in `mode: observe` matches it and does not rewrite it."
            }
            Self::NotCovered => "The image is pulled where the API server does not call the webhook.",
            Self::NotRewritten => "The image does not name the cache, and the rules do not rewrite it.",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Forbidden => {
                "If a rule matches, run `pullthrough rewrite -w`. Otherwise add a rule for the registry, or use an image \
                 from another registry."
            }
            Self::Rewritable => {
                "Run `pullthrough rewrite -w`, or write the image name of the message. If the webhook covers the Pods, it \
                 rewrites them at admission and the manifest can stay unchanged."
            }
            Self::Observed => "The message names the result. To rewrite such images, set `mode: enforce` in the rule.",
            Self::NotCovered => {
                "Configure a mirror on the nodes, or write the rewritten image name. The message has it."
            }
            Self::NotRewritten => {
                "The message has the reason. If it is not intended, change the rules; `pullthrough explain` shows their \
                 decision."
            }
        }
    }

    fn descriptor(self) -> Value {
        json!({
            "id": self.id(),
            "shortDescription": {"text": self.title()},
            "fullDescription": {"text": self.description()},
            "help": {"text": self.help().replace('`', "'"), "markdown": self.help()},
            "defaultConfiguration": {"level": self.level()},
            "properties": {"tags": ["containers", "supply-chain"], "precision": "very-high"},
        })
    }
}

/// Returns one log with one run. The report should keep all places.
pub fn sarif(report: &Report) -> impl Display {
    fmt::from_fn(|f| {
        let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run(report)] };
        serde_json::to_writer_pretty(Text(f), &log).map_err(|_| fmt::Error)?;
        f.write_char('\n')
    })
}

#[derive(Serialize)]
struct Log<'r> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    runs: [Run<'r>; 1],
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'r> {
    column_kind: &'static str,
    invocations: Value,
    results: Results<'r>,
    tool: Value,
}

/// Results are created while they are written: there can be hundreds of thousands.
struct Results<'r>(&'r Report);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let forbidden = self.0.forbidden();
        let results = self.0.entries.iter().flat_map(|entry| {
            let registry = entry.finding.forbidden_by(&forbidden).map(|prefix| prefix.canonical());
            let rule = Rule::of(entry, registry.is_some());
            rule.into_iter()
                .flat_map(move |rule| entry.places.iter().map(move |place| result(rule, registry, entry, place)))
        });
        serializer.collect_seq(results)
    }
}

/// Writes UTF-8.
struct Text<'f, 't>(&'f mut fmt::Formatter<'t>);

impl io::Write for Text<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(report: &Report) -> Run<'_> {
    let notifications: Vec<Value> = report
        .skipped
        .iter()
        .map(|skipped| {
            let text = format!("{}: {}; {}", skipped.what, skipped.why, skipped.fix);
            json!({"level": "error", "message": {"text": plain(&text)}, "descriptor": {"id": SKIPPED, "index": 0}})
        })
        .chain(report.unknowns.shown().0.into_iter().map(|(subject, unknown)| {
            let (size, places) = (unknown.size(subject), unknown.whereabouts());
            let text = format!("{subject}: {size}: {places}; {}", words::fix(subject, unknown).1);
            json!({"level": "warning", "message": {"text": plain(&text)}, "descriptor": {"id": UNKNOWN, "index": 1}})
        }))
        .collect();
    Run {
        column_kind: "unicodeCodePoints",
        invocations: json!([{
            "executionSuccessful": report.skipped.is_empty(),
            "toolExecutionNotifications": notifications,
        }]),
        results: Results(report),
        tool: json!({"driver": {
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": Rule::ALL.map(Rule::descriptor),
            "notifications": [{
                "id": SKIPPED,
                "shortDescription": {"text": "Skipped part of the scan"},
                "defaultConfiguration": {"level": "error"},
            }, {
                "id": UNKNOWN,
                "shortDescription": {"text": "Fields of an unknown kind look like images"},
                "defaultConfiguration": {"level": "warning"},
            }],
        }}),
    }
}

fn result(rule: Rule, forbidden: Option<&str>, entry: &Entry, place: &Location) -> Value {
    let finding = &entry.finding;
    let (decision, result, by, reason, would_be) = match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => (Some("rewritten"), Some(result), Some(rule), None, None),
        Some(Verdict::NotRewritten { reason, rule, would_be }) => {
            (Some("not_rewritten"), Some(&finding.image), rule.as_ref(), Some(reason.as_str()), would_be.as_ref())
        }
        None => (None, None, None, None, None),
    };
    json!({
        "ruleId": rule.id(),
        "ruleIndex": rule as usize,
        "level": rule.level(),
        "message": {"text": plain(&message(forbidden, entry, place))},
        "locations": [location(place)],
        "partialFingerprints": {FINGERPRINT: fingerprint(rule, &finding.image, place)},
        "properties": {
            "image": finding.image,
            "registry": finding.registry,
            "repository": finding.repository,
            "use": finding.in_use,
            "decision": decision,
            "result": result,
            "rule": by,
            "reason": reason,
            "would_be": would_be,
            "not_covered": finding.not_covered,
        },
    })
}

/// Returns the message: the image, its place, and its outcome.
fn message(forbidden: Option<&str>, entry: &Entry, place: &Location) -> String {
    let finding = &entry.finding;
    let mut text = format!("{} {}", words::image(&finding.image), at(place));
    if let Some(registry) = forbidden {
        // Writing to a string does not fail.
        let _ = write!(text, " is pulled from {registry}, which is forbidden");
    }
    match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => {
            let _ = write!(text, "; the rules would rewrite it to {result} (rule {rule})");
        }
        Some(Verdict::NotRewritten { reason, rule, would_be: Some(name) }) => {
            let _ = write!(text, "; {}", words::observed(name, *reason, rule.as_deref()));
        }
        Some(Verdict::NotRewritten { reason, rule, would_be: None }) => {
            let _ = write!(text, "; not rewritten ({})", words::reason(*reason, rule.as_deref()));
        }
        None => {}
    }
    if let Some(why) = finding.not_covered {
        let _ = write!(text, "; not covered by the webhook: {}; fix: {}", why.why(), why.reached_by());
    }
    text
}

/// Escapes placeholders and links (SARIF 2.1.0, 3.11.5 and 3.11.6).
fn plain(text: &str) -> String {
    visible(text).chars().fold(String::with_capacity(text.len()), |mut plain, c| {
        match c {
            '{' | '}' => plain.push(c),
            '[' | ']' | '\\' => plain.push('\\'),
            _ => {}
        }
        plain.push(c);
        plain
    })
}

/// Returns `in containers/app of Deployment shop/web`.
fn at(place: &Location) -> String {
    match place {
        Location::Cluster { place: field, .. } | Location::File { place: field, .. } => {
            let object = place.object().map(|object| format!(" of {object}")).unwrap_or_default();
            format!("in {field}{object}")
        }
        Location::Node { node } => format!("on node {node}"),
    }
}

fn location(place: &Location) -> Value {
    let mut location =
        json!({"logicalLocations": [{"fullyQualifiedName": visible(&qualified(place)), "kind": "member"}]});
    if let Location::File { file, line, column, .. } = place
        && let Some(artifact) = artifact(file)
    {
        let region = json!({"startLine": (*line).max(1), "startColumn": (*column).max(1)});
        location["physicalLocation"] = json!({"artifactLocation": artifact, "region": region});
    }
    location
}

/// Returns `apps/v1/Deployment/shop/web/containers/app`.
fn qualified(place: &Location) -> String {
    match place {
        Location::Cluster { api_version, kind, namespace, name, place }
        | Location::File { api_version, kind, namespace, name, place, .. } => {
            [api_version, kind, namespace.as_deref().unwrap_or_default(), name, place].join("/")
        }
        Location::Node { node } => format!("v1/Node//{node}"),
    }
}

/// Returns a URI relative to the working directory of the scan, which code scanning resolves in the repository. `None` for
/// standard input.
fn artifact(file: &str) -> Option<Value> {
    match file {
        "-" => None,
        file if file.starts_with('/') => Some(json!({"uri": format!("file://{}", encoded(file))})),
        file => {
            let file = file.trim_start_matches("./").trim_start_matches('/');
            Some(json!({"uri": encoded(file), "uriBaseId": "%SRCROOT%"}))
        }
    }
}

/// Encodes a path for a URI (RFC 3986).
fn encoded(path: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(path, RESERVED).to_string()
}

/// Returns a fingerprint that does not change when lines move.
fn fingerprint(rule: Rule, image: &str, place: &Location) -> String {
    let file = match place {
        Location::File { file, .. } => file,
        Location::Cluster { .. } | Location::Node { .. } => "",
    };
    let digest = Sha256::digest([rule.id(), image, file, &qualified(place)].join("\0"));
    digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
