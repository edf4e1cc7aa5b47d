//! The AdmissionReview of an answer. Its types are defined here because kube 5.0.0 writes the patch as an array of numbers.

use std::collections::HashMap;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest as _, Sha256};

use super::decision::{Decision, ImageDecision};
use super::reason::Reason;
use super::review::{API_VERSION, KIND};
use super::rule::{Mode, Rule};

/// Characters that the API server's documentation asks a warning not to exceed.
const MAX_WARNING_CHARS: usize = 120;
/// More warnings would not be read.
const MAX_WARNINGS: usize = 4;
/// Characters of the message of a denial.
const MAX_DENIAL_CHARS: usize = 512;
/// Bytes of one audit annotation. Decisions that do not fit are counted.
const MAX_AUDIT_BYTES: usize = 16 << 10;

/// Bytes of an answer beside its patch: the audit annotation with each quote escaped, warnings, and `uid`.
const MOST_BESIDE_A_PATCH_BYTES: usize = 2 * MAX_AUDIT_BYTES;

pub(super) struct Content<'c> {
    pub uid: &'c str,
    /// JSON.
    pub patch: Option<Vec<u8>>,
    /// Why the request is denied.
    pub denied: Option<String>,
    pub warnings: Vec<String>,
    pub decisions: &'c [ImageDecision<'c>],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'r> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'r>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'r> {
    uid: &'r str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Base64<'r>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'r [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<Single>,
}

/// The status of a denied request, which `kubectl` shows.
#[derive(serde::Serialize)]
struct Status<'r> {
    code: u16,
    reason: &'static str,
    message: &'r str,
}

struct Base64<'r>(&'r [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &BASE64_STANDARD))
    }
}

pub(super) fn write(content: &Content) -> Vec<u8> {
    let Content { uid, patch, denied, warnings, decisions } = content;
    let review = Review {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: denied.is_none(),
            status: denied.as_deref().map(|message| Status { code: 403, reason: "Forbidden", message }),
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch: patch.as_deref().map(Base64),
            warnings,
            audit_annotations: audit_annotation(decisions),
        },
    };
    // A large patch must not be copied by a buffer that doubles.
    let patch_bytes = patch.as_ref().map_or(0, |patch| patch.len().div_ceil(3) * 4);
    let mut body = Vec::with_capacity(patch_bytes + MOST_BESIDE_A_PATCH_BYTES.min(512 + 256 * decisions.len()));
    write_json(&mut body, &review);
    body
}

/// Appends a value.
#[expect(
    clippy::expect_used,
    reason = "strings and maps with string keys always serialise, and writing to a Vec never fails"
)]
pub(super) fn write_json(to: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(to, value).expect("serialising to memory");
}

/// A map of one entry.
struct Single(String, String);

impl Serialize for Single {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.0, &self.1)?;
        map.end()
    }
}

/// The decision about an image in an audit annotation.
#[derive(serde::Serialize)]
struct Audited<'d> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<&'d str>,
}

/// Returns the decisions under a key with their hash: a key can be set once, and a reinvocation has the same Pod.
fn audit_annotation(decisions: &[ImageDecision]) -> Option<Single> {
    if decisions.is_empty() {
        return None;
    }
    let mut value = b"{".to_vec();
    for (index, ImageDecision { place, image, decision }) in decisions.iter().enumerate() {
        let (from, to) = match decision {
            Decision::Rewrite { result, .. } | Decision::Restore { result } => (Some(&**image), Some(&**result)),
            Decision::NotRewritten { would_be: Some(_), .. } => (Some(&**image), None),
            Decision::NotRewritten { would_be: None, .. } => (None, None),
        };
        let reason = decision.reason().map(Reason::as_str);
        let rule = decision.rule().map(|rule| &*rule.name);
        let before = value.len();
        if index > 0 {
            value.push(b',');
        }
        // Names may have any length: they are validated after admission.
        let fits = before + place.name.len() + from.map_or(0, str::len) <= MAX_AUDIT_BYTES;
        if fits {
            write_json(&mut value, &place.to_string());
            value.push(b':');
            write_json(&mut value, &Audited { from, reason, rule, to, would_be: decision.would_be() });
        }
        if !fits || value.len() > MAX_AUDIT_BYTES {
            value.truncate(before);
            let separator = if index == 0 { "" } else { "," };
            value.extend(format!("{separator}\"more\":{}", decisions.len() - index).bytes());
            break;
        }
    }
    value.push(b'}');
    let digest: [u8; 32] = Sha256::digest(&value).into();
    let [a, b, c, d, ..] = digest;
    let key = format!("decisions-{:08x}", u32::from_be_bytes([a, b, c, d]));
    Some(Single(key, String::from_utf8(value).unwrap_or_default()))
}

/// Returns one line for each rule that rewrites images, or would if it enforced, in the order of the images. Images that name
/// a failover have a line of their own.
pub(super) fn warnings(images: &[ImageDecision], problem: Option<&str>) -> Vec<String> {
    let mut counts: Vec<(&Rule, Option<&str>, usize)> = Vec::new();
    let mut positions: HashMap<(*const Rule, Option<usize>), usize> = HashMap::new();
    for image in images {
        let (rule, failover) = match &image.decision {
            Decision::Rewrite { rule, failover, .. } => (*rule, *failover),
            Decision::NotRewritten { reason: Reason::Observed, rule: Some(rule), .. } => (*rule, None),
            Decision::NotRewritten { .. } | Decision::Restore { .. } => continue,
        };
        let position = *positions.entry((std::ptr::from_ref(rule), failover)).or_insert(counts.len());
        match counts.get_mut(position) {
            Some((_, _, count)) => *count += 1,
            None => counts.push((rule, failover.and_then(|_| image.decision.cache()), 1)),
        }
    }
    let problem = problem.map(|problem| format!("pullthrough did not rewrite this object: {problem}"));
    let matched = counts.iter().map(|(rule, failover, count)| {
        let images = match (rule.mode, count) {
            (Mode::Enforce, 1) => "image is",
            (Mode::Enforce, _) => "images are",
            (Mode::Observe, 1) => "image would be",
            (Mode::Observe, _) => "images would be",
        };
        let (cache, note) = match failover {
            Some(cache) => (*cache, ", a failover"),
            None => (rule.matcher.target(), ""),
        };
        format!("pullthrough: {count} {images} pulled through {cache} (rule {}{note})", rule.name)
    });
    let mut lines: Vec<String> = problem.into_iter().chain(matched).take(MAX_WARNINGS).collect();
    if counts.len() > MAX_WARNINGS {
        let more = counts.len() - (MAX_WARNINGS - 1);
        lines.truncate(MAX_WARNINGS - 1);
        lines.push(format!("pullthrough: {more} more rules match images"));
    }
    lines.iter().map(|line| printable(line, MAX_WARNING_CHARS)).collect()
}

/// Returns the message of a denial.
pub(super) fn denial(problem: &str) -> String {
    let line =
        format!("pullthrough can't read this Pod, and the rules deny such Pods (whenNotUnderstood: deny): {problem}");
    printable(&line, MAX_DENIAL_CHARS)
}

/// Returns a line without control characters, for which the API server drops a warning, and cut to a length.
fn printable(line: &str, max_chars: usize) -> String {
    let escaped = line.chars().flat_map(|c| {
        let escape = c.is_control().then(|| c.escape_default());
        let plain = escape.is_none().then_some(c);
        escape.into_iter().flatten().chain(plain)
    });
    let mut text: String = escaped.take(max_chars + 1).collect();
    if let Some((last, _)) = text.char_indices().nth(max_chars) {
        text.truncate(last);
        text.pop();
        text.push('…');
    }
    text
}
