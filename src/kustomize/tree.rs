//! The kustomizations of a run, and the images of what they include.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use rayon::prelude::*;
use regex::Regex;

use super::{Options, Outside};
use crate::files::Source;
use crate::manifest::declared::{Declaration, Path as FieldPath, Subject, file_glob};
use crate::manifest::kustomization::{Entry, JSON_PATCH, Kind, Kustomization, SELECTOR, is_known_kind};
use crate::manifest::{Field, KUSTOMIZATION_FILES, Known, Manifest};

const FLUX: &str = "kustomize.toolkit.fluxcd.io";

#[derive(Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    pub images: Vec<Image>,
    pub entries: Vec<Listed>,
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
    /// Positions of images.
    pub patches: Vec<usize>,
    /// Positions of entries, in their order.
    pub entries: Vec<usize>,
    /// It brings images that are not seen.
    pub is_blind: bool,
    /// A kustomization that is not seen may include it.
    pub may_be_base: bool,
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
    /// Whether kustomize looks there for what `images` name.
    pub is_reached: bool,
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

/// Where kustomize looks, as JSON pointers. The first is below any key, of any kind but one.
static REACHED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let containers = r"/(containers|initContainers)/\d+/image\z";
    let volumes =
        r"\A(/items/\d+)?/spec(/template/spec|/jobTemplate/spec/template/spec)?/volumes/\d+/image/reference\z";
    Regex::new(&format!("{containers}|{volumes}")).ok()
});
const ANY_CONTAINERS: [&str; 2] = ["$..containers[*].image", "$..initContainers[*].image"];
const NOT_A_KIND: &str = "CustomResourceDefinition";

/// Whether kustomize's `images` reach a field.
pub fn is_reached(field: &Field) -> bool {
    let pointer = match field.place.strip_prefix(JSON_PATCH) {
        Some(path) => format!("/{path}"),
        None => field.pointer.clone(),
    };
    let is_place = REACHED.as_ref().is_some_and(|reached| reached.is_match(&pointer));
    is_place && field.object.kind != NOT_A_KIND
}

/// What the rules know and all else that kustomize takes for images.
pub fn everything(declared: &[Declaration]) -> Vec<Declaration> {
    let of_any_kind = Declaration {
        subject: Subject::Files(file_glob("*").into_iter().collect()),
        pod_specs: Vec::new(),
        images: ANY_CONTAINERS.iter().filter_map(|path| FieldPath::parse(path).ok()).collect(),
        split_images: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
    };
    declared.iter().cloned().chain([of_any_kind]).collect()
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

/// What was read of a file.
#[derive(Debug, Default)]
struct Content {
    kustomizations: Vec<Kustomization>,
    /// With whether the rules know the place.
    fields: Vec<(Field, bool)>,
    /// A template, or unreadable.
    is_blind: bool,
}

struct Reading<'r> {
    sources: &'r [Source],
    outside: &'r Outside,
    known: &'r Known,
    everything: Known,
    no_kustomize: bool,
    by_path: HashMap<&'r Path, usize>,
    contents: HashMap<usize, Content>,
    /// The positions of a file's images in the tree, once they are there.
    images: HashMap<(usize, bool), Vec<usize>>,
    nodes: HashMap<PathBuf, usize>,
    tree: Tree,
}

impl Tree {
    pub fn read(sources: &[Source], outside: &Outside, options: Options) -> Self {
        let declared = everything(&options.known.declared);
        let mut reading = Reading {
            sources,
            outside,
            known: options.known,
            everything: Known { declared, without_kustomize: false },
            no_kustomize: options.no_kustomize,
            by_path: sources
                .iter()
                .enumerate()
                .filter_map(|(at, source)| Some((source.path.as_deref()?, at)))
                .collect(),
            contents: HashMap::new(),
            images: HashMap::new(),
            nodes: HashMap::new(),
            tree: Self::default(),
        };
        let found: Vec<(usize, Content)> = sources
            .par_iter()
            .enumerate()
            .filter_map(|(at, source)| {
                let path = source.path.as_deref()?;
                let is_named = is_kustomization_file(path);
                let text = source.read().ok()?;
                (is_named || text.contains(FLUX)).then(|| (at, reading.content(source, &text)))
            })
            .collect();
        reading.contents.extend(found);
        reading.add_nodes();
        reading.tree
    }
}

fn is_remote(resource: &str) -> bool {
    ["://", "git@", "github.com", "?ref="].iter().any(|part| resource.contains(part))
}

fn is_kustomization_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| KUSTOMIZATION_FILES.iter().any(|known| name == *known))
}

impl Reading<'_> {
    fn content(&self, source: &Source, text: &str) -> Content {
        let read = |known| Manifest::read_in_tree(&source.name, text, known);
        let (Ok(manifest), Ok(everything)) = (read(self.known), read(&self.everything)) else {
            return Content { is_blind: true, ..Content::default() };
        };
        let key = |field: &Field| (field.object.document, field.pointer.clone());
        let known: BTreeSet<_> = manifest.fields().iter().map(key).collect();
        let fields = everything.fields().iter().map(|field| (field.clone(), known.contains(&key(field))));
        Content {
            kustomizations: manifest.kustomizations().to_vec(),
            fields: fields.collect(),
            is_blind: manifest.template_line().is_some(),
        }
    }

    fn add_nodes(&mut self) {
        let mut files: Vec<usize> = self.contents.keys().copied().collect();
        files.sort_unstable();
        let mut left = Vec::new();
        for file in files {
            let Some(path) = self.sources[file].path.clone() else { continue };
            let is_file = is_kustomization_file(&path);
            let kustomizations = self.contents[&file].kustomizations.clone();
            for kustomization in kustomizations {
                let is_flux = matches!(kustomization.kind, Kind::Flux(_));
                if kustomization.kind == Kind::Transformers || !(is_flux || is_file) {
                    continue;
                }
                let number = self.tree.nodes.len();
                self.tree.nodes.push(Node {
                    name: self.sources[file].name.clone(),
                    kind: kustomization.kind.clone(),
                    namespace: kustomization.namespace.clone(),
                    resources: Vec::new(),
                    components: Vec::new(),
                    patches: Vec::new(),
                    entries: Vec::new(),
                    is_blind: !kustomization.unseen.is_empty(),
                    may_be_base: self.outside.may_include(&path),
                });
                let folder = path.parent().unwrap_or(&path).to_owned();
                if !is_flux {
                    self.nodes.insert(folder.clone(), number);
                }
                left.push((number, file, folder, kustomization));
            }
        }
        for (number, file, folder, kustomization) in left {
            self.fill(number, file, &folder, &kustomization);
        }
    }

    fn fill(&mut self, number: usize, file: usize, folder: &Path, kustomization: &Kustomization) {
        let (mut resources, mut components, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_blind = self.tree.nodes[number].is_blind;
        if let Kind::Flux(path) = &kustomization.kind {
            is_blind |= !kustomization.components.is_empty();
            let path = plain(Path::new(path.trim_start_matches('/')));
            match folder.ancestors().find_map(|root| self.nodes.get(&root.join(&path))) {
                Some(&node) => resources.push(Include::Node(node)),
                None => is_blind = true,
            }
        } else {
            for resource in &kustomization.resources {
                match self.include(folder, resource) {
                    Some(include) => resources.push(include),
                    // Nothing is built where a file is missing.
                    None => is_blind |= is_remote(resource) || folder.join(resource).exists(),
                }
            }
            for component in &kustomization.components {
                match self.include(folder, component) {
                    Some(include @ Include::Node(_)) => components.push(include),
                    _ => is_blind = true,
                }
            }
        }
        for (patch, _) in kustomization.patches.iter().filter(|(_, kind)| is_known_kind(kind)) {
            match self.include(folder, patch) {
                Some(Include::Images(images)) => patches.extend(images),
                _ => is_blind = true,
            }
        }
        // A configuration can let `images` reach further fields.
        is_blind |= kustomization.configurations.iter().any(|name| {
            fs::read_to_string(folder.join(name)).is_ok_and(|text| text.lines().any(|line| line.starts_with("images:")))
        });
        patches.extend(self.images_of(file, true));
        let mut entries = self.entries_of(file, &kustomization.entries);
        for transformer in &kustomization.transformers {
            match self.transformer(folder, transformer, 0) {
                Some(further) => entries.extend(further),
                None => is_blind = true,
            }
        }
        let node = &mut self.tree.nodes[number];
        (node.resources, node.components, node.patches) = (resources, components, patches);
        (node.entries, node.is_blind) = (entries, is_blind);
    }

    /// Nothing for what is not seen.
    fn include(&mut self, folder: &Path, name: &str) -> Option<Include> {
        let path = fs::canonicalize(folder.join(name)).ok()?;
        if let Some(&node) = self.nodes.get(&path) {
            return Some(Include::Node(node));
        }
        let &file = self.by_path.get(path.as_path())?;
        self.load(file);
        (!self.contents.get(&file)?.is_blind).then(|| Include::Images(self.images_of(file, false)))
    }

    fn load(&mut self, file: usize) {
        if self.contents.contains_key(&file) {
            return;
        }
        let source = &self.sources[file];
        let blind = || Content { is_blind: true, ..Content::default() };
        let content = source.read().map_or_else(|_| blind(), |text| self.content(source, &text));
        self.contents.insert(file, content);
    }

    /// Of a kustomization those of its inline patches.
    fn images_of(&mut self, file: usize, is_kustomization: bool) -> Vec<usize> {
        if let Some(images) = self.images.get(&(file, is_kustomization)) {
            return images.clone();
        }
        let Some(content) = self.contents.get(&file) else { return Vec::new() };
        let is_entry = |field: &Field| field.place.starts_with("images/") || field.place.starts_with(SELECTOR);
        let mut images = Vec::new();
        for (field, is_known) in content.fields.iter().filter(|(field, _)| !is_entry(field)) {
            images.push(self.tree.images.len());
            self.tree.images.push(Image {
                source: file,
                name: self.sources[file].name.clone(),
                is_reached: is_reached(field),
                field: field.clone(),
                is_known: *is_known && !(is_kustomization && self.no_kustomize),
            });
        }
        self.images.insert((file, is_kustomization), images.clone());
        images
    }

    fn entries_of(&mut self, file: usize, entries: &[Entry]) -> Vec<usize> {
        let Some(content) = self.contents.get(&file) else { return Vec::new() };
        let mut positions = Vec::new();
        for entry in entries {
            let is_its =
                |field: &Field| field.object.document == entry.document && field.pointer == entry.image_pointer;
            let Some((field, _)) = content.fields.iter().find(|(field, _)| is_its(field)) else { continue };
            positions.push(self.tree.entries.len());
            let name = self.sources[file].name.clone();
            self.tree.entries.push(Listed { source: file, name, entry: entry.clone(), field: field.clone() });
        }
        positions
    }

    /// The entries of transformers in a file, or in the resources of a folder.
    fn transformer(&mut self, folder: &Path, name: &str, depth: usize) -> Option<Vec<usize>> {
        const MAX_DEPTH: usize = 8;
        let path = fs::canonicalize(folder.join(name)).ok()?;
        let &file = match self.by_path.get(path.as_path()) {
            Some(file) => file,
            None => {
                let is_its = |name: &&str| self.by_path.contains_key(path.join(name).as_path());
                let name = KUSTOMIZATION_FILES.into_iter().find(is_its)?;
                let &file = self.by_path.get(path.join(name).as_path())?;
                let resources = self.contents.get(&file)?.kustomizations.first()?.resources.clone();
                let entries = resources
                    .iter()
                    .filter(|_| depth < MAX_DEPTH)
                    .map(|resource| self.transformer(&path, resource, depth + 1));
                return Some(entries.collect::<Option<Vec<_>>>()?.concat());
            }
        };
        self.load(file);
        let content = self.contents.get(&file)?;
        let entries: Vec<Entry> = content
            .kustomizations
            .iter()
            .filter(|kustomization| kustomization.kind == Kind::Transformers)
            .flat_map(|kustomization| kustomization.entries.clone())
            .collect();
        Some(self.entries_of(file, &entries))
    }
}
