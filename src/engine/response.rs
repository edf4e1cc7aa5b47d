//! The AdmissionReview that goes back. Its types are our own: kube 5.0.0 writes the patch as an array of numbers.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::answer::ImageDecision;
use super::decision::{Decision, Reason};
use super::review::{API_VERSION, KIND};
use super::rule::Rule;

/// Characters that the API server's documentation asks a warning not to exceed.
const MAX_WARNING_CHARS: usize = 120;
/// Few are read.
const MAX_WARNINGS: usize = 4;
/// Bytes of one audit annotation; beyond them the decisions that are left are counted.
const MAX_AUDIT_BYTES: usize = 16 << 10;

pub(super) struct Content<'c> {
    pub uid: &'c str,
    pub patch: Option<&'c json_patch::Patch>,
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
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'r [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<Single>,
}

pub(super) fn write(content: &Content) -> Vec<u8> {
    let Content { uid, patch, warnings, decisions } = content;
    let review = Review {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: true,
            patch_type: patch.map(|_| "JSONPatch"),
            patch: patch.map(|patch| BASE64_STANDARD.encode(to_json(patch))),
            warnings,
            audit_annotations: audit_annotation(decisions),
        },
    };
    to_json(&review).into_bytes()
}

#[expect(clippy::expect_used, reason = "strings and maps with string keys always serialise, and a String takes it all")]
fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("serialising to memory")
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

/// What an audit annotation says of an image.
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
}

/// The decisions under a key of their own: a key that is set can't be set again, and reinvocation asks about the same Pod.
fn audit_annotation(decisions: &[ImageDecision]) -> Option<Single> {
    if decisions.is_empty() {
        return None;
    }
    let mut value = String::from("{");
    for (index, ImageDecision { place, image, decision }) in decisions.iter().enumerate() {
        let (from, to) = match decision {
            Decision::Rewrite { result, .. } | Decision::Restore { result } => (Some(&**image), Some(&**result)),
            Decision::Keep { .. } => (None, None),
        };
        let reason = decision.reason().map(Reason::as_str);
        let rule = decision.rule().map(|rule| &*rule.name);
        let entry = [&to_json(&place.to_string()), ":", &to_json(&Audited { from, reason, rule, to })].concat();
        let separator = if index == 0 { "" } else { "," };
        if value.len() + entry.len() > MAX_AUDIT_BYTES {
            value += &format!("{separator}\"more\":{}", decisions.len() - index);
            break;
        }
        value += separator;
        value += &entry;
    }
    value.push('}');
    let key = format!("decisions-{:08x}", crc32fast::hash(value.as_bytes()));
    Some(Single(key, value))
}

/// One line for each rule that rewrote something, in the order of the images.
pub(super) fn warnings(images: &[ImageDecision], problem: Option<&str>) -> Vec<String> {
    let mut counts: Vec<(&Rule, usize)> = Vec::new();
    for image in images {
        let Decision::Rewrite { rule, .. } = &image.decision else { continue };
        match counts.iter_mut().find(|(counted, _)| std::ptr::eq(*counted, *rule)) {
            Some((_, count)) => *count += 1,
            None => counts.push((rule, 1)),
        }
    }
    let problem = problem.map(|problem| format!("pullthrough left this object as it is: {problem}"));
    let rewritten = counts.iter().map(|(rule, count)| {
        let images = if *count == 1 { "image is" } else { "images are" };
        format!("pullthrough: {count} {images} pulled through {} (rule {})", rule.matcher.target(), rule.name)
    });
    let mut lines: Vec<String> = problem.into_iter().chain(rewritten).collect();
    if lines.len() > MAX_WARNINGS {
        let more = lines.len() - (MAX_WARNINGS - 1);
        lines.truncate(MAX_WARNINGS - 1);
        lines.push(format!("pullthrough: {more} more rules rewrote images"));
    }
    lines.iter().map(|line| printable(line)).collect()
}

/// Without control characters, for which the API server drops a warning, and not too long.
fn printable(line: &str) -> String {
    let escaped: String = line
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    match escaped.char_indices().nth(MAX_WARNING_CHARS) {
        None => escaped,
        Some(_) => escaped.chars().take(MAX_WARNING_CHARS - 1).chain(['…']).collect(),
    }
}
