//! What a kustomization includes, in which order, and where it renames images.
//!
//! Facts about kustomize are from 5.8: `api/types/kustomization.go`. Flux's kind is `kustomize.toolkit.fluxcd.io`, v1.

use std::sync::Arc;

use super::found::{Found, Shape, Slot};
use super::kustomize;
pub use super::kustomize::Entry;
use super::lines::Lines;
use super::lookalike::Suspect;
use super::objects::{self, Header, Origin};
use super::pointer::{Step, below};
use super::tree::{Document, Id};
use super::{Known, Object, look, texts, yaml};
use crate::engine::{Kustomize, List, PodKind};

/// The prefix of the place of a `name` in `images`.
pub const SELECTOR: &str = "images-name/";
/// The prefix of the place of an image in a JSON patch. The pointer into the patched object follows.
pub const JSON_PATCH: &str = "patch/";

#[derive(Debug, Clone, Default)]
pub struct Kustomization {
    pub kind: KustomizationKind,
    pub namespace: Option<String>,
    /// Files, folders and URLs as written. The other lists are alike.
    pub resources: Vec<String>,
    pub components: Vec<String>,
    pub patches: Vec<(String, Target)>,
    /// Inline patches, by their pointer.
    pub inline_patches: Vec<(String, Target)>,
    pub transformers: Vec<String>,
    pub configurations: Vec<String>,
    /// Files whose text generators put into ConfigMaps and Secrets.
    pub data: Vec<String>,
    /// Keys that add unknown content.
    pub unseen: Vec<String>,
    /// The key that copies images to other fields: `vars` or `replacements`.
    pub copies_images: Option<&'static str>,
    /// The entries of `images`, in order.
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KustomizationKind {
    #[default]
    Kustomization,
    Component,
    /// A Kustomization of Flux, with its path from the root of the repository.
    Flux(String),
    /// Transformers, which a kustomization lists under `transformers`.
    Transformers,
}

/// The target of a patch, as expressions. A missing part is empty.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub kind: String,
    pub name: String,
}

/// A document in a text of another document.
#[derive(Debug)]
pub(super) struct Embedded<'t> {
    pub document: Document<'t>,
    pub found: Vec<Found>,
    pub suspects: Vec<Suspect>,
}

/// Returns the kustomization that a document is, if it is one, with the fields that matter only to it.
pub(super) fn read<'t>(
    document: &Document<'t>,
    text: &'t str,
    origin: Origin,
    known: &Known,
    found: &mut Vec<Found>,
    embedded: &mut Vec<Embedded<'t>>,
) -> Option<Kustomization> {
    let root = document.root()?;
    if !document.is_mapping(root) {
        let object = Arc::new(Object { document: origin.document, ..Object::default() });
        json_patch(document, root, "", &object, found);
        return None;
    }
    let header = objects::objects(document, root).next().filter(|header| header.root == root)?;
    let string = |path: &[&str]| document.at(root, path).and_then(|node| document.string(node)).unwrap_or_default();
    let (kind, prefix): (KustomizationKind, &[&str]) = match (header.group(), header.kind.as_str()) {
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => {
            (KustomizationKind::Flux(string(&["spec", "path"]).to_owned()), &["spec"])
        }
        _ if header.api_version == "builtin" && header.kind == "ImageTagTransformer" => {
            (KustomizationKind::Transformers, &[])
        }
        _ if !kustomize::is_kustomization(&header, origin.file) => return None,
        (_, "Component") => (KustomizationKind::Component, &[]),
        _ => (KustomizationKind::Kustomization, &[]),
    };
    let object = Arc::new(kustomize::object(document, &header, origin.document));
    let at = |key: &'static str| -> Vec<&str> { prefix.iter().copied().chain([key]).collect() };
    let strings = |key: &'static str| {
        let items = document.at(root, &at(key)).and_then(|list| document.items(list)).into_iter().flatten();
        items.filter_map(|item| document.string(item)).map(str::to_owned).collect::<Vec<_>>()
    };
    let is_present = |key: &str| document.get(root, key).is_some_and(|node| !document.is_null(node));
    let present = |keys: &[&str]| -> Vec<String> {
        keys.iter().filter(|key| is_present(key)).map(|key| (*key).to_owned()).collect()
    };
    let namespace = string(if prefix.is_empty() { &["namespace"] } else { &["spec", "targetNamespace"] });
    let mut kustomization = Kustomization {
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        components: strings("components"),
        configurations: strings("configurations"),
        kind,
        ..Kustomization::default()
    };
    if kustomization.kind == KustomizationKind::Kustomization || kustomization.kind == KustomizationKind::Component {
        kustomization.resources = [strings("resources"), strings("bases")].concat();
        for (generator, _) in kustomize::listed(document, root, &[&["configMapGenerator"], &["secretGenerator"]]) {
            let files = document.get(generator, "files").and_then(|list| document.items(list)).into_iter().flatten();
            // `KEY=FILE`, or the file alone.
            let file = |entry: &str| entry.split_once('=').map_or(entry, |(_, file)| file).to_owned();
            kustomization.data.extend(files.filter_map(|entry| document.string(entry)).map(file));
        }
        kustomization.unseen = present(&["generators", "helmCharts", "helmChartInflationGenerator"]);
        for transformer in strings("transformers") {
            if is_inline(&transformer) {
                kustomization.unseen.push("transformers".to_owned())
            } else {
                kustomization.transformers.push(transformer)
            }
        }
    }
    kustomization.copies_images = copies_images(document, root);
    if kustomization.kind == KustomizationKind::Transformers {
        kustomization.unseen = present(&["fieldSpecs"]);
    }
    entries(document, root, prefix, &object, found, &mut kustomization);
    patches(document, text, &at, &object, known, embedded, &mut kustomization);
    Some(kustomization)
}

/// Returns the source of `vars` and `replacements`. Without a path, `vars` take the name.
fn copies_images(document: &Document, root: Id) -> Option<&'static str> {
    let is_image = |node: Id| {
        document.string(node).is_some_and(|path| path.ends_with("image") || path.ends_with("image.reference"))
    };
    let at = |item: Id, path: &[&str]| document.at(item, path).is_some_and(is_image);
    let is_target = |item: Id| {
        let targets = document.get(item, "targets").and_then(|list| document.items(list)).into_iter().flatten();
        let paths = targets.filter_map(|target| document.items(document.get(target, "fieldPaths")?));
        paths.flatten().any(is_image)
    };
    // Replacements in other files are not read.
    let copies = |item| at(item, &["source", "fieldPath"]) || is_target(item) || document.get(item, "path").is_some();
    let any = |key, is_it: &dyn Fn(Id) -> bool| {
        kustomize::listed(document, root, &[&[key]]).into_iter().any(|(item, _)| is_it(item))
    };
    let vars = any("vars", &|item| at(item, &["fieldref", "fieldpath"])).then_some("vars");
    vars.or_else(|| any("replacements", &copies).then_some("replacements"))
}

fn is_inline(text: &str) -> bool {
    text.contains(['\n', '{']) || text.contains(": ")
}

fn entries(
    document: &Document,
    root: Id,
    prefix: &[&str],
    object: &Arc<Object>,
    found: &mut Vec<Found>,
    kustomization: &mut Kustomization,
) {
    let items = match kustomization.kind {
        KustomizationKind::Transformers => {
            document.get(root, "imageTag").map(|item| (item, "/imageTag".to_owned())).into_iter().collect()
        }
        // kustomize reads `imageTags` as `images`.
        _ => {
            let [images, image_tags] = ["images", "imageTags"].map(|key| [prefix, &[key]].concat());
            kustomize::listed(document, root, &[&images, &image_tags])
        }
    };
    for (item, pointer) in items {
        let Some((mut entry, image)) = kustomize::entry(document, item, pointer, object) else { continue };
        entry.containers_alone =
            kustomization.kind == KustomizationKind::Transformers && kustomization.unseen.is_empty();
        let Some(node) = document.get(item, "name") else { continue };
        found.push(image);
        found.push(Found {
            object: Arc::clone(object),
            place: format!("{SELECTOR}{}", entry.name),
            image: entry.name.clone(),
            pull_never: false,
            shape: Shape::Whole,
            slots: vec![Slot { node, pointer: entry.name_pointer.clone() }],
        });
        kustomization.entries.push(entry);
    }
}

fn patches<'t>(
    document: &Document<'t>,
    text: &'t str,
    at: &dyn Fn(&'static str) -> Vec<&'static str>,
    object: &Arc<Object>,
    known: &Known,
    embedded: &mut Vec<Embedded<'t>>,
    kustomization: &mut Kustomization,
) {
    let Some(root) = document.root() else { return };
    for key in ["patches", "patchesStrategicMerge", "patchesJson6902"] {
        for (item, pointer) in kustomize::listed(document, root, &[&at(key)]) {
            let string = |path: &[&str]| document.at(item, path).and_then(|node| document.string(node));
            let of_target = |key| string(&["target", key]).unwrap_or_default().to_owned();
            let target = Target { kind: of_target("kind"), name: of_target("name") };
            let (path, inline) = match document.string(item) {
                Some(text) if is_inline(text) => (None, Some((item, pointer))),
                Some(path) => (Some(path), None),
                None => {
                    let inline = document.get(item, "patch").filter(|&node| document.string(node).is_some());
                    (string(&["path"]), inline.map(|node| (node, below(&pointer, &[Step::Key("patch")]))))
                }
            };
            kustomization.patches.extend(path.map(|path| (path.to_owned(), target.clone())));
            let Some((node, pointer)) = inline else { continue };
            match inner(document, text, node) {
                Some(inner) => embedded.extend(inner.into_iter().map(|document| {
                    let (found, suspects) = images(&document, &pointer, &target.kind, object, known);
                    Embedded { document, found, suspects }
                })),
                None if document.string(node).is_some_and(|text| text.contains("image")) => {
                    kustomization.unseen.push(key.to_owned());
                }
                None => {}
            }
            kustomization.inline_patches.push((pointer, target));
        }
    }
}

/// Returns the documents of a literal block, at their position in the whole text.
fn inner<'t>(document: &Document<'t>, text: &'t str, node: Id) -> Option<Vec<Document<'t>>> {
    let (start, raw) = texts::block(document, text, node)?;
    let documents = texts::documents(raw, 0..raw.len())?;
    let has_aliases = documents.iter().any(Document::has_aliases);
    (!has_aliases).then(|| documents.into_iter().map(|document| document.shifted(start)).collect())
}

/// Returns the images of a patch, which is a part of an object, or a JSON patch.
fn images(
    document: &Document,
    pointer: &str,
    kind: &str,
    object: &Arc<Object>,
    known: &Known,
) -> (Vec<Found>, Vec<Suspect>) {
    let Some(root) = document.root() else { return (Vec::new(), Vec::new()) };
    let (mut found, mut suspects) = (Vec::new(), Vec::new());
    if document.is_mapping(root) {
        let origin = Origin { file: "", document: object.document };
        let seen = look::look_at_all(document, origin, known);
        (found, suspects) = (seen.found, seen.suspects);
    } else if is_known_kind(kind) {
        json_patch(document, root, "", object, &mut found);
    }
    for slot in found.iter_mut().flat_map(|found| &mut found.slots) {
        slot.pointer.insert_str(0, pointer);
    }
    (found, suspects)
}

/// Returns whether the kind of a patch's target may have containers. A patch without a kind may.
pub fn is_known_kind(kind: &str) -> bool {
    let is_expression = kind.contains(|character: char| !character.is_ascii_alphanumeric());
    kind.is_empty() || is_expression || PodKind::ALL.iter().any(|known| known.kind == kind)
}

/// Returns the images that operations add or replace.
fn json_patch(document: &Document, root: Id, pointer: &str, object: &Arc<Object>, found: &mut Vec<Found>) {
    for (index, operation) in document.items(root).into_iter().flatten().enumerate() {
        let string = |key| document.get(operation, key).and_then(|node| document.string(node));
        let (Some("add" | "replace"), Some(path), Some(value)) =
            (string("op"), string("path"), document.get(operation, "value"))
        else {
            continue;
        };
        let pointer = below(pointer, &[Step::Index(index), Step::Key("value")]);
        patched(document, value, path.trim_start_matches('/').to_owned(), pointer, object, found);
    }
}

fn patched(document: &Document, node: Id, path: String, pointer: String, object: &Arc<Object>, found: &mut Vec<Found>) {
    if let Some(image) = document.string(node) {
        let steps: Vec<&str> = path.split('/').collect();
        if List::of_image(&steps).is_some() {
            found.push(Found {
                object: Arc::clone(object),
                place: [JSON_PATCH, &path].concat(),
                image: image.to_owned(),
                pull_never: false,
                shape: Shape::Whole,
                slots: vec![Slot { node, pointer }],
            });
        }
        return;
    }
    if document.is_mapping(node) {
        for entry in document.entries(node) {
            let pointer = below(&pointer, &[Step::Key(entry.name)]);
            patched(document, entry.value, format!("{path}/{}", entry.name), pointer, object, found);
        }
    }
    for (index, item) in document.items(node).into_iter().flatten().enumerate() {
        patched(document, item, format!("{path}/{index}"), below(&pointer, &[Step::Index(index)]), object, found);
    }
}

/// Returns lines and pointers where kustomize fails as soon as `images` has an entry, whatever its name.
///
/// `api/filters/imagetag` and `api/filters/fsslice` expect collections above an image. A scalar there is an error.
pub fn faults(text: &str) -> Vec<(usize, String)> {
    const POD_SPECS: [&[&str]; 3] =
        [&["spec"], &["spec", "template", "spec"], &["spec", "jobTemplate", "spec", "template", "spec"]];
    let paths: Vec<Vec<&str>> = List::ALL
        .into_iter()
        .flat_map(|list| {
            let pod_specs = match list.kustomize() {
                // The search below any key covers CronJobs.
                Kustomize::Anywhere => &POD_SPECS[..2],
                Kustomize::PodSpecs => &POD_SPECS,
                Kustomize::Nowhere => &[],
            };
            pod_specs.iter().map(move |pod_spec| [pod_spec, &[list.as_str()][..], list.entries().image()].concat())
        })
        .collect();
    let mut faults = Vec::new();
    yaml::each(text, |document| {
        let Ok(document) = document else { return };
        let Some(root) = document.root().filter(|&root| document.is_mapping(root)) else { return };
        for Header { root, pointer, kind, .. } in objects::objects(&document, root) {
            let mut found = Vec::new();
            for path in &paths {
                fault_on(&document, root, path, &pointer, &mut found);
            }
            if kind != "CustomResourceDefinition" && !kind.is_empty() {
                faults_below(&document, root, &pointer, &mut found);
            }
            faults.extend(found);
        }
    });
    let lines = Lines::new(text);
    let mut faults: Vec<_> = faults.into_iter().map(|(offset, pointer)| (lines.line(offset), pointer)).collect();
    faults.sort();
    faults.dedup();
    faults
}

fn fault_on(document: &Document, node: Id, steps: &[&str], pointer: &str, found: &mut Vec<(usize, String)>) {
    if document.is_null(node) {
        return;
    }
    if let Some(items) = document.items(node).filter(|_| !steps.is_empty()) {
        for (index, item) in items.enumerate() {
            fault_on(document, item, steps, &below(pointer, &[Step::Index(index)]), found);
        }
        return;
    }
    match (steps, document.scalar(node)) {
        ([], Some(_)) => {}
        ([step, rest @ ..], None) => {
            if let Some(node) = document.get(node, step) {
                fault_on(document, node, rest, &below(pointer, &[Step::Key(step)]), found);
            }
        }
        _ => found.push((document.node(node).span.start, pointer.to_owned())),
    }
}

fn faults_below(document: &Document, node: Id, pointer: &str, found: &mut Vec<(usize, String)>) {
    for (index, item) in document.items(node).into_iter().flatten().enumerate() {
        faults_below(document, item, &below(pointer, &[Step::Index(index)]), found);
    }
    if !document.is_mapping(node) {
        return;
    }
    for entry in document.entries(node) {
        let pointer = below(pointer, &[Step::Key(entry.name)]);
        faults_below(document, entry.value, &pointer, found);
        let mut anywhere = List::ALL.into_iter().filter(|list| list.kustomize() == Kustomize::Anywhere);
        if let Some(list) = anywhere.find(|list| list.as_str() == entry.name)
            && document.items(entry.value).is_some()
        {
            fault_on(document, entry.value, list.entries().image(), &pointer, found);
        }
    }
}
