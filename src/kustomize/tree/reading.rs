//! Reads a tree.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rayon::prelude::*;
use regex::Regex;

use super::{FLUX, FieldPath, Image, Include, Listed, Node, Patch, Tree, everything, is_reached, is_volume};
use crate::files::Source;
use crate::kustomize::{Outside, TreeOptions, plain};
use crate::manifest::kustomization::{Entry, Kustomization, KustomizationKind, SELECTOR, Target, is_known_kind};
use crate::manifest::reach::Reach;
use crate::manifest::{Field, KUSTOMIZATION_FILES, Known, Manifest};

/// The key with which a patch without an image stops the pull of the image that it patches.
static PULL_NEVER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"imagePullPolicy["']?:\s*["']?Never|/imagePullPolicy"#).ok());

/// The content of a file.
#[derive(Debug, Default)]
struct Content {
    kustomizations: Vec<Kustomization>,
    /// Each field, and whether the rules know it.
    fields: Vec<(Field, bool)>,
    /// A part of it is a template, or unreadable.
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
    /// The fields that each configuration opens to `images`. `None` if it is unreadable.
    configurations: HashMap<PathBuf, Option<Vec<Reach>>>,
    /// The indices of a file's images in the tree, once added.
    images: HashMap<(usize, bool), Vec<usize>>,
    /// The indices of entries, by file, document and pointer.
    entries: HashMap<(usize, usize, String), usize>,
    nodes: HashMap<PathBuf, usize>,
    tree: Tree,
}

impl Tree {
    pub fn read(sources: &[Source], outside: &Outside, options: TreeOptions) -> Self {
        let mut reading = Reading {
            sources,
            outside,
            known: options.known,
            everything: Known { without_kustomize: false, ..everything(options.known) },
            no_kustomize: options.no_kustomize,
            by_path: sources
                .iter()
                .enumerate()
                .filter_map(|(at, source)| Some((source.path.as_deref()?, at)))
                .collect(),
            contents: HashMap::new(),
            configurations: HashMap::new(),
            images: HashMap::new(),
            entries: HashMap::new(),
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
        reading.know_configured_places();
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
    /// Reads all fields that configurations may open to `images`, whether or not the rules know them.
    fn know_configured_places(&mut self) {
        for (file, content) in &self.contents {
            let Some(folder) = self.sources[*file].path.as_deref().and_then(Path::parent) else { continue };
            for name in content.kustomizations.iter().flat_map(|kustomization| &kustomization.configurations) {
                let configuration = self.configurations.entry(folder.join(name));
                configuration.or_insert_with_key(|path| Reach::of(&fs::read_to_string(path).ok()?));
            }
        }
        let keys: BTreeSet<&str> = self.configurations.values().flatten().flatten().map(Reach::key).collect();
        let paths: Vec<_> = keys.iter().filter_map(|key| FieldPath::parse(&format!("$..{key}")).ok()).collect();
        if let Some(of_any_kind) = self.everything.declared.last_mut().filter(|_| !paths.is_empty()) {
            of_any_kind.images.extend(paths);
            let files: Vec<usize> = self.contents.drain().map(|(file, _)| file).collect();
            files.into_iter().for_each(|file| self.load(file));
        }
    }

    fn content(&self, source: &Source, text: &str) -> Content {
        let read = |known| Manifest::read_in_tree(&source.name, text, known);
        let (Ok(manifest), Ok(everything)) = (read(self.known), read(&self.everything)) else {
            return Content { is_blind: true, ..Content::default() };
        };
        let key = |field: &Field| (field.object.document, field.pointer.clone());
        let known: BTreeSet<_> = manifest.fields().iter().map(key).collect();
        // kustomize renames nothing in texts.
        let fields = everything.fields().iter().filter(|field| !field.is_in_text);
        let fields = fields.map(|field| (field.clone(), known.contains(&key(field))));
        Content {
            kustomizations: manifest.kustomizations().to_vec(),
            fields: fields.collect(),
            is_blind: manifest.template_line().is_some() || !manifest.unreadable().is_empty(),
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
                let is_flux = matches!(kustomization.kind, KustomizationKind::Flux(_));
                if kustomization.kind == KustomizationKind::Transformers || !(is_flux || is_file) {
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
                    reaches: Vec::new(),
                    is_blind: !kustomization.unseen.is_empty(),
                    unfollowed: kustomization.copies_images.map(|key| format!("`{key}` copies an image")),
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
            let data = kustomization.data.iter().filter_map(|name| fs::canonicalize(folder.join(name)).ok());
            self.tree.data.extend(data.filter_map(|path| self.by_path.get(path.as_path())));
        }
        self.tree.data.retain(|file| !self.contents.contains_key(file));
    }

    fn fill(&mut self, number: usize, file: usize, folder: &Path, kustomization: &Kustomization) {
        let (mut resources, mut components, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_blind = self.tree.nodes[number].is_blind;
        if let KustomizationKind::Flux(path) = &kustomization.kind {
            is_blind |= !kustomization.components.is_empty();
            let path = plain(Path::new(path.trim_start_matches('/')));
            match folder.ancestors().find_map(|root| self.nodes.get(&root.join(&path))) {
                Some(&node) => resources.push(Include::Node(node)),
                None => is_blind = true,
            }
        } else {
            for resource in &kustomization.resources {
                match self.include(folder, resource, &mut is_blind) {
                    Some(include) => resources.push(include),
                    // Without the file, kustomize builds nothing.
                    None => is_blind |= is_remote(resource) || folder.join(resource).exists(),
                }
            }
            for component in &kustomization.components {
                match self.include(folder, component, &mut is_blind) {
                    Some(include @ Include::Node(_)) => components.push(include),
                    _ => is_blind = true,
                }
            }
        }
        for (patch, target) in kustomization.patches.iter().filter(|(_, target)| is_known_kind(&target.kind)) {
            match self.include(folder, patch, &mut is_blind) {
                Some(Include::Images(images)) => {
                    patches.extend(images.into_iter().map(|image| self.patch(image, target)))
                }
                _ => is_blind = true,
            }
        }
        let mut reaches = Vec::new();
        for name in &kustomization.configurations {
            match self.configurations.get(&folder.join(name)) {
                Some(Some(more)) => reaches.extend_from_slice(more),
                Some(None) | None => is_blind = true,
            }
        }
        for image in self.images_of(file, true) {
            let pointer = &self.tree.images[image].field.pointer;
            let its = kustomization.inline_patches.iter().find(|(patch, _)| pointer.starts_with(&format!("{patch}/")));
            patches.push(self.patch(image, &its.map(|(_, target)| target.clone()).unwrap_or_default()));
        }
        let mut entries = self.entries_of(file, &kustomization.entries);
        for transformer in &kustomization.transformers {
            entries.extend(self.transformer(folder, transformer, 0, &mut is_blind));
        }
        let patch_files =
            kustomization.patches.iter().filter_map(|(patch, _)| fs::canonicalize(folder.join(patch)).ok());
        let patch_files = patch_files.filter_map(|path| self.by_path.get(path.as_path()).copied());
        let sets_never = |file: usize| {
            self.sources[file].read().is_ok_and(|text| PULL_NEVER.as_ref().is_some_and(|never| never.is_match(&text)))
        };
        if patch_files.chain([file]).any(sets_never) {
            self.tree.nodes[number].unfollowed = Some("a patch sets `imagePullPolicy`".to_owned());
        }
        let node = &mut self.tree.nodes[number];
        (node.resources, node.components, node.patches) = (resources, components, patches);
        (node.entries, node.reaches, node.is_blind) = (entries, reaches, is_blind);
    }

    fn patch(&self, image: usize, target: &Target) -> Patch {
        Patch::new(image, &self.tree.images[image].field.object, target)
    }

    /// Returns `None` for content outside the run. Only a part of a file may be readable.
    fn include(&mut self, folder: &Path, name: &str, is_blind: &mut bool) -> Option<Include> {
        let path = fs::canonicalize(folder.join(name)).ok()?;
        if let Some(&node) = self.nodes.get(&path) {
            return Some(Include::Node(node));
        }
        let &file = self.by_path.get(path.as_path())?;
        self.load(file);
        *is_blind |= self.contents.get(&file)?.is_blind;
        Some(Include::Images(self.images_of(file, false)))
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

    /// Returns the images of a file, or of a kustomization's inline patches.
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
                is_volume: is_volume(field),
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
            let position =
                self.entries.entry((file, entry.document, entry.image_pointer.clone())).or_insert_with(|| {
                    let name = self.sources[file].name.clone();
                    self.tree.entries.push(Listed { source: file, name, entry: entry.clone(), field: field.clone() });
                    self.tree.entries.len() - 1
                });
            positions.push(*position);
        }
        positions
    }

    /// Returns the entries of transformers in a file, or in the resources of a folder.
    fn transformer(&mut self, folder: &Path, name: &str, depth: usize, is_blind: &mut bool) -> Vec<usize> {
        const MAX_DEPTH: usize = 8;
        let Some(path) = fs::canonicalize(folder.join(name)).ok().filter(|_| depth < MAX_DEPTH) else {
            *is_blind = true;
            return Vec::new();
        };
        let Some(&file) = self.by_path.get(path.as_path()) else {
            let file = KUSTOMIZATION_FILES.iter().find_map(|name| self.by_path.get(path.join(name).as_path()));
            let kustomization = file.and_then(|file| self.contents.get(file)?.kustomizations.first());
            let resources = kustomization.map(|kustomization| kustomization.resources.clone());
            *is_blind |= resources.is_none();
            let resources = resources.into_iter().flatten();
            return resources.flat_map(|resource| self.transformer(&path, &resource, depth + 1, is_blind)).collect();
        };
        self.load(file);
        let Some(content) = self.contents.get(&file) else { return Vec::new() };
        let transformers =
            content.kustomizations.iter().filter(|transformer| transformer.kind == KustomizationKind::Transformers);
        *is_blind |= content.is_blind || transformers.clone().any(|transformer| !transformer.unseen.is_empty());
        let entries: Vec<Entry> = transformers.flat_map(|transformer| transformer.entries.clone()).collect();
        self.entries_of(file, &entries)
    }
}
