//! The kustomizations of a run, and the images of what they include.

mod reading;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::engine::declared::{Declaration, Path as FieldPath, Subject, file_glob};
use crate::engine::{Entries, Kustomize, List};
use crate::manifest::kustomization::{Entry, JSON_PATCH, Kind, Kustomization, Target};
use crate::manifest::reach::Reach;
use crate::manifest::{Field, Known, Object};

const FLUX: &str = "kustomize.toolkit.fluxcd.io";

#[derive(Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    pub images: Vec<Image>,
    pub entries: Vec<Listed>,
    /// Positions of sources that are texts in ConfigMaps and Secrets, and nothing else.
    pub data: BTreeSet<usize>,
}

/// A kustomization with what it includes.
#[derive(Debug)]
pub struct Node {
    /// The name of its source.
    pub name: String,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub resources: Vec<Include>,
    pub components: Vec<Include>,
    pub patches: Vec<Patch>,
    /// Positions of entries, in their order.
    pub entries: Vec<usize>,
    /// Where its configurations let entries find images, and those of what includes it.
    pub reaches: Vec<Reach>,
    /// It brings images that are not seen.
    pub is_blind: bool,
    /// What it does to images that is not followed.
    pub unfollowed: Option<String>,
    /// A kustomization that is not seen may include it.
    pub may_be_base: bool,
}

/// An image of a patch.
#[derive(Debug)]
pub struct Patch {
    /// Its position.
    pub image: usize,
    /// Of what it patches; nothing for any.
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

    /// Whether it patches an object, as far as kind and name tell.
    pub fn finds(&self, object: &Object) -> bool {
        let is_match =
            |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
        is_match(&self.kind, &object.kind) && is_match(&self.name, &object.name)
    }
}

#[derive(Debug)]
pub enum Include {
    Node(usize),
    /// The positions of a file's images.
    Images(Vec<usize>),
}

/// An image in a file that a kustomization includes.
#[derive(Debug)]
pub struct Image {
    pub source: usize,
    /// The name of the source.
    pub name: String,
    pub field: Field,
    /// Without this the rules don't look at it.
    pub is_known: bool,
    /// Whether kustomize looks there for what `images` name, without a configuration.
    pub is_reached: bool,
    /// It is that of a volume, which transformers don't reach by themselves.
    pub is_volume: bool,
}

/// An entry of a kustomization's `images`.
#[derive(Debug)]
pub struct Listed {
    pub source: usize,
    pub name: String,
    pub entry: Entry,
    /// Of the image that it gives.
    pub field: Field,
}

/// Where kustomize looks, as JSON pointers, in objects of any kind but [`NOT_A_KIND`].
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

/// Whether kustomize's `images` reach a field.
pub fn is_reached(field: &Field) -> bool {
    let is_place = REACHED.as_ref().is_some_and(|reached| reached.is_match(&pointer(field)));
    is_place && field.object.kind != NOT_A_KIND
}

/// Whether it is the image of a volume.
fn is_volume(field: &Field) -> bool {
    let pointer = pointer(field);
    let list = List::of_image(&pointer.split('/').collect::<Vec<_>>());
    list.is_some_and(|list| list.entries() == Entries::Volumes)
}

/// Where it stands in the object, also if it is a patch's.
pub(super) fn pointer(field: &Field) -> Cow<'_, str> {
    match field.place.strip_prefix(JSON_PATCH) {
        Some(path) => format!("/{path}").into(),
        None => field.pointer.as_str().into(),
    }
}

/// What the rules know and all else that kustomize takes for images.
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

/// The files and folders that a kustomization names.
pub fn includes(kustomization: &Kustomization) -> impl Iterator<Item = &str> {
    let Kustomization { resources, components, patches, transformers, .. } = kustomization;
    let patches = patches.iter().map(|(path, _)| path);
    resources.iter().chain(components).chain(transformers).chain(patches).map(String::as_str)
}

/// Without `.` and `..`, as far as that goes.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}
