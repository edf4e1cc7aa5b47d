//! Objects of kinds that are not known: their container lists, and other fields that look like images.

use std::collections::HashSet;
use std::sync::Arc;

use super::declared::{Extra, split_image};
use super::found::Found;
use super::objects::Header;
use super::path::Hit;
use super::pointer::{Step, below};
use super::texts::Holder;
use super::tree::{Content, Document, Entry, Id};
use super::{Object, pods};
use crate::engine::{Entries, ImageRef, List};

/// A field that looks like an image, where nothing says that it is one.
#[derive(Debug, Clone)]
pub struct Lookalike {
    /// Without `kind` where the document is no Kubernetes object.
    pub object: Arc<Object>,
    /// JSONPath to the field, or to the mapping that the image is split over.
    pub path: String,
    pub declaration: Option<Declarable>,
    /// Of the scalar's first character; both count from 1.
    pub line: usize,
    pub column: usize,
    pub image: String,
    /// Where it is in a text, of which it is not known whether it is a manifest.
    pub in_text: Option<InText>,
}

/// A text with fields that look like images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InText {
    pub holder: Holder,
    /// It was read as documents of its own, as far as it consists of some.
    pub is_read: bool,
}

/// How a rules file declares a lookalike under `manifests`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declarable {
    pub is_split: bool,
    /// The path with `[*]` for every position.
    pub path: String,
    /// The same at any depth.
    pub anywhere: String,
}

/// A lookalike before its place in the text is known.
#[derive(Debug)]
pub(super) struct Suspect {
    pub object: Arc<Object>,
    pub node: Id,
    pub pointer: String,
    pub path: String,
    pub declaration: Option<Declarable>,
    pub image: String,
}

/// What is known of a kind without looking into its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Every image in it stands in a PodSpec.
    Workload,
    /// Fields in it describe or match images, or are free text: none of them is pulled.
    NoImages,
    /// The file is about pullthrough itself, and no manifest.
    Own,
    Unknown,
}

impl Class {
    pub fn of(header: &Header) -> Self {
        let (group, kind) = (header.group(), header.kind.as_str());
        let is_below =
            |domain: &str| group.strip_suffix(domain).is_some_and(|start| start.is_empty() || start.ends_with('.'));
        match kind {
            _ if group == "pullthrough.dev" => Self::Own,
            _ if pods::path(group, kind).is_some() => Self::Workload,
            "ConfigMap" | "Secret" if group.is_empty() => Self::NoImages,
            // Whose tags Flux looks for.
            "ImageRepository" | "ImagePolicy" | "ImageUpdateAutomation" if group == "image.toolkit.fluxcd.io" => {
                Self::NoImages
            }
            // A revision that is kept can't be changed.
            "ControllerRevision" if group == "apps" => Self::NoImages,
            "CompositeResourceDefinition" if group == "apiextensions.crossplane.io" => Self::NoImages,
            "PolicyServer" => Self::Unknown,
            // Objects that a test creates.
            _ if group == "chainsaw.kyverno.io" => Self::Unknown,
            _ if SCHEMAS_AND_POLICIES.into_iter().any(is_below) => Self::NoImages,
            _ => Self::Unknown,
        }
    }
}

/// API groups, with those below them.
const SCHEMAS_AND_POLICIES: [&str; 9] = [
    "apiextensions.k8s.io",
    "admissionregistration.k8s.io",
    "kyverno.io",
    "gatekeeper.sh",
    "policies.kubewarden.io",
    "policy.sigstore.dev",
    "policy.open-cluster-management.io",
    "wgpolicyk8s.io",
    "openreports.io",
];

/// Keys of objects below which no image stands, but texts that may look like one.
const TEXTS: [&str; 5] = ["metadata", "labels", "annotations", "matchLabels", "openAPIV3Schema"];
/// The same, of the object itself.
const OF_ROOT: [&str; 3] = ["apiVersion", "kind", "status"];

/// How names of files end that are called images and pulled from no registry.
const FILES: [&str; 12] =
    [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".iso", ".img", ".qcow2", ".raw", ".vmdk"];

impl Suspect {
    /// What is declared as an image, and is not certain to be one.
    pub fn of(found: Found) -> Option<Self> {
        let Found { object, place, image, slots, .. } = found;
        let slot = slots.into_iter().next()?;
        Some(Self { object, node: slot.node, pointer: slot.pointer, path: place, declaration: None, image })
    }
}

/// A walk over an object of a kind that is not known, or over a document that is none.
pub(super) struct Walk<'d, 't> {
    pub document: &'d Document<'t>,
    pub header: &'d Header,
    pub number: usize,
    /// Whether container lists are images: in objects alone.
    pub with_lists: bool,
    /// Whether other fields that look like images are wanted.
    pub with_suspects: bool,
}

/// A node that is still to be looked at.
struct Unread<'d> {
    node: Id,
    parent: Option<Id>,
    /// Steps to its parent.
    depth: usize,
    step: Option<Step<'d>>,
}

impl<'d> Walk<'d, '_> {
    /// Adds the images of container lists: of `containers`, say, with `image` beside `name`. Returns fields that look like images, these among them.
    pub fn look(&self, extra: &Extra, found: &mut Vec<Found>) -> Vec<Suspect> {
        let object = Arc::new(self.header.object(self.document, self.number));
        let (document, root) = (self.document, self.header.root);
        let mut suspects = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut unread = vec![Unread { node: root, parent: None, depth: 0, step: None }];
        while let Some(Unread { node, parent, depth, step }) = unread.pop() {
            steps.truncate(depth);
            steps.extend(step);
            let target = document.target(node);
            let depth = steps.len();
            let start = unread.len();
            match document.node(target).content {
                Content::Sequence => unread.extend(document.children(target).enumerate().map(|(index, node)| Unread {
                    node,
                    parent: None,
                    depth,
                    step: Some(Step::Index(index)),
                })),
                Content::Mapping => {
                    let mut entries = document.entries(target);
                    if self.with_lists && entries.iter().any(|entry| self.is_container_list(entry)) {
                        let state = parent.map(|pod| pods::state(document, pod)).unwrap_or_default();
                        let object = Arc::new(Object { state, ..Object::clone(&object) });
                        pods::of_spec(document, target, &below(&self.header.pointer, &steps), &object, extra, found);
                    }
                    if self.with_suspects {
                        self.suspects(&steps, target, &entries, &object, &mut suspects);
                    }
                    let is_text = |key: &str| TEXTS.contains(&key) || (target == root && OF_ROOT.contains(&key));
                    entries.retain(|entry| !is_text(entry.name));
                    unread.extend(entries.into_iter().map(|entry| Unread {
                        node: entry.value,
                        parent: Some(target),
                        depth,
                        step: Some(Step::Key(entry.name)),
                    }));
                }
                Content::Scalar { .. } | Content::Alias(_) => {}
            }
            unread[start..].reverse();
        }
        suspects
    }

    fn suspects(
        &self,
        steps: &[Step],
        mapping: Id,
        entries: &[Entry],
        object: &Arc<Object>,
        suspects: &mut Vec<Suspect>,
    ) {
        let has = |key: &str| entries.iter().any(|entry| entry.name == key);
        if has("repository") && (has("tag") || has("digest")) {
            suspects.extend(self.split(steps, mapping, object));
        }
        // Of a Ceph block device.
        if has("monitors") {
            return;
        }
        for entry in entries.iter().filter(|entry| is_name(entry.name)) {
            let Some(image) = self.document.string(entry.value).filter(|text| is_image(text)) else { continue };
            let is_part = ["registry", "repository"].iter().any(|key| self.string(mapping, key).is_some());
            let steps = [steps, &[Step::Key(entry.name)]].concat();
            suspects.push(Suspect {
                object: Arc::clone(object),
                node: entry.value,
                pointer: below(&self.header.pointer, &steps),
                path: path(&steps),
                declaration: (!is_part).then(|| declarable(&steps, false)),
                image: image.to_owned(),
            });
        }
    }

    /// A mapping of `repository` beside `tag` or `digest`.
    fn split(&self, steps: &[Step], node: Id, object: &Arc<Object>) -> Option<Suspect> {
        let hit = Hit { node, parent: None, pointer: below(&self.header.pointer, steps), path: path(steps) };
        let found = split_image(self.document, hit, object).filter(|found| is_image(&found.image))?;
        let slot = found.slots.into_iter().next()?;
        Some(Suspect {
            object: found.object,
            node: slot.node,
            pointer: slot.pointer,
            path: found.place,
            declaration: Some(declarable(steps, true)),
            image: found.image,
        })
    }

    fn is_container_list(&self, entry: &Entry) -> bool {
        let mut lists = List::ALL.into_iter().filter(|list| list.entries() == Entries::Containers);
        let is_container = |item| ["name", "image"].iter().all(|key| self.string(item, key).is_some());
        lists.any(|list| list.as_str() == entry.name)
            && self.document.items(entry.value).is_some_and(|mut items| items.any(is_container))
    }

    fn string(&self, mapping: Id, key: &str) -> Option<&str> {
        self.document.get(mapping, key).and_then(|node| self.document.string(node))
    }
}

/// Leaves what was not found.
pub(super) fn remove_found(suspects: &mut Vec<Suspect>, found: &[Found]) {
    if suspects.is_empty() {
        return;
    }
    let known: HashSet<&str> = found.iter().flat_map(|found| &found.slots).map(|slot| slot.pointer.as_str()).collect();
    let is_known = |suspect: &Suspect| {
        // `repository` and `image` beside each other can be parts of one name.
        let whole = suspect.pointer.strip_suffix("/image").map(|parent| format!("{parent}/repository"));
        known.contains(suspect.pointer.as_str()) || whole.is_some_and(|whole| known.contains(whole.as_str()))
    };
    suspects.retain(|suspect| !is_known(suspect));
}

/// `image`, `…Image`, `…_image`, `…-image`, in capitals too.
pub(super) fn is_name(key: &str) -> bool {
    let ends = |end: &str, is_start: fn(char) -> bool| {
        key.strip_suffix(end).is_some_and(|start| start.chars().next_back().is_none_or(is_start))
    };
    ends("image", |c| matches!(c, '_' | '-' | '.'))
        || ends("IMAGE", |c| matches!(c, '_' | '-' | '.'))
        || ends("Image", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'))
}

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

fn declarable(steps: &[Step], is_split: bool) -> Declarable {
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
