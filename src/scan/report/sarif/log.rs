//! What the SARIF logs of commands share: the skeleton, places, fingerprints, and texts without markup.

use std::fmt::{self, Write};
use std::io;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scan::report::words;
use crate::scan::{Location, Skipped, Unknowns};
use crate::words::visible;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Increment the last part when the input of a fingerprint changes.
const FINGERPRINT: &str = "imageAtPlace/v1";
const SKIPPED: &str = "skipped";
const UNKNOWN: &str = "unknown-kind";

/// A rule that results name.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub id: &'static str,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// Markdown. Backticks are the only markup.
    pub help: &'static str,
}

impl Rule {
    fn descriptor(&self) -> Value {
        let Self { id, level, title, description, help } = self;
        json!({
            "id": id,
            "shortDescription": {"text": title},
            "fullDescription": {"text": description},
            "help": {"text": help.replace('`', "'"), "markdown": help},
            "defaultConfiguration": {"level": level},
            "properties": {"tags": ["containers", "supply-chain"], "precision": "very-high"},
        })
    }
}

/// An image at a place, which is a result of a rule.
pub struct ImageAtPlace<'f> {
    pub rule: Rule,
    /// The position of the rule among those of the log.
    pub rule_index: usize,
    pub image: &'f str,
    pub place: &'f Location,
    pub message: &'f str,
    pub properties: Value,
}

impl ImageAtPlace<'_> {
    pub fn result(self) -> Value {
        let Self { rule, rule_index, image, place, message, properties } = self;
        json!({
            "ruleId": rule.id,
            "ruleIndex": rule_index,
            "level": rule.level,
            "message": {"text": plain(message)},
            "locations": [location(place)],
            "partialFingerprints": {FINGERPRINT: fingerprint(rule, image, place)},
            "properties": properties,
        })
    }
}

/// What a run was about.
pub struct Inputs<'i> {
    pub rules: &'i [Rule],
    pub skipped: &'i [Skipped],
    pub unknowns: &'i Unknowns,
}

/// Writes one log with one run. Results are created while they are written: there can be hundreds of thousands.
pub fn write<I: Iterator<Item = Value>>(
    f: &mut fmt::Formatter,
    inputs: &Inputs,
    results: impl Fn() -> I,
) -> fmt::Result {
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run(inputs, Results(results))] };
    serde_json::to_writer_pretty(Text(f), &log).map_err(|_| fmt::Error)?;
    f.write_char('\n')
}

#[derive(Serialize)]
struct Log<R: Serialize> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    runs: [Run<R>; 1],
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<R: Serialize> {
    column_kind: &'static str,
    invocations: Value,
    results: R,
    tool: Value,
}

struct Results<F>(F);

impl<I: Iterator<Item = Value>, F: Fn() -> I> Serialize for Results<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
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

fn run<R: Serialize>(inputs: &Inputs, results: R) -> Run<R> {
    let Inputs { rules, skipped, unknowns } = inputs;
    let notifications: Vec<Value> = skipped
        .iter()
        .map(|skipped| {
            let text = format!("{}: {}; {}", skipped.what, skipped.why, skipped.fix);
            json!({"level": "error", "message": {"text": plain(&text)}, "descriptor": {"id": SKIPPED, "index": 0}})
        })
        .chain(unknowns.shown().0.into_iter().map(|(subject, unknown)| {
            let (size, places) = (unknown.size(subject), unknown.whereabouts());
            let text = format!("{subject}: {size}: {places}; {}", words::fix(subject, unknown).1);
            json!({"level": "warning", "message": {"text": plain(&text)}, "descriptor": {"id": UNKNOWN, "index": 1}})
        }))
        .collect();
    Run {
        column_kind: "unicodeCodePoints",
        invocations: json!([{
            "executionSuccessful": skipped.is_empty(),
            "toolExecutionNotifications": notifications,
        }]),
        results,
        tool: json!({"driver": {
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules.iter().map(Rule::descriptor).collect::<Vec<_>>(),
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

/// Returns `in containers/app of Deployment shop/web`, or `in images.txt:3` for a list.
pub fn at(place: &Location) -> String {
    match place {
        Location::File { place: field, .. } if field.is_empty() => format!("in {place}"),
        Location::Cluster { place: field, .. } | Location::File { place: field, .. } => {
            let object = place.object().map(|object| format!(" of {object}")).unwrap_or_default();
            format!("in {field}{object}")
        }
        Location::Node { node } => format!("on node {node}"),
    }
}

fn location(place: &Location) -> Value {
    let mut location = json!({});
    let qualified = qualified(place);
    // A list of images has lines alone.
    if qualified.contains(|c| c != '/') {
        location["logicalLocations"] = json!([{"fullyQualifiedName": visible(&qualified), "kind": "member"}]);
    }
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
    let digest = Sha256::digest([rule.id, image, file, &qualified(place)].join("\0"));
    digest.iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
