//! Fields that look like images, in places that nothing declares.

use std::collections::HashSet;
use std::sync::Arc;

use super::Object;
use super::found::Found;
use super::pointer::Step;
use super::tree::Id;
use crate::engine::ImageRef;

/// A field that looks like an image, in a place that nothing declares.
#[derive(Debug, Clone)]
pub struct Lookalike {
    /// `kind` is empty if the document is no Kubernetes object.
    pub object: Arc<Object>,
    /// JSONPath to the field, or to the mapping that has the parts of the image.
    pub path: String,
    pub declaration: Option<Declarable>,
    /// The position of the scalar's first character. Line and column count from 1.
    pub line: usize,
    pub column: usize,
    pub image: String,
    /// The text that has the field. Whether it is a manifest is unknown.
    pub in_text: Option<InText>,
}

/// A text with fields that look like images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InText {
    pub holder: Holder,
    /// It was read as documents, as far as it consists of some.
    pub is_read: bool,
}

/// The declaration of a lookalike under `manifests` in the rules file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declarable {
    pub is_split: bool,
    /// The path with `[*]` for every index.
    pub path: String,
    /// The path at any depth.
    pub anywhere: String,
}

/// The holder of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    ConfigMap,
    Secret,
    Annotation,
    /// Another field of an object.
    Field,
    /// A document that is no Kubernetes object, such as a file of a CI system.
    Document,
}

/// A lookalike before its position in the text is known.
#[derive(Debug)]
pub(super) struct Suspect {
    pub object: Arc<Object>,
    pub node: Id,
    pub pointer: String,
    pub path: String,
    pub declaration: Option<Declarable>,
    pub image: String,
}

impl Suspect {
    /// Turns an uncertain image into a lookalike.
    pub fn of(found: Found) -> Option<Self> {
        let Found { object, place, image, slots, .. } = found;
        let slot = slots.into_iter().next()?;
        Some(Self { object, node: slot.node, pointer: slot.pointer, path: place, declaration: None, image })
    }
}

/// Removes lookalikes that were found as images.
pub(super) fn remove_found(suspects: &mut Vec<Suspect>, found: &[Found]) {
    if suspects.is_empty() {
        return;
    }
    let known: HashSet<&str> = found.iter().flat_map(|found| &found.slots).map(|slot| slot.pointer.as_str()).collect();
    let is_known = |suspect: &Suspect| {
        // `repository` and `image` in one mapping can be parts of one name.
        let whole = suspect.pointer.strip_suffix("/image").map(|parent| format!("{parent}/repository"));
        known.contains(suspect.pointer.as_str()) || whole.is_some_and(|whole| known.contains(whole.as_str()))
    };
    suspects.retain(|suspect| !is_known(suspect));
}

/// `image`, `…Image`, `…_image`, `…-image`, in upper case too.
pub(super) fn is_name(key: &str) -> bool {
    let ends = |end: &str, is_start: fn(char) -> bool| {
        key.strip_suffix(end).is_some_and(|start| start.chars().next_back().is_none_or(is_start))
    };
    ends("image", |c| matches!(c, '_' | '-' | '.'))
        || ends("IMAGE", |c| matches!(c, '_' | '-' | '.'))
        || ends("Image", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'))
}

/// The suffixes of file names in fields called `image`. No registry serves them.
const FILES: [&str; 12] =
    [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".iso", ".img", ".qcow2", ".raw", ".vmdk"];

pub(super) fn is_image(text: &str) -> bool {
    let is_file = || FILES.iter().any(|end| text.to_ascii_lowercase().ends_with(end));
    ImageRef::parse(text).is_ok() && !is_file()
}

pub(super) fn path(steps: &[Step]) -> String {
    steps.iter().fold("$".to_owned(), |mut path, step| {
        step.add_to_path(&mut path);
        path
    })
}

pub(super) fn declarable(steps: &[Step], is_split: bool) -> Declarable {
    let pattern = |start: &str, steps: &[Step]| {
        steps.iter().fold(start.to_owned(), |mut path, step| {
            match step {
                Step::Index(_) => path.push_str("[*]"),
                Step::Key(_) => step.add_to_path(&mut path),
            }
            path
        })
    };
    let path = pattern("$", steps);
    let last = steps.iter().rposition(|step| matches!(step, Step::Key(_)));
    let tail = last.map(|last| pattern("$.", &steps[last..])).filter(|tail| tail.starts_with("$.."));
    Declarable { is_split, anywhere: tail.unwrap_or_else(|| path.clone()), path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_others() {
        for name in ["image", "sidecarImage", "base_image", "init-image", "RELATED_IMAGE", "IMAGE", "v2Image", "Image"]
        {
            assert!(is_name(name), "{name}");
        }
        for name in ["images", "imageTag", "imagePullPolicy", "pilgrimage", "imageRepository", "MYIMAGE", "", "x image"]
        {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn images_are_told_from_files_and_texts() {
        for text in [
            "nginx",
            "nginx:1.29",
            "quay.io/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(is_image(text), "{text}");
        }
        for text in [
            "",
            "a.PNG",
            "https://example.com/a",
            "two words",
            "Ubuntu",
            "{{ .image }}",
            "$(params.image)",
            "disk.qcow2",
        ] {
            assert!(!is_image(text), "{text}");
        }
    }
}
