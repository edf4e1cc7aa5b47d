//! SARIF 2.1.0, for code scanning.

use std::fmt::{self, Display, Write};
use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::words::{self, visible};
use crate::scan::{Entry, Outcome, Place, Report, Verdict};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Its last part grows when what goes into a fingerprint changes.
const FINGERPRINT: &str = "imageAtPlace/v1";
const UNSEEN: &str = "unseen";
const UNKNOWN: &str = "unknown-kind";

/// What a result is an instance of.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Forbidden,
    Rewritable,
    OutOfReach,
    LeftAlone,
}

impl Rule {
    const ALL: [Self; 4] = [Self::Forbidden, Self::Rewritable, Self::OutOfReach, Self::LeftAlone];

    /// Nothing for what is as it should be, and for what nobody gave rules for.
    fn of(entry: &Entry, is_forbidden: bool) -> Option<Self> {
        match Outcome::of(&entry.finding) {
            _ if is_forbidden => Some(Self::Forbidden),
            Outcome::Rewritten => Some(Self::Rewritable),
            Outcome::OutOfReach => Some(Self::OutOfReach),
            Outcome::LeftAlone => Some(Self::LeftAlone),
            Outcome::Cached | Outcome::Undecided => None,
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden-registry",
            Self::Rewritable => "rewritable",
            Self::OutOfReach => "out-of-reach",
            Self::LeftAlone => "left-alone",
        }
    }

    const fn level(self) -> &'static str {
        match self {
            Self::Forbidden => "error",
            Self::Rewritable => "warning",
            Self::OutOfReach | Self::LeftAlone => "note",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Forbidden => "Image from a forbidden registry",
            Self::Rewritable => "Image from an upstream that has a cache",
            Self::OutOfReach => "Image that no webhook can rewrite",
            Self::LeftAlone => "Image that the rules leave alone",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Forbidden => "The image is pulled from a registry that `--fail-on` names.",
            Self::Rewritable => {
                "The image names an upstream, and the rules would send it through the organisation's cache."
            }
            Self::OutOfReach => "The image is pulled where the API server does not call the webhook.",
            Self::LeftAlone => "The image is not pulled through the cache, and the rules do not change that.",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Forbidden => {
                "Name the image as the cache has it: `pullthrough rewrite -w` does that where a rule matches. Otherwise \
                 add a rule for the registry, or take the image from elsewhere."
            }
            Self::Rewritable => {
                "Write what the message names, or let `pullthrough rewrite -w` do it. Where the webhook is \
                 installed, Pods are pulled through the cache in any case; the manifest only does not say so."
            }
            Self::OutOfReach => {
                "Give the nodes a mirror of the registry, or write the cache's name where the image is named; \
                 the message says which."
            }
            Self::LeftAlone => {
                "The message gives the reason. Nothing is to be done if it is meant; otherwise change the rules, and \
                 see `pullthrough explain`."
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

/// One log with one run. The report should keep all places.
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

/// They are made while they are written: there can be hundreds of thousands.
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

/// Writes what is UTF-8.
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
        .unseen
        .iter()
        .map(|unseen| {
            let text = format!("{}: {}; {}", unseen.what, unseen.why, unseen.cure);
            json!({"level": "error", "message": {"text": plain(&text)}, "descriptor": {"id": UNSEEN, "index": 0}})
        })
        .chain(report.unknowns.shown().0.into_iter().map(|(subject, unknown)| {
            let (size, places) = (unknown.size(subject), unknown.whereabouts());
            let text = format!("{subject}: {size}: {places}; {}", words::cure(subject, unknown).1);
            json!({"level": "warning", "message": {"text": plain(&text)}, "descriptor": {"id": UNKNOWN, "index": 1}})
        }))
        .collect();
    Run {
        column_kind: "unicodeCodePoints",
        invocations: json!([{
            "executionSuccessful": report.unseen.is_empty(),
            "toolExecutionNotifications": notifications,
        }]),
        results: Results(report),
        tool: json!({"driver": {
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": Rule::ALL.map(Rule::descriptor),
            "notifications": [{
                "id": UNSEEN,
                "shortDescription": {"text": "Something could not be looked at"},
                "defaultConfiguration": {"level": "error"},
            }, {
                "id": UNKNOWN,
                "shortDescription": {"text": "Fields of a kind that is not known look like images"},
                "defaultConfiguration": {"level": "warning"},
            }],
        }}),
    }
}

fn result(rule: Rule, forbidden: Option<&str>, entry: &Entry, place: &Place) -> Value {
    let finding = &entry.finding;
    let (decision, result, by, reason) = match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => (Some("rewrite"), Some(result), Some(rule), None),
        Some(Verdict::Keep { reason, rule }) => {
            (Some("keep"), Some(&finding.image), rule.as_ref(), Some(reason.as_str()))
        }
        None => (None, None, None, None),
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
            "out_of_reach": finding.out_of_reach,
        },
    })
}

/// The image, where it is, and what becomes of it.
fn message(forbidden: Option<&str>, entry: &Entry, place: &Place) -> String {
    let finding = &entry.finding;
    let mut text = format!("{} {}", words::image(&finding.image), at(place));
    if let Some(registry) = forbidden {
        // Writing to a string does not fail.
        let _ = write!(text, " is pulled from {registry}, which is forbidden");
    }
    match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => {
            let _ = write!(text, "; by the rules it would be {result} (rule {rule})");
        }
        Some(Verdict::Keep { reason, rule }) => {
            let _ = write!(text, "; the rules leave it alone ({})", words::reason(*reason, rule.as_deref()));
        }
        None => {}
    }
    if let Some(why) = finding.out_of_reach {
        let _ = write!(text, "; no webhook sees it, since {}; what reaches it: {}", why.why(), why.reached_by());
    }
    text
}

/// Text without placeholders and links (SARIF 2.1.0, 3.11.5 and 3.11.6).
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

/// `in containers/app of Deployment shop/web`.
fn at(place: &Place) -> String {
    match place {
        Place::Cluster { place: field, .. } | Place::File { place: field, .. } => {
            let object = place.object().map(|object| format!(" of {object}")).unwrap_or_default();
            format!("in {field}{object}")
        }
        Place::Node { node } => format!("on node {node}"),
    }
}

fn location(place: &Place) -> Value {
    let mut location =
        json!({"logicalLocations": [{"fullyQualifiedName": visible(&qualified(place)), "kind": "member"}]});
    if let Place::File { file, line, column, .. } = place
        && let Some(artifact) = artifact(file)
    {
        let region = json!({"startLine": (*line).max(1), "startColumn": (*column).max(1)});
        location["physicalLocation"] = json!({"artifactLocation": artifact, "region": region});
    }
    location
}

/// `apps/v1/Deployment/shop/web/containers/app`.
fn qualified(place: &Place) -> String {
    match place {
        Place::Cluster { api_version, kind, namespace, name, place }
        | Place::File { api_version, kind, namespace, name, place, .. } => {
            [api_version, kind, namespace.as_deref().unwrap_or_default(), name, place].join("/")
        }
        Place::Node { node } => format!("v1/Node//{node}"),
    }
}

/// Relative to where the scan ran, so that a repository's files are found in it; nothing for standard input.
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

/// A path as a URI has it (RFC 3986).
fn encoded(path: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(path, RESERVED).to_string()
}

/// The same when lines move.
fn fingerprint(rule: Rule, image: &str, place: &Place) -> String {
    let file = match place {
        Place::File { file, .. } => file,
        Place::Cluster { .. } | Place::Node { .. } => "",
    };
    let digest = Sha256::digest([rule.id(), image, file, &qualified(place)].join("\0"));
    digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
