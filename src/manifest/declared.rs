//! Images that the rules file and the catalogue declare.

use std::sync::Arc;

use super::extra::{Extra, of_header};
use super::found::{Found, Shape, Slot, suffix};
use super::lookalike::{Suspect, is_image, is_name};
use super::objects::{Header, Origin};
use super::path::{self, Hit};
use super::pointer::{Step, below};
use super::seen::Seen;
use super::tree::{Document, Id};
use super::{Known, Object, pods};
use crate::engine::declared::{Declaration, Path, Subject};
use crate::engine::has_host;

/// Returns whether the rules file declares a file.
pub(super) fn is_file(known: &Known, file: &str) -> bool {
    known.declared.iter().any(|declaration| declaration.is_of_file(file))
}

/// Returns whether the rules file declares an object.
pub(super) fn is_of_rules_file(known: &Known, header: &Header) -> bool {
    known.declared.iter().any(|declaration| declaration.is_of(header.group(), &header.kind))
        && known.catalogue.of(header).next().is_none()
}

/// Adds the declared images of an object. Returns the objects that it contains.
pub(super) fn of_kind(document: &Document, header: &Header, number: usize, known: &Known, seen: &mut Seen) -> Vec<Hit> {
    if header.api_version.is_empty() {
        return Vec::new();
    }
    let declarations = of_header(known, header);
    let extra = Extra::of(known, header);
    for declaration in &declarations {
        images(document, header, number, declaration, &extra, seen);
    }
    declarations
        .iter()
        .flat_map(|declaration| &declaration.objects)
        .flat_map(|path| query(document, header, path))
        .collect()
}

/// Adds the declared images of a document that is declared as a whole. Returns whether it is understood.
pub(super) fn of_document(document: &Document, root: Id, origin: Origin, known: &Known, seen: &mut Seen) -> bool {
    let first = seen.found.len();
    let declarations: Vec<&Declaration> = of_whole(document, root, origin, known).collect();
    let extra = Extra(declarations.clone());
    for declaration in declarations {
        let text = |key| document.get(root, key).and_then(|node| document.string(node)).unwrap_or_default().to_owned();
        let header = Header { root, pointer: String::new(), api_version: text("apiVersion"), kind: text("kind") };
        images(document, &header, origin.document, declaration, &extra, seen);
    }
    is_file(known, origin.file) || seen.found.len() > first
}

/// Returns whether a document is declared as a whole.
pub(super) fn is_document(document: &Document, root: Id, origin: Origin, known: &Known) -> bool {
    of_whole(document, root, origin, known).next().is_some()
}

fn of_whole<'k>(
    document: &Document,
    root: Id,
    origin: Origin,
    known: &'k Known,
) -> impl Iterator<Item = &'k Declaration> {
    let declarations = known.declared.iter().chain(known.catalogue.others());
    declarations.filter(move |declaration| is_of_whole(declaration, document, root, origin.file))
}

fn is_of_whole(declaration: &Declaration, document: &Document, root: Id, file: &str) -> bool {
    let has = |key: &str| document.get(root, key).is_some();
    match &declaration.subject {
        Subject::Files(_) => declaration.is_of_file(file),
        Subject::Keys(keys) => keys.iter().all(|key| has(key)) && !(has("apiVersion") && has("kind")),
        Subject::Kind { .. } | Subject::AnyKind => false,
    }
}

/// Returns the nodes of a path. In objects, `status` and `metadata` do not count: one is the cluster's, the other text.
fn query(document: &Document, header: &Header, path: &Path) -> Vec<Hit> {
    let mut hits = path::query(path, document, header.root, &header.pointer);
    let is_object = !header.kind.is_empty();
    let is_off = |pointer: &str| {
        let below = pointer.strip_prefix(header.pointer.as_str()).unwrap_or(pointer);
        ["/status", "/metadata"].iter().any(|start| below == *start || below.starts_with(&format!("{start}/")))
    };
    hits.retain(|hit| !(is_object && is_off(&hit.pointer)));
    hits
}

fn images(
    document: &Document,
    header: &Header,
    number: usize,
    declaration: &Declaration,
    extra: &Extra,
    seen: &mut Seen,
) {
    let query = |path: &Path| query(document, header, path);
    let object = Arc::new(header.object(document, number));
    for path in &declaration.pod_specs {
        for Hit { node, parent, pointer, .. } in query(path) {
            let state = parent.filter(|_| path.parent().is_some()).map(|pod| pods::state(document, pod));
            let object = Arc::new(Object { state: state.unwrap_or_default(), ..Object::clone(&object) });
            pods::of_spec(document, node, &pointer, &object, extra, &mut seen.found);
        }
    }
    for hit in declaration.split_images.iter().flat_map(query) {
        seen.found.extend(split_image(document, hit, &object));
    }
    for hit in declaration.images.iter().flat_map(query) {
        let Some(found) = whole_image(document, hit, &object) else { continue };
        for parameter in &declaration.parameters {
            let Some(name) = parameter.name_in(&found.image) else { continue };
            let is_named = |hit: &Hit| {
                let of_value = hit.parent.and_then(|parent| document.get(parent, "name"));
                of_value.and_then(|node| document.string(node)) == Some(name)
            };
            let values = parameter.values.iter().flat_map(query).filter(is_named);
            let values = values.filter_map(|hit| whole_image(document, hit, &object));
            seen.found.extend(values.filter(|value| is_image(&value.image)));
        }
        seen.found.push(found);
    }
    for hit in declaration.qualified_images.iter().flat_map(query) {
        match whole_image(document, hit, &object) {
            Some(found) if names_registry(&found.image) => seen.found.push(found),
            Some(found) if is_image(&found.image) => seen.suspects.extend(Suspect::of(found)),
            _ => {}
        }
    }
    for hit in declaration.helm_values.iter().flat_map(query) {
        helm_values(document, hit, &object, &mut seen.found);
    }
}

fn whole_image(document: &Document, hit: Hit, object: &Arc<Object>) -> Option<Found> {
    let Hit { node, parent, pointer, path } = hit;
    Some(Found {
        object: Arc::clone(object),
        place: path,
        image: document.string(node)?.to_owned(),
        pull_never: parent.is_some_and(|parent| is_never_pulled(document, parent)),
        shape: Shape::Whole,
        slots: vec![Slot { node, pointer }],
    })
}

/// Returns whether an image names its registry, so that a template can't put a prefix before it.
fn names_registry(image: &str) -> bool {
    is_image(image) && has_host(image)
}

/// Returns the images of a chart's values that name their registry. How the chart completes others is unknown.
fn helm_values(document: &Document, hit: Hit, object: &Arc<Object>, found: &mut Vec<Found>) {
    let mut unread = vec![(hit, false)];
    while let Some((hit, is_named)) = unread.pop() {
        let string = |key| document.get(hit.node, key).and_then(|node| document.string(node));
        let has = |key| document.get(hit.node, key).is_some();
        let is_split = string("repository").is_some();
        // Charts with a split name join it as they like.
        let is_whole_name = is_split && !has("name") && !has("image");
        if is_whole_name && (is_named || has("tag") || has("digest")) {
            let image = split_image(document, hit.clone(), object);
            found.extend(image.filter(|image| names_registry(&image.image)));
        }
        let is_part = is_split || has("registry");
        for (child, key) in hit.entries(document) {
            let is_named = key.is_some_and(is_name);
            if is_named && !is_part && document.string(child.node).is_some_and(names_registry) {
                found.extend(whole_image(document, child, object));
            } else {
                unread.push((child, is_named));
            }
        }
    }
}

fn is_never_pulled(document: &Document, parent: Id) -> bool {
    ["imagePullPolicy", "pullPolicy"]
        .iter()
        .any(|key| document.get(parent, key).and_then(|node| document.string(node)) == Some("Never"))
}

/// Finds `registry`, `repository`, `tag` and `digest`, as charts have them; or `repository`, `image` and `version`, as the GPU
/// operator does.
pub(super) fn split_image(document: &Document, hit: Hit, object: &Arc<Object>) -> Option<Found> {
    let node = |key| document.get(hit.node, key).filter(|&node| !document.is_null(node));
    let string = |key| node(key).and_then(|node| document.string(node));
    let repository = string("repository").filter(|text| !text.is_empty() && !text.contains(['{', '$']))?;
    // A tag that looks like a number is still a tag.
    let scalar = |key| node(key).and_then(|node| document.scalar(node)).filter(|text| !text.is_empty());
    let (tag, digest) = (scalar("tag"), string("digest"));
    let suffix = match string("image").filter(|name| !name.is_empty()) {
        None => suffix(tag, digest),
        Some(last) => {
            let version = tag.or_else(|| scalar("version"));
            let (version, of_version) = match version.filter(|version| version.contains(':')) {
                Some(digest) => (None, Some(digest)),
                None => (version, None),
            };
            ["/", last, &suffix(version, digest.or(of_version))].concat()
        }
    };
    let slot = |key| Some(Slot { node: node(key)?, pointer: below(&hit.pointer, &[Step::Key(key)]) });
    let (name, shape, slots) = match string("registry") {
        Some(registry) => {
            let name = if registry.is_empty() { repository.to_owned() } else { [registry, "/", repository].concat() };
            (name, Shape::Split { suffix: suffix.clone() }, vec![slot("registry")?, slot("repository")?])
        }
        None => (repository.to_owned(), Shape::Name { suffix: suffix.clone() }, vec![slot("repository")?]),
    };
    Some(Found {
        object: Arc::clone(object),
        place: hit.path,
        image: name + &suffix,
        pull_never: is_never_pulled(document, hit.node),
        shape,
        slots,
    })
}
