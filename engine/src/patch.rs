//! The JSON patch (RFC 6902): it replaces image strings. On CREATE it adds pull secrets and the originals' annotation.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::bounds::MAX_PATCH_BYTES;
use super::decision::{Decision, ImageDecision};
use super::json::{Each, Quoted};
use super::pod::{LocalObjectReference, ORIGINALS_ANNOTATION, Pod};
use super::policy::Policy;
use super::response::write_json;

/// Bytes of all annotations of an object; the API server rejects more (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;
/// Bytes of the operation that replaces an image, at most, without the image.
const REPLACE_BYTES: usize = 71;

/// The parts of a Pod that a patch may add to.
pub(super) struct Additions<'a> {
    policy: &'a Policy,
    has_metadata: bool,
    has_annotations: bool,
    annotations_bytes: usize,
    /// The annotation of an earlier round of the same admission.
    originals: Option<Quoted<'a>>,
    /// The list, if the Pod has one.
    pull_secrets: Option<&'a RawValue>,
}

impl<'a> Additions<'a> {
    pub fn new(policy: &'a Policy, pod: &Pod<'a>) -> Self {
        let metadata = pod.metadata.as_ref();
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        Self {
            policy,
            has_metadata: metadata.is_some(),
            has_annotations: annotations.is_some(),
            annotations_bytes: annotations.map_or(0, |annotations| annotations.total_bytes),
            originals: annotations.and_then(|annotations| annotations.originals),
            pull_secrets: pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets),
        }
    }
}

#[derive(Serialize)]
struct Operation<'o, V> {
    op: &'static str,
    path: &'o str,
    value: V,
}

/// A patch in JSON, without its last bracket.
struct Patch {
    json: Vec<u8>,
}

impl Patch {
    fn push(&mut self, op: &'static str, path: &str, value: impl Serialize) {
        self.json.push(if self.json.is_empty() { b'[' } else { b',' });
        write_json(&mut self.json, &Operation { op, path, value });
    }
}

/// Returns the patch in JSON; `None` if no image is rewritten.
///
/// # Errors
///
/// Returns an error if the Pod's list of pull secrets is unreadable, or the patch is too large.
pub(super) fn write(images: &[ImageDecision], additions: Option<Additions>) -> Result<Option<Vec<u8>>, String> {
    let results = || {
        images.iter().filter_map(|image| match &image.decision {
            Decision::Rewrite { result, .. } | Decision::Restore { result } => Some((&image.place, result)),
            Decision::NotRewritten { .. } => None,
        })
    };
    // One allocation instead of a buffer that doubles.
    let bytes: usize = results().map(|(_, result)| replace_bytes(result)).sum();
    let mut patch = Patch { json: Vec::with_capacity(bytes) };
    for (place, result) in results() {
        patch.push("replace", &place.pointer(), result);
    }
    if patch.json.is_empty() {
        return Ok(None);
    }
    if let Some(additions) = additions {
        additions.originals(images, &mut patch);
        additions.pull_secrets(images, &mut patch)?;
    }
    patch.json.push(b']');
    if patch.json.len() > MAX_PATCH_BYTES { Err(TOO_LARGE.to_owned()) } else { Ok(Some(patch.json)) }
}

/// The problem of a patch beyond [`MAX_PATCH_BYTES`].
pub(super) const TOO_LARGE: &str = "the patch would be larger than the API server could store";

/// Returns the bytes of the operation that replaces an image.
pub(super) const fn replace_bytes(result: &str) -> usize {
    REPLACE_BYTES + result.len()
}

impl Additions<'_> {
    fn originals(&self, images: &[ImageDecision], patch: &mut Patch) {
        if let Some(value) = self.originals_value(images) {
            let entry = || BTreeMap::from([(ORIGINALS_ANNOTATION, &value)]);
            match (self.has_metadata, self.has_annotations) {
                (_, true) => patch.push(
                    "add",
                    &format!("/metadata/annotations/{}", ORIGINALS_ANNOTATION.replace('/', "~1")),
                    &value,
                ),
                (true, false) => patch.push("add", "/metadata/annotations", entry()),
                (false, false) => patch.push("add", "/metadata", BTreeMap::from([("annotations", entry())])),
            }
        }
    }

    /// Returns the value of the annotation; `None` if it does not fit beside the existing annotations.
    fn originals_value(&self, images: &[ImageDecision]) -> Option<String> {
        if !self.policy.settings().record_originals {
            return None;
        }
        let mut left = MAX_ANNOTATIONS_BYTES.checked_sub(self.annotations_bytes + ORIGINALS_ANNOTATION.len())?;
        let mut originals: BTreeMap<Cow<str>, Cow<str>> = match &self.originals {
            // A value of another origin is not replaced.
            Some(earlier) => serde_json::from_str(&earlier.decoded()).ok()?,
            None => BTreeMap::new(),
        };
        for image in images.iter().filter(|image| matches!(image.decision, Decision::Rewrite { .. })) {
            left = left.checked_sub(image.place.name.len() + image.image.len())?;
            originals.insert(image.place.to_string().into(), Cow::Borrowed(&image.image));
        }
        let value = serde_json::to_string(&originals).ok()?;
        (self.annotations_bytes + ORIGINALS_ANNOTATION.len() + value.len() <= MAX_ANNOTATIONS_BYTES).then_some(value)
    }

    /// Adds the pull secrets of the rules that the Pod lacks, in the order of its images. Its list is read once.
    fn pull_secrets(&self, images: &[ImageDecision], patch: &mut Patch) -> Result<(), String> {
        let mut rules = HashSet::new();
        let rules = images.iter().filter_map(|image| match &image.decision {
            Decision::Rewrite { rule, .. } => Some(*rule).filter(|rule| rules.insert(std::ptr::from_ref(*rule))),
            _ => None,
        });
        let mut missing = HashSet::new();
        let mut wanted: Vec<&str> = rules.flat_map(|rule| &rule.image_pull_secrets).map(String::as_str).collect();
        wanted.retain(|name| missing.insert(*name));
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(present) = self.pull_secrets {
            let walk = Each::new(|secret: LocalObjectReference| {
                missing.remove(secret.name.as_deref().unwrap_or_default());
                Ok(())
            });
            walk.deserialize(&mut serde_json::Deserializer::from_str(present.get()))
                .map_err(|error| format!("the Pod's imagePullSecrets can't be read: {error}"))?;
        }
        wanted.retain(|name| missing.contains(name));
        let references: Vec<_> = wanted.iter().map(|name| BTreeMap::from([("name", name)])).collect();
        match self.pull_secrets {
            _ if wanted.is_empty() => {}
            None => patch.push("add", "/spec/imagePullSecrets", references),
            Some(_) => references.iter().for_each(|secret| patch.push("add", "/spec/imagePullSecrets/-", secret)),
        }
        Ok(())
    }
}
