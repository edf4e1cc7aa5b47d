//! The JSON patch (RFC 6902): image strings are replaced, and on CREATE what a rule asks for is added beside them.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, ReplaceOperation};
use serde_json::Value;

use super::answer::ImageDecision;
use super::decision::Decision;
use super::pod::{ORIGINALS_ANNOTATION, Pod};
use super::policy::Policy;

/// Bytes of all annotations of an object; the API server refuses more (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;

/// What a Pod had before, where something may be added to it.
pub(super) struct Additions<'a> {
    policy: &'a Policy,
    has_metadata: bool,
    has_annotations: bool,
    annotations_bytes: usize,
    /// The annotation of an earlier round of the same admission.
    originals: Option<String>,
    /// Names; nothing where the Pod has no list.
    pull_secrets: Option<Vec<String>>,
}

impl<'a> Additions<'a> {
    pub fn new(policy: &'a Policy, pod: &Pod) -> Self {
        let metadata = pod.metadata.as_ref();
        let annotations = metadata.and_then(|metadata| metadata.annotations.as_ref());
        let pull_secrets = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        Self {
            policy,
            has_metadata: metadata.is_some(),
            has_annotations: annotations.is_some(),
            annotations_bytes: annotations.map_or(0, |annotations| annotations.total_bytes),
            originals: annotations.and_then(|annotations| annotations.originals.as_deref()).map(str::to_owned),
            pull_secrets: pull_secrets.map(|secrets| {
                secrets.0.iter().map(|secret| secret.name.as_deref().unwrap_or_default().to_owned()).collect()
            }),
        }
    }
}

/// Empty where no image is rewritten.
pub(super) fn write(images: &[ImageDecision], additions: Option<Additions>) -> Patch {
    let mut operations: Vec<PatchOperation> = images
        .iter()
        .filter_map(|image| match &image.decision {
            Decision::Rewrite { result, .. } | Decision::Restore { result } => {
                Some(PatchOperation::Replace(ReplaceOperation {
                    path: image.place.pointer(),
                    value: Value::String(result.clone()),
                }))
            }
            Decision::Keep { .. } => None,
        })
        .collect();
    if let Some(additions) = additions.filter(|_| !operations.is_empty()) {
        operations.extend(additions.originals(images));
        operations.extend(additions.pull_secrets(images));
    }
    Patch(operations)
}

impl Additions<'_> {
    fn originals(&self, images: &[ImageDecision]) -> Option<PatchOperation> {
        if !self.policy.settings().record_originals {
            return None;
        }
        let mut originals: BTreeMap<String, String> = match self.originals.as_deref() {
            // Somebody else's value under this name is not ours to replace.
            Some(earlier) => serde_json::from_str(earlier).ok()?,
            None => BTreeMap::new(),
        };
        for image in images.iter().filter(|image| matches!(image.decision, Decision::Rewrite { .. })) {
            originals.insert(image.place.to_string(), image.image.clone().into_owned());
        }
        let value = serde_json::to_string(&originals).ok()?;
        if self.annotations_bytes + ORIGINALS_ANNOTATION.len() + value.len() > MAX_ANNOTATIONS_BYTES {
            return None;
        }
        let entry = serde_json::json!({ ORIGINALS_ANNOTATION: value });
        Some(match (self.has_metadata, self.has_annotations) {
            (_, true) => add(["metadata", "annotations", ORIGINALS_ANNOTATION], Value::String(value)),
            (true, false) => add(["metadata", "annotations"], entry),
            (false, false) => add(["metadata"], serde_json::json!({ "annotations": entry })),
        })
    }

    fn pull_secrets(&self, images: &[ImageDecision]) -> Vec<PatchOperation> {
        let present = self.pull_secrets.as_deref().unwrap_or_default();
        let mut missing: Vec<&str> = Vec::new();
        for image in images {
            let Decision::Rewrite { rule, .. } = &image.decision else { continue };
            for secret in &rule.image_pull_secrets {
                if !present.contains(secret) && !missing.contains(&secret.as_str()) {
                    missing.push(secret);
                }
            }
        }
        let reference = |name: &str| serde_json::json!({ "name": name });
        match (&self.pull_secrets, missing.is_empty()) {
            (_, true) => Vec::new(),
            (None, _) => vec![add(["spec", "imagePullSecrets"], missing.into_iter().map(reference).collect())],
            (Some(_), _) => {
                missing.into_iter().map(|name| add(["spec", "imagePullSecrets", "-"], reference(name))).collect()
            }
        }
    }
}

fn add<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: PointerBuf::from_tokens(path), value })
}
