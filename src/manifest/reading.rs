//! Splits a text into its parts.

use std::cell::Cell;
use std::collections::HashSet;

use super::found::Found;
use super::kustomization::{self, Embedded, Kustomization};
use super::lines::Lines;
use super::lookalike::Suspect;
use super::objects::Origin;
use super::seen::Seen;
use super::texts::{self, Form, Inner, Text};
use super::tree::Document;
use super::writing::Plan;
use super::yaml::{self, Fault};
use super::{Contents, Field, InText, Known, Lookalike, Outline, Part, Unreadable, json, look};

/// Nodes are counted in 32 bits.
const MAX_TEXT_BYTES: usize = u32::MAX as usize / 2;
/// The depth of texts in texts that are read.
const MAX_DEPTH: usize = 4;

impl<'t> Part<'_, 't> {
    fn add(&mut self, document: &Document<'t>, at: &str, text: &'t str, found: Vec<Found>) {
        let found = in_order(document, found);
        self.plan.add(document, at, text, &found);
        self.fields.extend(found.into_iter().filter_map(|found| field(document, found, self.lines)));
    }
}

/// A text during reading.
pub(super) struct Reading<'r, 't> {
    file: &'r str,
    known: &'r Known,
    in_tree: bool,
    part: &'r mut dyn FnMut(Part<'_, 't>),
    text: &'t str,
    lines: Lines<'t>,
    contents: Contents,
    /// The number of documents so far. Empty and unreadable ones count.
    documents: usize,
    /// The number of those that were read and are not empty.
    read: usize,
    faults: Vec<Fault>,
    /// The number of objects in texts of documents.
    inner_objects: Cell<usize>,
}

impl<'r, 't> Reading<'r, 't> {
    pub fn new(
        file: &'r str,
        text: &'t str,
        known: &'r Known,
        in_tree: bool,
        part: &'r mut dyn FnMut(Part<'_, 't>),
    ) -> Self {
        let (lines, contents) = (Lines::new(text), Contents::default());
        Self {
            file,
            known,
            in_tree,
            part,
            text,
            lines,
            contents,
            documents: 0,
            read: 0,
            faults: Vec::new(),
            inner_objects: Cell::default(),
        }
    }

    pub fn run(mut self) -> Result<Outline, Unreadable> {
        if self.text.len() > MAX_TEXT_BYTES {
            let message = "the text is over 2 GiB".to_owned();
            return Err(Unreadable { file: self.file.to_owned(), line: 1, message, is_template: false });
        }
        let template = match json::documents(self.text) {
            Some((documents, fault)) => {
                documents.into_iter().for_each(|document| self.add(document));
                self.faults.extend(fault);
                None
            }
            None => yaml::each(self.text, |document| match document {
                Ok(document) => self.add(document),
                Err(fault) => {
                    self.documents += 1;
                    self.faults.push(fault);
                }
            }),
        };
        let Self { file, lines, mut contents, read, faults, inner_objects, .. } = self;
        contents.objects += inner_objects.get();
        let template_line = template.map(|offset| lines.line(offset));
        let mut unreadable = faults.into_iter().map(|fault| unreadable(file, &lines, fault));
        match unreadable.next() {
            Some(first) if read == 0 => Err(first),
            first => Ok(Outline { contents, template_line, unreadable: first.into_iter().chain(unreadable).collect() }),
        }
    }

    fn add(&mut self, document: Document<'t>) {
        let origin = Origin { file: self.file, document: self.documents };
        let mut is_other = false;
        let mut rest = look::look(&document, origin, self.known, &mut |item| {
            is_other |= item.is_other;
            self.give(&document, item, None, Vec::new());
        });
        let mut embedded = Vec::new();
        let kustomization = if self.in_tree {
            kustomization::read(&document, self.text, origin, self.known, &mut rest.found, &mut embedded)
        } else {
            None
        };
        self.contents.others += usize::from(is_other || rest.is_other);
        self.give(&document, rest, kustomization, embedded);
        self.documents += 1;
        self.read += usize::from(document.root().is_some());
    }

    fn give(
        &mut self,
        document: &Document<'t>,
        seen: Seen,
        kustomization: Option<Kustomization>,
        embedded: Vec<Embedded<'t>>,
    ) {
        let Seen { found, suspects, objects, is_other: _, mut texts } = seen;
        let lines = &self.lines;
        self.contents.objects += objects;
        let lookalikes = suspects.into_iter().map(|suspect| lookalike(document, suspect, lines)).collect();
        let mut part = Part { fields: Vec::new(), lookalikes, kustomization, plan: Plan::default(), lines };
        part.add(document, "", self.text, found);
        for Embedded { document, found, suspects } in embedded {
            part.add(&document, "", self.text, found);
            part.lookalikes.extend(suspects.into_iter().map(|suspect| lookalike(&document, suspect, lines)));
        }
        if let Some(kustomization) = &part.kustomization {
            // These were read above.
            texts.retain(|text| kustomization.inline_patches.iter().all(|(pointer, _)| *pointer != text.pointer));
        }
        for text in texts {
            self.add_text(document, text, 0, &mut part);
        }
        if !part.fields.is_empty() || !part.lookalikes.is_empty() || part.kustomization.is_some() {
            (self.part)(part);
        }
    }
}

impl<'t> Reading<'_, 't> {
    /// Adds the findings of a text in a document.
    fn add_text(&self, document: &Document<'t>, text: Text, depth: usize, part: &mut Part<'_, 't>) {
        let is_read = self.known.deep && depth < MAX_DEPTH;
        let block = texts::block(document, self.text, text.node).filter(|_| matches!(text.form, Form::Plain));
        let Some((start, raw)) = block else {
            let at = document.node(document.target(text.node)).span.start;
            return self.add_quoted(document, &text, at, depth, part);
        };
        let Inner { documents, lookalikes } = if is_read { Inner::read(raw) } else { Inner::unread(raw) };
        for document in documents {
            let document = document.shifted(start);
            let Seen { found, suspects, texts, .. } = self.look_into(&document, &text);
            let first = part.fields.len();
            part.add(&document, &text.pointer, self.text, found);
            part.fields[first..].iter_mut().for_each(|field| field.is_in_text = true);
            for suspect in suspects {
                let lookalike = lookalike(&document, suspect, &self.lines);
                part.lookalikes.push(text.claim(lookalike, is_read));
            }
            texts.into_iter().for_each(|text| self.add_text(&document, text, depth + 1, part));
        }
        part.lookalikes.extend(
            lookalikes.into_iter().map(|(offset, image)| text.lookalike(image, start + offset, &self.lines, is_read)),
        );
    }

    /// Like the above, for a text whose source differs from its value. All findings have the position `at`.
    fn add_quoted(&self, document: &Document, text: &Text, at: usize, depth: usize, part: &mut Part<'_, 't>) {
        let is_read = self.known.deep && depth < MAX_DEPTH;
        let value = document.string(text.node).unwrap_or_default();
        let value = match &text.form {
            Form::Plain => value,
            Form::Encoded(value) => value,
            Form::Image => return part.lookalikes.push(text.lookalike(value.to_owned(), at, &self.lines, is_read)),
        };
        let Inner { documents, lookalikes } = if is_read { Inner::read(value) } else { Inner::unread(value) };
        let (line, column) = (self.lines.line(at), self.lines.column(at));
        let inner = Lines::new(value);
        for document in documents {
            let Seen { found, suspects, texts, .. } = self.look_into(&document, text);
            let found = in_order(&document, found);
            part.plan.add_unwritable(&found, QUOTED);
            let fields = found.into_iter().filter_map(|found| field(&document, found, &inner));
            part.fields.extend(fields.map(|field| Field { line, column, is_in_text: true, ..field }));
            for suspect in suspects {
                let lookalike = Lookalike { line, column, ..lookalike(&document, suspect, &inner) };
                part.lookalikes.push(text.claim(lookalike, is_read));
            }
            texts.iter().for_each(|text| self.add_quoted(&document, text, at, depth + 1, part));
        }
        let lookalikes = lookalikes.into_iter().map(|(_, image)| text.lookalike(image, at, &self.lines, is_read));
        part.lookalikes.extend(lookalikes);
    }

    /// Returns the findings of a document in a text, with positions in the whole text.
    fn look_into(&self, document: &Document, text: &Text) -> Seen {
        let origin = Origin { file: "", document: text.object.document };
        let mut seen = look::look_at_all(document, origin, self.known);
        self.inner_objects.set(self.inner_objects.get() + seen.objects);
        let Text { pointer, path, .. } = text;
        for found in &mut seen.found {
            found.place = format!("{path}/{}", found.place);
            found.slots.iter_mut().for_each(|slot| slot.pointer.insert_str(0, pointer));
        }
        seen.suspects.iter_mut().for_each(|suspect| suspect.path.replace_range(.."$".len(), path));
        for inner in &mut seen.texts {
            inner.path.replace_range(.."$".len(), path);
            inner.pointer.insert_str(0, pointer);
        }
        seen
    }
}

/// Why an image in such a text is not changed.
const QUOTED: &str =
    "its text is quoted, folded or encoded; change the image by hand, or write the text as a literal block (`|`)";

impl Text {
    fn lookalike(&self, image: String, offset: usize, lines: &Lines, is_read: bool) -> Lookalike {
        let (line, column) = (lines.line(offset), lines.column(offset));
        let in_text = Some(InText { holder: self.holder, is_read });
        let (object, path) = (self.object.clone(), self.path.clone());
        Lookalike { object, path, declaration: None, line, column, image, in_text }
    }

    /// Returns a lookalike of a document in the text. Without an object of its own, it gets the object that holds the text.
    fn claim(&self, lookalike: Lookalike, is_read: bool) -> Lookalike {
        if !lookalike.object.api_version.is_empty() && !lookalike.object.kind.is_empty() {
            return lookalike;
        }
        let in_text = Some(InText { holder: self.holder, is_read });
        Lookalike { object: self.object.clone(), declaration: None, in_text, ..lookalike }
    }
}

/// Sorts by position and removes duplicates, since declared fields may be known fields.
fn in_order(document: &Document, mut found: Vec<Found>) -> Vec<Found> {
    let mut seen = HashSet::new();
    found.retain(|found| {
        let is_new = found.slots.iter().all(|slot| !seen.contains(&slot.pointer));
        seen.extend(found.slots.iter().filter(|_| is_new).map(|slot| slot.pointer.clone()));
        is_new
    });
    let start = |found: &Found| found.slots.first().map_or(0, |slot| document.node(slot.node).span.start);
    found.sort_by(|a, b| start(a).cmp(&start(b)).then_with(|| a.slots[0].pointer.cmp(&b.slots[0].pointer)));
    found
}

fn field(document: &Document, found: Found, lines: &Lines) -> Option<Field> {
    let Found { object, place, image, pull_never, shape: _, slots } = found;
    let slot = slots.into_iter().next()?;
    let start = document.node(slot.node).span.start;
    let (line, column) = (lines.line(start), lines.column(start));
    Some(Field { object, place, pointer: slot.pointer, line, column, image, pull_never, is_in_text: false })
}

fn lookalike(document: &Document, suspect: Suspect, lines: &Lines) -> Lookalike {
    let Suspect { object, node, pointer: _, path, declaration, image } = suspect;
    let start = document.node(node).span.start;
    let (line, column) = (lines.line(start), lines.column(start));
    Lookalike { object, path, declaration, line, column, image, in_text: None }
}

pub(super) fn unreadable(file: &str, lines: &Lines, fault: Fault) -> Unreadable {
    let Fault { offset, message } = fault;
    let document = document_around(lines.text(), offset);
    let is_template = document.contains("{%") || document.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
    let message = if is_template { format!("a template; render it first ({message})") } else { message };
    Unreadable { file: file.to_owned(), line: lines.line(offset), message, is_template }
}

/// Splits a text into documents as `kubectl` does, before it reads any of them.
fn document_around(text: &str, offset: usize) -> &str {
    const SEPARATOR: &str = "\n---";
    let (before, after) = text.split_at(text.floor_char_boundary(offset));
    let start = before.rfind(SEPARATOR).unwrap_or_default();
    let end = after.find(SEPARATOR).map_or(text.len(), |at| before.len() + at);
    &text[start..end]
}
