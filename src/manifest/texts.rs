//! Texts in a document that may be manifests: data of ConfigMaps and Secrets, annotations, values of charts, scripts.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::class::Class;
use super::lookalike::{self, Holder, is_image, is_name};
use super::objects::{Header, is_schema};
use super::pointer::{Step, below};
use super::resolve::{self, Resolved, Style};
use super::tree::{Content, Document, Id};
use super::{Object, json, yaml};

/// A text in which something may look like an image.
#[derive(Debug)]
pub(super) struct Text {
    pub holder: Holder,
    pub object: Arc<Object>,
    pub node: Id,
    pub pointer: String,
    pub path: String,
    pub form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    /// Lines, or JSON.
    Plain,
    /// Base64, with its decoded text.
    Encoded(String),
    /// The whole text looks like an image, and its key says so.
    Image,
}

/// Keys below which texts describe images of other objects.
const DESCRIPTIONS: [Step; 2] = [Step::Key("openAPIV3Schema"), Step::Key("managedFields")];

/// Returns the texts of an object, or of a document that is no object.
pub(super) fn of(document: &Document, header: &Header, number: usize) -> Vec<Text> {
    let is_object = !header.api_version.is_empty() && !header.kind.is_empty();
    let data = match header.kind.as_str() {
        "ConfigMap" if is_object && header.group().is_empty() => Some(Holder::ConfigMap),
        "Secret" if is_object && header.group().is_empty() => Some(Holder::Secret),
        _ => None,
    };
    match Class::of(header) {
        Class::Own => return Vec::new(),
        Class::NoImages if data.is_none() => return Vec::new(),
        _ if is_schema(document, header) => return Vec::new(),
        Class::NoImages | Class::Workload | Class::Unknown => {}
    }
    let mut texts = Vec::new();
    document.walk(header.root, |node, steps| {
        let Content::Scalar { value, style, tag } = document.node(node).content else { return };
        let Some(holder) = holder(steps, is_object, data) else { return };
        let is_string = resolve::resolve(value, style, tag) == Resolved::String;
        let form = match (holder, steps) {
            (Holder::Secret, [Step::Key("data"), _]) => decoded(value).map(Form::Encoded),
            _ if may_have_images(value) && is_long(value, style) => Some(Form::Plain),
            (Holder::ConfigMap | Holder::Secret | Holder::Annotation, [.., Step::Key(key)])
                if is_name(key) && is_string && is_image(value) =>
            {
                Some(Form::Image)
            }
            _ => None,
        };
        texts.extend(form.map(|form| Text {
            holder,
            object: Arc::new(header.object(document, number)),
            node,
            pointer: below(&header.pointer, steps),
            path: lookalike::path(steps),
            form,
        }));
    });
    texts
}

/// Returns the holder of the text at these steps, `data` if it is in the data of one.
fn holder(steps: &[Step], is_object: bool, data: Option<Holder>) -> Option<Holder> {
    match (steps, data) {
        ([Step::Key("metadata"), Step::Key("annotations"), Step::Key(_)], _) if is_object => Some(Holder::Annotation),
        ([Step::Key("status" | "metadata"), ..], _) if is_object => None,
        ([Step::Key("data" | "stringData"), Step::Key(_)], Some(data)) => Some(data),
        (steps, _) if steps.iter().any(|step| DESCRIPTIONS.contains(step)) => None,
        _ if is_object => Some(Holder::Field),
        _ => Some(Holder::Document),
    }
}

fn decoded(value: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
    (may_have_images(&text) && is_long(&text, Style::Plain)).then_some(text)
}

fn may_have_images(text: &str) -> bool {
    ["image", "Image", "IMAGE", "repository"].iter().any(|part| text.contains(part))
}

/// Returns whether the text is more than a word or a sentence.
fn is_long(text: &str, style: Style) -> bool {
    style == Style::Block || text.contains('\n') || text.trim_start().starts_with(['{', '['])
}

/// Returns the source of a literal block, with its position in the whole text. The lines of a folded block differ from its value.
pub(super) fn block<'t>(document: &Document, text: &'t str, node: Id) -> Option<(usize, &'t str)> {
    let node = document.node(document.target(node));
    let Content::Scalar { value, style: Style::Block, .. } = node.content else { return None };
    let start = text[..node.span.start].rfind('\n').map_or(0, |at| at + 1);
    let start = if text[start..node.span.start].trim().is_empty() { start } else { node.span.start };
    let raw = text.get(start..node.span.end)?;
    let (mut raw_lines, mut lines) = (lines(raw), lines(value));
    let is_literal = raw_lines.by_ref().eq(lines.by_ref());
    is_literal.then_some((start, raw))
}

/// Removes the margin of the lines, from the first line that is not empty to the last.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_end().lines().map(str::trim_start).skip_while(|line| line.is_empty())
}

/// The readable part of a text.
#[derive(Debug, Default)]
pub(super) struct Inner<'t> {
    /// Findings with their position in the text.
    pub documents: Vec<Document<'t>>,
    /// Lookalikes in the rest of the text, with their position in it.
    pub lookalikes: Vec<(usize, String)>,
}

impl<'t> Inner<'t> {
    /// Returns an unread text.
    pub fn unread(text: &str) -> Self {
        Self { documents: Vec::new(), lookalikes: lookalikes(text) }
    }

    /// Returns the documents that a text consists of, or those of the here-documents in a script.
    pub fn read(text: &'t str) -> Self {
        let mut inner = Self::default();
        if let Some(documents) = documents(text, 0..text.len()) {
            inner.documents = documents;
            return inner;
        }
        let mut bodies: Vec<Range<usize>> = Vec::new();
        for body in here_documents(text) {
            if let Some(documents) = documents(text, body.clone()) {
                inner.documents.extend(documents);
                bodies.push(body);
            }
        }
        let is_read = |offset: usize| {
            let next = bodies.partition_point(|body| body.end <= offset);
            bodies.get(next).is_some_and(|body| body.contains(&offset))
        };
        inner.lookalikes = lookalikes(text);
        inner.lookalikes.retain(|&(offset, _)| !is_read(offset));
        inner
    }
}

/// Returns the documents of a part that consists only of documents.
pub(super) fn documents<'t>(text: &'t str, part: Range<usize>) -> Option<Vec<Document<'t>>> {
    let mut documents: Vec<Document> = Vec::new();
    for part in separated(text, part) {
        let (start, part) = (part.start, &text[part]);
        let mut add = |document: Document<'t>| documents.push(document.shifted(start));
        match json::documents(part) {
            Some((_, Some(_))) => return None,
            Some((documents, None)) => documents.into_iter().for_each(add),
            None => {
                let mut is_whole = true;
                let template = yaml::each(part, |document| match document {
                    Ok(document) => add(document),
                    Err(_) => is_whole = false,
                });
                if template.is_some() || !is_whole {
                    return None;
                }
            }
        }
    }
    let is_collection = |document: &Document, root: Id| document.is_mapping(root) || document.items(root).is_some();
    documents.retain(|document| document.root().is_some_and(|root| !document.is_null(root)));
    let are_manifests =
        documents.iter().all(|document| document.root().is_some_and(|root| is_collection(document, root)));
    (are_manifests && !documents.is_empty()).then_some(documents)
}

/// Splits at lines that separate documents. All lines may have the same indentation.
fn separated(text: &str, part: Range<usize>) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut at) = (Vec::new(), part.start, part.start);
    let mut margin = None;
    for line in text[part.clone()].split_inclusive('\n') {
        let content = line.trim_start();
        let indentation = line.len() - content.len();
        if content.is_empty() || indentation > *margin.get_or_insert(indentation) {
            at += line.len();
            continue;
        }
        if let Some(bytes) = separator(content) {
            parts.push(start..at);
            start = at + indentation + bytes;
        }
        at += line.len();
    }
    parts.push(start..part.end);
    parts
}

/// Returns the length of a separator at the start of a line, in bytes: a marker, or a whole directive.
fn separator(line: &str) -> Option<usize> {
    let is_alone = |rest: &str| rest.trim().is_empty() || rest.starts_with([' ', '#']);
    match line.strip_prefix("---").or_else(|| line.strip_prefix("...")) {
        Some(rest) => is_alone(rest).then_some(line.len() - rest.len()),
        None => (line.starts_with("%YAML ") || line.starts_with("%TAG ")).then_some(line.len()),
    }
}

/// Returns the bodies of here-documents in a shell script.
fn here_documents(text: &str) -> Vec<Range<usize>> {
    let mut bodies = Vec::new();
    let (mut open, mut at): (Option<(usize, &str)>, usize) = (None, 0);
    for line in text.split_inclusive('\n') {
        match open {
            Some((start, end)) if line.trim() == end => {
                bodies.push(start..at);
                open = None;
            }
            Some(_) => {}
            None => open = here_document(line).map(|end| (at + line.len(), end)),
        }
        at += line.len();
    }
    bodies
}

/// Returns the end marker of the here-document that a line starts.
fn here_document(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("<<")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start().trim_start_matches(['\'', '"', '\\']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// A field as lines or JSON write it.
struct Written<'t> {
    key: &'t str,
    value: &'t str,
    /// The position of the value in the text.
    offset: usize,
    /// The value is no number, boolean or null.
    is_string: bool,
}

/// The number of fields between `repository` and `tag` of one image.
const NEAR: usize = 3;

/// Returns the fields that look like images, with their position in the text.
fn lookalikes(text: &str) -> Vec<(usize, String)> {
    let fields: Vec<Written> = written(text).collect();
    let is_split = |at: usize| {
        let mut near = fields[at.saturating_sub(NEAR)..(at + NEAR + 1).min(fields.len())].iter();
        near.any(|field| matches!(field.key, "tag" | "digest"))
    };
    let fields = fields.iter().enumerate().filter(|&(at, Written { key, value, is_string, .. })| {
        *is_string && is_image(value) && (is_name(key) || (*key == "repository" && is_split(at)))
    });
    fields.map(|(_, field)| (field.offset, field.value.to_owned())).collect()
}

fn written(text: &str) -> impl Iterator<Item = Written<'_>> {
    const ENDS: [char; 6] = ['\n', '{', '}', '[', ']', ','];
    const QUOTES: [char; 3] = ['"', '\'', '\\'];
    let mut start = 0;
    text.split_inclusive(ENDS).filter_map(move |part| {
        let (colon, end) = (part.find(':'), start + part.len());
        let offset = start + colon.unwrap_or_default() + 1;
        start = end;
        let (key, after) = part.split_at(colon?);
        let rest = without_properties(&after[1..]);
        let value = rest.split(" #").next().unwrap_or_default().trim_end_matches(ENDS).trim();
        // The value may be on the next line.
        let is_below = value.starts_with(['>', '|']) || (value.is_empty() && part.ends_with('\n'));
        let (written, before) = if is_below {
            (text[end..].lines().next().unwrap_or_default(), end)
        } else {
            (rest, offset + after.len() - 1 - rest.len())
        };
        let value = if is_below { written.trim() } else { value };
        let bare = value.trim_matches(QUOTES);
        Some(Written {
            key: key.trim_matches([' ', '\t', '-']).trim_matches(QUOTES),
            value: bare,
            offset: before + written.len() - written.trim_start().trim_start_matches(QUOTES).len(),
            is_string: bare.len() < value.len() || resolve::plain(bare) == Resolved::String,
        })
    })
}

/// Returns the text after an anchor and a tag.
fn without_properties(value: &str) -> &str {
    match value.trim_start().split_once(' ') {
        Some((property, rest)) if property.starts_with(['&', '!']) => without_properties(rest),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_lines_and_of_json_are_found() {
        let text = "a: b\n  - image: \"nginx:1\" # why\nimage: {{ .x }}\nimage: 12\n{\"image\":\"quay.io/a/b\",\"tag\":\"1\"}\n\
                    {\\\"image\\\":\\\"busybox\\\"}\nrepository: ghcr.io/a/b\nx: 1\ntag: 2\nimages: c\n";
        let found: Vec<_> = lookalikes(text)
            .into_iter()
            .map(|(offset, image)| (image.clone(), text[offset..offset + image.len()] == image))
            .collect();
        let images: Vec<&str> = found.iter().map(|(image, _)| image.as_str()).collect();
        assert_eq!(images, ["nginx:1", "quay.io/a/b", "busybox", "ghcr.io/a/b"]);
        assert!(found.iter().all(|(_, is_there)| *is_there));
    }

    #[test]
    fn here_documents_are_found() {
        let text =
            "set -e\ncat <<'EOF' >a\nkind: A\nEOF\nkubectl apply -f - <<-END\n  kind: B\n  END\necho $((1<<2))\n";
        let bodies: Vec<&str> = here_documents(text).into_iter().map(|body| &text[body]).collect();
        assert_eq!(bodies, ["kind: A\n", "  kind: B\n"]);
    }
}
