//! The JSON patch (RFC 6902): it replaces image strings. On CREATE it adds pull secrets and the originals' annotation.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::bounds::MAX_PATCH_BYTES;
use super::decision::{Decision, ImageDecision};
use super::json::{Fault, Raw, Read, Reader, Text, parse, push_string};
use super::pod::{Annotations, ORIGINALS_ANNOTATION, Place, Pod};
use super::policy::Policy;

/// Bytes of all annotations of an object; the API server rejects more (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS_BYTES: usize = 256 << 10;
/// Bytes of the operation that replaces an image, at most, without the image.
const REPLACE_BYTES: usize = 71;
/// Bytes of an operation that adds something, at most, without its value.
const ADD_BYTES: usize = 128;

/// The parts of a Pod that a patch may add to.
pub(super) struct Additions<'a> {
    policy: &'a Policy,
    has_metadata: bool,
    annotations: Option<Annotations<'a>>,
    /// The list, if the Pod has one.
    pull_secrets: Option<Raw<'a>>,
}

impl<'a> Additions<'a> {
    pub fn new(policy: &'a Policy, pod: &Pod<'a>) -> Self {
        Self {
            policy,
            has_metadata: pod.metadata.is_some(),
            annotations: pod.metadata.as_ref().and_then(|metadata| metadata.annotations.clone()),
            pull_secrets: pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.clone()),
        }
    }
}

/// The operations of a patch.
pub(super) struct Patch<'a> {
    originals: Option<Originals>,
    pull_secrets: PullSecrets<'a>,
    most_bytes: usize,
}

/// The annotation with the references as written.
struct Originals {
    /// JSON.
    value: String,
    /// The nearest object that the Pod has.
    parent: Parent,
}

enum Parent {
    Pod,
    Metadata,
    Annotations,
}

/// The names of Secrets that the Pod lacks.
#[derive(Default)]
struct PullSecrets<'a> {
    names: Vec<&'a str>,
    has_list: bool,
}

/// The problem of a patch beyond [`MAX_PATCH_BYTES`].
pub(super) const TOO_LARGE: &str = "the patch would be larger than the API server could store";

/// Returns the bytes of the operation that replaces an image.
pub(super) const fn replace_bytes(result: &str) -> usize {
    REPLACE_BYTES + result.len()
}

/// Returns the images that a patch replaces, with their results.
fn replaced<'i>(images: &'i [ImageDecision]) -> impl Iterator<Item = (&'i Place<'i>, &'i str)> {
    images.iter().filter_map(|image| match &image.decision {
        Decision::Rewrite { result, .. } | Decision::Restore { result } => Some((&image.place, result.as_str())),
        Decision::NotRewritten { .. } => None,
    })
}

impl<'a> Patch<'a> {
    /// Returns the patch for decisions; `None` if no image is replaced.
    ///
    /// # Errors
    ///
    /// Returns an error if a part of the Pod that it adds to is unreadable, or the patch is too large.
    pub fn new(images: &[ImageDecision<'a>], additions: Option<Additions<'a>>) -> Result<Option<Self>, String> {
        let mut most_bytes: usize = replaced(images).map(|(_, result)| replace_bytes(result)).sum();
        if most_bytes == 0 {
            return Ok(None);
        }
        let (mut originals, mut pull_secrets) = (None, PullSecrets::default());
        if let Some(additions) = additions {
            originals = additions.originals(images)?;
            pull_secrets = additions.pull_secrets(images)?;
        }
        most_bytes += originals.as_ref().map_or(0, |originals| ADD_BYTES + 2 * originals.value.len());
        most_bytes += pull_secrets.names.iter().map(|name| ADD_BYTES + name.len()).sum::<usize>();
        if most_bytes > MAX_PATCH_BYTES {
            return Err(TOO_LARGE.to_owned());
        }
        Ok(Some(Self { originals, pull_secrets, most_bytes }))
    }

    /// Returns the bytes of the patch, or more.
    pub fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// Appends the patch, in JSON.
    pub fn write(&self, images: &[ImageDecision], to: &mut Vec<u8>) {
        let mut separator = b'[';
        let mut operation = |to: &mut Vec<u8>, start: &str| {
            to.push(std::mem::replace(&mut separator, b','));
            to.extend_from_slice(start.as_bytes());
        };
        for (place, result) in replaced(images) {
            operation(to, r#"{"op":"replace","path":""#);
            place.push_pointer(to);
            to.extend_from_slice(br#"","value":"#);
            push_string(to, result);
            to.push(b'}');
        }
        if let Some(Originals { value, parent }) = &self.originals {
            let entry = |to: &mut Vec<u8>| {
                to.push(b'{');
                push_string(to, ORIGINALS_ANNOTATION);
                to.push(b':');
                push_string(to, value);
                to.push(b'}');
            };
            match parent {
                Parent::Annotations => {
                    operation(to, r#"{"op":"add","path":"/metadata/annotations/"#);
                    to.extend_from_slice(ORIGINALS_ANNOTATION.replace('/', "~1").as_bytes());
                    to.extend_from_slice(br#"","value":"#);
                    push_string(to, value);
                }
                Parent::Metadata => {
                    operation(to, r#"{"op":"add","path":"/metadata/annotations","value":"#);
                    entry(to);
                }
                Parent::Pod => {
                    operation(to, r#"{"op":"add","path":"/metadata","value":{"annotations":"#);
                    entry(to);
                    to.push(b'}');
                }
            }
            to.push(b'}');
        }
        let PullSecrets { names, has_list } = &self.pull_secrets;
        for (at, name) in names.iter().enumerate() {
            match (has_list, at) {
                (true, _) => operation(to, r#"{"op":"add","path":"/spec/imagePullSecrets/-","value":{"name":"#),
                (false, 0) => operation(to, r#"{"op":"add","path":"/spec/imagePullSecrets","value":[{"name":"#),
                (false, _) => to.extend_from_slice(br#",{"name":"#),
            }
            push_string(to, name);
            to.extend_from_slice(if *has_list { b"}}" } else { b"}" });
        }
        if !has_list && !names.is_empty() {
            to.extend_from_slice(b"]}");
        }
        to.push(b']');
    }
}

/// The value of the annotation from an earlier round of the same admission, by place.
#[derive(Default)]
struct Earlier<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Read<'a> for Earlier<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut earlier = Self::default();
        reader.object(|key, reader| {
            earlier.0.insert(key.decoded(), reader.string()?.decoded());
            Ok(())
        })?;
        Ok(earlier)
    }
}

impl<'a> Additions<'a> {
    /// Returns the annotation; `None` if it does not fit beside the existing annotations, or the rules do not want it.
    fn originals(&self, images: &[ImageDecision]) -> Result<Option<Originals>, String> {
        if !self.policy.settings().record_originals {
            return Ok(None);
        }
        let annotations_bytes = self.annotations.as_ref().map_or(Ok(0), Annotations::total_bytes);
        let annotations_bytes =
            annotations_bytes.map_err(|error| format!("the Pod's annotations can't be read: {error}"))?;
        let parent = match (self.has_metadata, &self.annotations) {
            (_, Some(_)) => Parent::Annotations,
            (true, None) => Parent::Metadata,
            (false, None) => Parent::Pod,
        };
        Ok(self.originals_value(images, annotations_bytes).map(|value| Originals { value, parent }))
    }

    fn originals_value(&self, images: &[ImageDecision], annotations_bytes: usize) -> Option<String> {
        let mut left = MAX_ANNOTATIONS_BYTES.checked_sub(annotations_bytes + ORIGINALS_ANNOTATION.len())?;
        let earlier = self.annotations.as_ref().and_then(|annotations| annotations.originals);
        let earlier = earlier.map(|earlier| earlier.decoded());
        let Earlier(mut originals) = match &earlier {
            // A value of another origin is not replaced.
            Some(earlier) => parse(earlier).ok()?,
            None => Earlier::default(),
        };
        for image in images.iter().filter(|image| matches!(image.decision, Decision::Rewrite { .. })) {
            left = left.checked_sub(image.place.name.len() + image.image.len())?;
            originals.insert(image.place.to_string().into(), Cow::Borrowed(&image.image));
        }
        let value = serde_json::to_string(&originals).ok()?;
        (annotations_bytes + ORIGINALS_ANNOTATION.len() + value.len() <= MAX_ANNOTATIONS_BYTES).then_some(value)
    }

    /// Returns the pull secrets of the rules that the Pod lacks, in the order of its images. Its list is read once.
    fn pull_secrets(&self, images: &[ImageDecision<'a>]) -> Result<PullSecrets<'a>, String> {
        let rules = images.iter().filter_map(|image| match image.decision {
            Decision::Rewrite { rule, .. } if !rule.image_pull_secrets.is_empty() => Some(rule),
            _ => None,
        });
        let (mut known, mut missing) = (HashSet::new(), HashSet::new());
        let rules = rules.filter(|rule| known.insert(std::ptr::from_ref(*rule)));
        let mut names: Vec<&str> = rules.flat_map(|rule| &rule.image_pull_secrets).map(String::as_str).collect();
        names.retain(|name| missing.insert(*name));
        if let Some(present) = self.pull_secrets.as_ref().filter(|_| !names.is_empty()) {
            let present = present.read_with(|reader| {
                reader.list(|reader| {
                    let mut name: Option<Text> = None;
                    reader.object(|key, reader| match &*key.key() {
                        "name" => {
                            name = Read::read(reader)?;
                            Ok(())
                        }
                        _ => reader.skip(),
                    })?;
                    missing.remove(name.as_deref().unwrap_or_default());
                    Ok(())
                })
            });
            present.map_err(|error| format!("the Pod's imagePullSecrets can't be read: {error}"))?;
            names.retain(|name| missing.contains(name));
        }
        Ok(PullSecrets { names, has_list: self.pull_secrets.is_some() })
    }
}
