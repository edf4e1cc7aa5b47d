//! The kustomizations of a run, and the images of the files that they include.

mod reading;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::engine::declared::{Declaration, Path as FieldPath, Subject, file_glob};
use crate::engine::{Entries, Kustomize, List};
use crate::manifest::kustomization::{Entry, JSON_PATCH, KustomizationKind, Target};
use crate::manifest::reach::Reach;
use crate::manifest::{Field, Known, Object};

const FLUX: &str = "kustomize.toolkit.fluxcd.io";

#[derive(Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    pub images: Vec<Image>,
    pub entries: Vec<Listed>,
    /// Indices of sources that are used only as texts in ConfigMaps and Secrets.
    pub data: BTreeSet<usize>,
}

/// A kustomization with the files that it includes.
#[derive(Debug)]
pub struct Node {
    /// The name of its source.
    pub name: String,
    pub kind: KustomizationKind,
    pub namespace: Option<String>,
    pub resources: Vec<Include>,
    pub components: Vec<Include>,
    pub patches: Vec<Patch>,
    /// Indices of its entries, in order.
    pub entries: Vec<usize>,
    /// The fields that its configurations, and those of its bases, open to entries.
    pub reaches: Vec<Reach>,
    /// It includes images outside the files.
    pub is_blind: bool,
    /// A change of images that is not supported.
    pub unfollowed: Option<String>,
    /// A kustomization outside the files may include it.
    pub may_be_base: bool,
}

/// An image of a patch.
#[derive(Debug)]
pub struct Patch {
    /// Its index.
    pub image: usize,
    /// The pattern for the target's kind. `None` matches any.
    kind: Option<Regex>,
    name: Option<Regex>,
}

impl Patch {
    fn new(image: usize, object: &Object, target: &Target) -> Self {
        let Target { kind, name } = target;
        let is_target = !kind.is_empty() || !name.is_empty();
        let (kind, name) = if is_target { (kind, name) } else { (&object.kind, &object.name) };
        let whole = |text: &String| {
            let pattern = Some(text).filter(|text| !text.is_empty()).map(|text| format!("^(?:{text})$"));
            pattern.and_then(|pattern| Regex::new(&pattern).ok())
        };
        Self { image, kind: whole(kind), name: whole(name) }
    }

    /// Returns whether the patch applies to an object, by kind and name.
    pub fn finds(&self, object: &Object) -> bool {
        let is_match =
            |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
        is_match(&self.kind, &object.kind) && is_match(&self.name, &object.name)
    }
}

#[derive(Debug)]
pub enum Include {
    Node(usize),
    /// Indices of a file's images.
    Images(Vec<usize>),
}

/// An image in a file that a kustomization includes.
#[derive(Debug)]
pub struct Image {
    pub source: usize,
    /// The name of the source.
    pub name: String,
    pub field: Field,
    /// The rules apply to the field.
    pub is_known: bool,
    /// kustomize finds the field for `images` without a configuration.
    pub is_reached: bool,
    /// It is an image of a volume, which transformers skip without a configuration.
    pub is_volume: bool,
}

/// An entry of a kustomization's `images`.
#[derive(Debug)]
pub struct Listed {
    pub source: usize,
    pub name: String,
    pub entry: Entry,
    /// The image that it gives.
    pub field: Field,
}

/// Where kustomize finds images, as JSON pointers, in objects of any kind but [`NOT_A_KIND`].
static REACHED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pod_specs = r"\A(/items/\d+)?/spec(/template/spec|/jobTemplate/spec/template/spec)?";
    let images = List::ALL.into_iter().filter_map(|list| {
        let image = format!(r"/{}/(\d+|-)/{}\z", list.as_str(), list.entries().image().join("/"));
        match list.kustomize() {
            Kustomize::Anywhere => Some(image),
            Kustomize::PodSpecs => Some([pod_specs, &image].concat()),
            Kustomize::Nowhere => None,
        }
    });
    Regex::new(&images.collect::<Vec<_>>().join("|")).ok()
});
const NOT_A_KIND: &str = "CustomResourceDefinition";

/// Returns whether kustomize's `images` find a field.
pub fn is_reached(field: &Field) -> bool {
    let is_place = REACHED.as_ref().is_some_and(|reached| reached.is_match(&pointer(field)));
    is_place && field.object.kind != NOT_A_KIND
}

/// Returns whether the field is the image of a volume.
fn is_volume(field: &Field) -> bool {
    let pointer = pointer(field);
    let list = List::of_image(&pointer.split('/').collect::<Vec<_>>());
    list.is_some_and(|list| list.entries() == Entries::Volumes)
}

/// Returns the field's position in the object. For a patch, it is the position in the target.
pub(super) fn pointer(field: &Field) -> Cow<'_, str> {
    match field.place.strip_prefix(JSON_PATCH) {
        Some(path) => format!("/{path}").into(),
        None => field.pointer.as_str().into(),
    }
}

/// Returns the fields that the rules know, and all others that kustomize takes for images.
pub fn everything(known: &Known) -> Known {
    let anywhere = List::ALL.into_iter().filter(|list| list.kustomize() == Kustomize::Anywhere);
    let paths = anywhere.map(|list| format!("$..{}[*].{}", list.as_str(), list.entries().image().join(".")));
    let of_any_kind = Declaration {
        images: paths.filter_map(|path| FieldPath::parse(&path).ok()).collect(),
        ..Declaration::new(Subject::Files(file_glob("*").into_iter().collect()))
    };
    let mut everything = known.clone();
    everything.declared.push(of_any_kind);
    everything
}
