//! The `images` of a kustomization: `newName`, or `name` without it, with `newTag` and `digest`.

use std::sync::Arc;

use super::Object;
use super::found::{Found, Shape, Slot, suffix};
use super::objects::Header;
use super::pointer::{Step, below};
use super::resolve::Style;
use super::scalar;
use super::tree::{Content, Document, Id};
use crate::engine::ImageRef;

/// The file names that kustomize reads in a folder. It reads no other.
pub(crate) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// An entry of `images`.
#[derive(Debug, Clone)]
pub struct Entry {
    pub document: usize,
    pub name: String,
    pub new_name: Option<String>,
    pub new_tag: String,
    pub digest: String,
    /// The pointers of its fields.
    pub name_pointer: String,
    pub image_pointer: String,
    /// The entry skips the images of volumes, as a transformer without `fieldSpecs` does.
    pub containers_alone: bool,
}

pub(super) fn is_kustomization(header: &Header, file: &str) -> bool {
    let is_known = |kind: &str| matches!(kind, "Kustomization" | "Component");
    match (header.api_version.as_str(), header.kind.as_str()) {
        ("", "") => file.rsplit(['/', '\\']).next().is_some_and(|name| FILE_NAMES.contains(&name)),
        // Kustomize fills in missing fields.
        ("", kind) => is_known(kind),
        (_, kind) => header.group() == "kustomize.config.k8s.io" && (kind.is_empty() || is_known(kind)),
    }
}

/// Returns the namespace that a kustomization sets for its objects.
pub(super) fn object(document: &Document, header: &Header, number: usize) -> Object {
    let object = header.object(document, number);
    let namespace = document.get(header.root, "namespace").and_then(|node| document.string(node));
    Object { namespace: namespace.filter(|name| !name.is_empty()).map(str::to_owned), ..object }
}

/// Returns the fields that kustomize reads of an entry, in any list.
pub(super) fn images(document: &Document, header: &Header, object: &Arc<Object>, found: &mut Vec<Found>) {
    for (item, pointer) in listed(document, header.root, &[&["images"]]) {
        let pointer = [header.pointer.as_str(), &pointer].concat();
        found.extend(entry(document, item, pointer, object).into_iter().map(|(_, found)| found));
    }
}

/// Returns the items of lists with their pointers.
pub(super) fn listed(document: &Document, root: Id, paths: &[&[&str]]) -> Vec<(Id, String)> {
    let items = |path: &&[&str]| {
        let pointer = below("", &path.iter().map(|key| Step::Key(key)).collect::<Vec<_>>());
        let list = document.at(root, path).and_then(|list| document.items(list));
        let item = move |(index, item)| (item, below(&pointer, &[Step::Index(index)]));
        list.into_iter().flatten().enumerate().map(item).collect::<Vec<_>>()
    };
    paths.iter().flat_map(items).collect()
}

/// An entry that renames images, and its result.
pub(super) fn entry(document: &Document, item: Id, pointer: String, object: &Arc<Object>) -> Option<(Entry, Found)> {
    let node = |key| document.get(item, key).filter(|&node| !document.is_null(node));
    let string = |key| node(key).and_then(|node| document.string(node)).filter(|text| !text.is_empty());
    let name = string("name")?;
    let text = |key| node(key).and_then(|node| document.scalar(node)).filter(|text| !text.is_empty());
    let suffix = suffix(text("newTag"), string("digest"));
    let (shape, slot, written) = match (string("newName"), document.get(item, "newName")) {
        (Some(new_name), Some(node)) => {
            let slot = Slot { node, pointer: below(&pointer, &[Step::Key("newName")]) };
            (Shape::Name { suffix: suffix.clone() }, slot, new_name)
        }
        _ => {
            // Kustomize appends the tag of the image that it finds to `newName`.
            let own = ImageRef::parse(name).map_or("", |image| image.suffix());
            let suffix = if suffix.is_empty() { own.to_owned() } else { suffix.clone() };
            (Shape::NewName { suffix }, Slot { node: item, pointer: pointer.clone() }, name)
        }
    };
    let entry = Entry {
        document: object.document,
        name: name.to_owned(),
        new_name: string("newName").map(str::to_owned),
        new_tag: text("newTag").unwrap_or_default().to_owned(),
        digest: string("digest").unwrap_or_default().to_owned(),
        name_pointer: below(&pointer, &[Step::Key("name")]),
        image_pointer: slot.pointer.clone(),
        containers_alone: false,
    };
    let found = Found {
        object: Arc::clone(object),
        place: format!("images/{name}"),
        image: [written, &suffix].concat(),
        pull_never: false,
        shape,
        slots: vec![slot],
    };
    Some((entry, found))
}

/// The position of a new `newName` in an entry, and the text around it.
#[derive(Debug)]
pub(super) struct Insertion {
    pub at: usize,
    before: String,
    style: Style,
}

impl Insertion {
    /// Returns the position after `name`, or `None` without a safe place.
    pub fn of(document: &Document, text: &str, entry: Id) -> Option<Self> {
        let entry = document.target(entry);
        if document.get(entry, "newName").is_some() {
            return None;
        }
        let is_name = |key: Id| !document.is_merge_key(key) && document.scalar(key) == Some("name");
        let (key, value) = document.pairs(entry).filter(|&(key, _)| is_name(key)).last()?;
        document.scalar(value)?;
        let style_of = |id: Id| match document.node(id).content {
            Content::Scalar { style, .. } => Some(style),
            _ => None,
        };
        let style = style_of(value).unwrap_or(Style::Plain);
        let (key_style, key, end) = (style_of(key)?, document.node(key).span, document.node(value).span.end);
        let quote = if key_style == Style::DoubleQuoted { "\"" } else { "" };
        if document.node(entry).in_flow {
            return Some(Self { at: end, before: format!(", {quote}newName{quote}: "), style });
        }
        let line_start = text[..key.start].rfind(['\n', '\r']).map_or(0, |at| at + 1);
        let before_key = text[line_start..key.start].trim_start_matches('\u{feff}');
        let is_plain_indentation = before_key.bytes().all(|byte| matches!(byte, b' ' | b'-'));
        if style == Style::Block || !is_plain_indentation {
            return None;
        }
        let rest = &text[end..];
        let line_end = end + rest.find(['\n', '\r']).unwrap_or(rest.len());
        let line_break = line_break(&text[line_end..]).or_else(|| line_break(&text[text.find(['\n', '\r'])?..]));
        let (line_break, indentation) = (line_break.unwrap_or("\n"), " ".repeat(before_key.len()));
        Some(Self { at: line_end, before: format!("{line_break}{indentation}{quote}newName{quote}: "), style })
    }

    pub fn with(&self, name: &str) -> String {
        let value = match self.style {
            Style::DoubleQuoted => scalar::double_quoted(name),
            _ => scalar::new(name),
        };
        [self.before.as_str(), &value].concat()
    }
}

fn line_break(text: &str) -> Option<&'static str> {
    ["\r\n", "\n", "\r"].into_iter().find(|line_break| text.starts_with(line_break))
}
