//! The objects of a document, and which of them have images where.

use std::sync::Arc;

use super::found::Found;
use super::pointer::{Step, below};
use super::tree::{Document, Id};
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

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Every image of a document.
pub(super) fn images(document: &Document, origin: Origin, known: &Known) -> Vec<Found> {
    let Some(root) = document.root().filter(|&root| document.is_mapping(root)) else { return Vec::new() };
    let mut found = Vec::new();
    for header in objects(document, root) {
        if !header.api_version.is_empty()
            && let Some(path) = pods::path(header.group(), &header.kind)
        {
            let extra = declared::Extra::of(known, &header);
            pods::images(document, &header, path, origin.document, &extra, &mut found);
        }
        declared::of_kind(document, &header, origin.document, known, &mut found);
        if !known.without_kustomize && header.root == root && kustomize::is_kustomization(&header, origin.file) {
            let object = Arc::new(kustomize::object(document, &header, origin.document));
            kustomize::images(document, &header, &object, &mut found);
        }
    }
    declared::of_file(document, root, origin, known, &mut found);
    found
}

/// The object that a document is, or those that it lists.
fn objects(document: &Document, root: Id) -> Vec<Header> {
    let mut objects = Vec::new();
    let mut unread = vec![header(document, root, String::new(), "", "")];
    while let Some(list) = unread.pop() {
        let item_kind = match list.kind.strip_suffix("List") {
            // A List of anything, and what KRM functions take.
            Some("") if list.api_version == "v1" => Some(""),
            Some("Resource") if list.group() == "config.kubernetes.io" => Some(""),
            Some("") | None => None,
            kind => kind,
        };
        let items = item_kind.and_then(|_| document.items(document.get(list.root, "items")?));
        let (Some(item_kind), Some(items)) = (item_kind, items) else {
            objects.push(list);
            continue;
        };
        let api_version = if item_kind.is_empty() { "" } else { list.api_version.as_str() };
        for (index, item) in items.enumerate() {
            let pointer = below(&list.pointer, &[Step::Key("items"), Step::Index(index)]);
            unread.push(header(document, item, pointer, api_version, item_kind));
        }
    }
    objects
}

/// Items of the API server's own lists don't say what they are.
fn header(document: &Document, root: Id, pointer: String, api_version: &str, kind: &str) -> Header {
    let text = |key, otherwise: &str| {
        document.get(root, key).and_then(|node| document.string(node)).unwrap_or(otherwise).to_owned()
    };
    Header { root, pointer, api_version: text("apiVersion", api_version), kind: text("kind", kind) }
}
