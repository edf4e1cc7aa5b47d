//! The objects of a document.

use std::iter;

use super::Object;
use super::pointer::{Step, below};
use super::tree::{Document, Id};

/// The origin of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'o> {
    pub file: &'o str,
    /// The document's number in the text.
    pub document: usize,
}

/// An object, and its kind.
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

    /// Returns the object with its default state: see [`Object::state`].
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

/// JSON Schema and OpenAPI.
pub(super) fn is_schema(document: &Document, header: &Header) -> bool {
    let text = |key| document.get(header.root, key).and_then(|node| document.scalar(node));
    text("openapi").or(text("swagger")).is_some()
        || text("$schema").is_some_and(|name| name.contains("json-schema.org"))
}

/// Returns the object that a document is, or the objects that it lists, in order.
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
                    // The document is empty.
                    None if kind.is_empty() => {}
                    None => return Some(object),
                },
                None => return Some(object),
            }
        }
    })
}

/// Returns the kind of the objects in a list. It is empty if the objects have their own. `None` if the object is no list.
fn item_kind(list: &Header) -> Option<&str> {
    match list.kind.strip_suffix("List") {
        // A List of any kind, and the input of KRM functions.
        Some("") if list.api_version == "v1" => Some(""),
        Some("Resource") if list.group() == "config.kubernetes.io" => Some(""),
        Some("") | None => None,
        kind => kind,
    }
}

/// A list whose items are not all visited.
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

/// Items of the API server's typed lists have no kind.
pub(super) fn header(document: &Document, root: Id, pointer: String, api_version: &str, kind: &str) -> Header {
    let text = |key, otherwise: &str| {
        document.get(root, key).and_then(|node| document.string(node)).unwrap_or(otherwise).to_owned()
    };
    Header { root, pointer, api_version: text("apiVersion", api_version), kind: text("kind", kind) }
}
