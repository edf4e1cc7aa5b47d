//! The objects of a document, and which of them have images where.

use std::collections::HashSet;
use std::sync::Arc;
use std::{iter, mem};

use super::found::Found;
use super::path::Hit;
use super::pointer::{Step, below};
use super::texts::{self, Text};
use super::tree::{Document, Id};
use super::unknown::{self, Class, Suspect, Walk};
use super::{Known, Object, declared, kustomize, pods};

/// Where a document comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'o> {
    pub file: &'o str,
    /// Its number in the text.
    pub document: usize,
}

/// An object, and what it is.
#[derive(Debug)]
pub(super) struct Header {
    pub root: Id,
    pub pointer: String,
    pub api_version: String,
    pub kind: String,
}

impl Header {
    pub fn group(&self) -> &str {
        group(&self.api_version)
    }

    /// Without what keeps its images.
    pub fn object(&self, document: &Document, number: usize) -> Object {
        let metadata = |key| document.at(self.root, &["metadata", key]).and_then(|node| document.string(node));
        Object {
            document: number,
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: metadata("namespace").map(str::to_owned),
            name: metadata("name").or_else(|| metadata("generateName")).unwrap_or_default().to_owned(),
            ..Object::default()
        }
    }
}

pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What was seen in a document.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub found: Vec<Found>,
    pub suspects: Vec<Suspect>,
    /// Kubernetes objects, and documents that are declared.
    pub objects: usize,
    /// Whether it is none of these, and not empty.
    pub is_other: bool,
    pub texts: Vec<Text>,
}

impl Seen {
    pub fn append(&mut self, other: Self) {
        let Self { found, suspects, objects, is_other, texts } = other;
        self.found.extend(found);
        self.suspects.extend(suspects);
        self.objects += objects;
        self.is_other |= is_other;
        self.texts.extend(texts);
    }
}

/// As [`look`], with all objects of a List together.
pub(super) fn look_at_all(document: &Document, origin: Origin, known: &Known) -> Seen {
    let mut seen = Seen::default();
    let rest = look(document, origin, known, &mut |item| seen.append(item));
    seen.append(rest);
    seen
}

/// Every image of a document, and what looks like one. What an object of a List has goes to `item`, and the rest is returned:
/// what is found in the objects of a long one takes several times the memory of their text.
pub(super) fn look(document: &Document, origin: Origin, known: &Known, item: &mut dyn FnMut(Seen)) -> Seen {
    let mut seen = Seen::default();
    let Some(root) = document.root().filter(|&root| !document.is_null(root)) else { return seen };
    let is_declared = declared::is_file(known, origin.file);
    // Aliases lead from one object to another, and what is declared of a document may be in any.
    let is_whole = document.has_aliases() || declared::is_document(document, root, origin, known);
    for header in objects(document, root) {
        object(document, &header, origin, known, is_declared, 0, &mut seen);
        seen.texts.extend(texts::of(document, &header, origin.document));
        if header.root != root && !is_whole {
            item(mem::take(&mut seen));
        }
    }
    let mut whole = Seen::default();
    if document.is_mapping(root) && declared::of_document(document, root, origin, known, &mut whole) {
        seen.objects = seen.objects.max(1);
        seen.is_other = false;
    }
    unknown::remove_found(&mut seen.suspects, &whole.found);
    seen.append(Seen { objects: 0, is_other: false, ..whole });
    let found: HashSet<&str> = seen.found.iter().flat_map(|found| &found.slots).map(|slot| &*slot.pointer).collect();
    seen.texts.retain(|text| !found.contains(&*text.pointer));
    seen
}

/// Objects within objects that are looked at.
const MAX_DEPTH: usize = 4;

fn object(
    document: &Document,
    header: &Header,
    origin: Origin,
    known: &Known,
    is_declared: bool,
    depth: usize,
    seen: &mut Seen,
) {
    let is_object = !header.api_version.is_empty() && !header.kind.is_empty();
    let class = if is_object { Class::of(header) } else { Class::Unknown };
    if class == Class::Own {
        return;
    }
    let (first_found, first_suspect) = (seen.found.len(), seen.suspects.len());
    let extra = declared::Extra::of(known, header);
    if let Some(path) = pods::path(header.group(), &header.kind).filter(|_| is_object) {
        pods::images(document, header, path, origin.document, &extra, &mut seen.found);
    }
    let mut is_whole = true;
    for Hit { node, pointer, .. } in declared::of_kind(document, header, origin.document, known, seen) {
        // What is deeper is reported instead.
        if depth == MAX_DEPTH {
            is_whole = false;
        } else {
            let inner = self::header(document, node, pointer, "", "");
            object(document, &inner, origin, known, is_declared, depth + 1, seen);
        }
    }
    let is_kustomization = header.pointer.is_empty() && kustomize::is_kustomization(header, origin.file);
    if is_kustomization && !known.without_kustomize {
        let object = Arc::new(kustomize::object(document, header, origin.document));
        kustomize::images(document, header, &object, &mut seen.found);
    }
    match is_object || is_kustomization {
        _ if depth > 0 => {}
        true => seen.objects += 1,
        false => seen.is_other = true,
    }
    if class == Class::Unknown && !is_kustomization && !is_schema(document, header) {
        let is_declared = is_declared || (is_whole && declared::is_of_rules_file(known, header));
        let walk =
            Walk { document, header, number: origin.document, with_lists: is_object, with_suspects: !is_declared };
        let mut suspects = walk.look(&extra, &mut seen.found);
        unknown::remove_found(&mut suspects, &seen.found[first_found..]);
        let reported: HashSet<String> =
            seen.suspects[first_suspect..].iter().map(|suspect| suspect.pointer.clone()).collect();
        seen.suspects.extend(suspects.into_iter().filter(|suspect| !reported.contains(&suspect.pointer)));
    }
}

/// JSON Schema and OpenAPI.
pub(super) fn is_schema(document: &Document, header: &Header) -> bool {
    let text = |key| document.get(header.root, key).and_then(|node| document.scalar(node));
    text("openapi").or(text("swagger")).is_some()
        || text("$schema").is_some_and(|name| name.contains("json-schema.org"))
}

/// The object that a document is, or those that it lists, in their order.
pub(super) fn objects<'d>(document: &'d Document, root: Id) -> impl Iterator<Item = Header> + 'd {
    let mut first = Some(header(document, root, String::new(), "", ""));
    let mut open: Vec<List> = Vec::new();
    iter::from_fn(move || {
        loop {
            let object = match first.take() {
                Some(first) => first,
                None => match open.last_mut()?.next(document) {
                    Some(item) => item,
                    None => {
                        open.pop();
                        continue;
                    }
                },
            };
            match item_kind(&object) {
                Some(kind) => match document.get(object.root, "items").and_then(|items| document.items(items)) {
                    Some(items) => open.push(List::new(&object, kind, items)),
                    // Nothing is in it.
                    None if kind.is_empty() => {}
                    None => return Some(object),
                },
                None => return Some(object),
            }
        }
    })
}

/// The kind of the objects that an object lists, empty where they say it themselves; nothing where it is no list.
fn item_kind(list: &Header) -> Option<&str> {
    match list.kind.strip_suffix("List") {
        // A List of anything, and what KRM functions take.
        Some("") if list.api_version == "v1" => Some(""),
        Some("Resource") if list.group() == "config.kubernetes.io" => Some(""),
        Some("") | None => None,
        kind => kind,
    }
}

/// A list that is not at its end.
struct List<'d> {
    pointer: String,
    api_version: String,
    kind: String,
    items: Box<dyn Iterator<Item = (usize, Id)> + 'd>,
}

impl<'d> List<'d> {
    fn new(list: &Header, kind: &str, items: impl Iterator<Item = Id> + 'd) -> Self {
        let api_version = if kind.is_empty() { "" } else { list.api_version.as_str() };
        Self {
            pointer: below(&list.pointer, &[Step::Key("items")]),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            items: Box::new(items.enumerate()),
        }
    }

    fn next(&mut self, document: &Document) -> Option<Header> {
        let (index, item) = self.items.next()?;
        let pointer = below(&self.pointer, &[Step::Index(index)]);
        Some(header(document, item, pointer, &self.api_version, &self.kind))
    }
}

/// Items of the API server's own lists don't say what they are.
fn header(document: &Document, root: Id, pointer: String, api_version: &str, kind: &str) -> Header {
    let text = |key, otherwise: &str| {
        document.get(root, key).and_then(|node| document.string(node)).unwrap_or(otherwise).to_owned()
    };
    Header { root, pointer, api_version: text("apiVersion", api_version), kind: text("kind", kind) }
}
