//! Manifests as text: where images are in them, and the same text with nothing but those changed.
//!
//! ```
//! use pullthrough::manifest::{Known, Manifest};
//!
//! let text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: nginx}]}\n";
//! let manifest = Manifest::read("pod.yaml", text, &Known::default())?;
//! assert_eq!(manifest.fields()[0].image, "nginx");
//! # Ok::<(), pullthrough::manifest::Unreadable>(())
//! ```

mod catalogue;
pub mod declared;
mod found;
mod json;
pub mod kustomization;
mod kustomize;
mod lines;
mod objects;
mod path;
mod pods;
mod pointer;
mod resolve;
mod scalar;
mod tree;
mod unknown;
mod uses;
mod value;
mod writing;
mod yaml;

use std::collections::HashSet;
use std::sync::Arc;

pub use self::catalogue::Catalogue;
use self::declared::Declaration;
use self::found::Found;
use self::kustomization::Kustomization;
pub(crate) use self::kustomize::FILE_NAMES as KUSTOMIZATION_FILES;
use self::lines::Lines;
use self::objects::{Origin, Seen};
use self::tree::Document;
use self::unknown::Suspect;
pub use self::unknown::{Declarable, Lookalike};
pub use self::value::value;
use self::writing::{Edits, Plan};
use self::yaml::Fault;
use crate::engine::{Decision, PodState, Policy, Question};

/// Where images are: what Kubernetes and kustomize define, and what a rules file and the catalogue declare.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Of the rules file.
    pub declared: Vec<Declaration>,
    /// What comes with the program. An entry counts for a kind that the rules file does not declare.
    pub catalogue: Catalogue,
    /// Leave the `images:` of kustomizations alone.
    pub without_kustomize: bool,
}

/// The object that an image stands in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Counted from 0 in the text, empty documents included.
    pub document: usize,
    /// As written; empty where there is none.
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    /// The name, or what `generateName` says, or empty.
    pub name: String,
    /// What keeps all images of the Pod, or of the template's Pods.
    pub state: PodState,
}

/// An image in a text.
#[derive(Debug, Clone)]
pub struct Field {
    pub object: Arc<Object>,
    /// `containers/app` as elsewhere, `images/NAME` in a kustomization, else the declared path as it was found.
    pub place: String,
    /// The JSON pointer (RFC 6901) from the root of the document.
    pub pointer: String,
    /// Of the scalar's first character; both count from 1.
    pub line: usize,
    pub column: usize,
    /// As the API server would read it; what is split over several scalars is put together.
    pub image: String,
    /// `imagePullPolicy: Never`.
    pub pull_never: bool,
}

impl Field {
    pub fn decide<'p>(&self, policy: &'p Policy, default_namespace: &str) -> Decision<'p> {
        if let Some(reason) = policy.keeps_all(self.object.state) {
            return Decision::Keep { reason, rule: None };
        }
        policy.decide(Question {
            image: &self.image,
            namespace: self.object.namespace.as_deref().unwrap_or(default_namespace),
            pull_never: self.pull_never,
            previous: None,
        })
    }
}

/// Why a text can't be read. Displays with file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct Unreadable {
    pub file: String,
    pub line: usize,
    pub message: String,
    /// It is a template (Go, Jinja), to be rendered first.
    pub is_template: bool,
}

/// A text and the images in it.
#[derive(Debug)]
pub struct Manifest<'t> {
    text: &'t str,
    fields: Vec<Field>,
    lookalikes: Vec<Lookalike>,
    contents: Contents,
    /// A target for each field.
    plan: Plan<'t>,
    template: Option<usize>,
    unreadable: Vec<Unreadable>,
    /// Also what counts only together with other files.
    in_tree: bool,
    kustomizations: Vec<Kustomization>,
}

/// How much of a text was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Kubernetes objects, and documents that the rules file declares. Files of pullthrough itself do not count.
    pub objects: usize,
    /// Documents that are neither.
    pub others: usize,
}

/// What came of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// Positions in [`Manifest::fields`].
    pub changed: Vec<usize>,
    /// What could not be changed without changing something else too, and why.
    pub refused: Vec<(usize, String)>,
}

/// Nodes are counted in 32 bits.
const MAX_TEXT_BYTES: usize = u32::MAX as usize / 2;

impl<'t> Manifest<'t> {
    /// Reads YAML or JSON, one document or several. `file` is what errors call it, and what declared globs match.
    ///
    /// A document that can't be read is skipped, and [`Self::unreadable`] reports it.
    ///
    /// # Errors
    ///
    /// The first of them, if no document can be read.
    pub fn read(file: &str, text: &'t str, known: &Known) -> Result<Self, Unreadable> {
        Self::read_as(file, text, known, false)
    }

    /// As [`Self::read`], with what counts only where a kustomization names the file or is in it: the kustomizations, the
    /// `name` of each entry of `images`, those of Flux and of transformers, and the images of patches.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_in_tree(file: &str, text: &'t str, known: &Known) -> Result<Self, Unreadable> {
        Self::read_as(file, text, known, true)
    }

    fn read_as(file: &str, text: &'t str, known: &Known, in_tree: bool) -> Result<Self, Unreadable> {
        if text.len() > MAX_TEXT_BYTES {
            let message = "it is over 2 GiB".to_owned();
            return Err(Unreadable { file: file.to_owned(), line: 1, message, is_template: false });
        }
        let Reading { mut manifest, lines, read, faults, .. } = Reading::of(file, text, known, in_tree);
        if faults.is_empty() {
            return Ok(manifest);
        }
        let lines = lines.unwrap_or_else(|| Lines::new(text));
        let mut unreadable = faults.into_iter().map(|fault| unreadable(file, &lines, fault));
        match unreadable.next() {
            Some(first) if read == 0 => return Err(first),
            first => manifest.unreadable = first.into_iter().chain(unreadable).collect(),
        }
        Ok(manifest)
    }

    /// The documents that can't be read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// In the order of the text.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Fields that look like images, of objects whose kind is neither known nor declared, and of documents that are no
    /// Kubernetes objects.
    pub fn lookalikes(&self) -> &[Lookalike] {
        &self.lookalikes
    }

    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// Those of [`Self::read_in_tree`].
    pub fn kustomizations(&self) -> &[Kustomization] {
        &self.kustomizations
    }

    /// The first line with a value that a template has to fill in, as in `image: {{ .Values.image }}`: what is rendered
    /// there is not among the fields.
    pub fn template_line(&self) -> Option<usize> {
        self.template.map(|offset| Lines::new(self.text).line(offset))
    }

    /// The text with other images at some of its fields.
    pub fn write(&self, mut image: impl FnMut(&Field) -> Option<String>) -> Written {
        let wanted = self.fields.iter().enumerate().filter_map(|(index, field)| Some((index, image(field)?)));
        let wanted: Vec<(usize, String)> =
            wanted.filter(|(index, image)| self.fields[*index].image != *image).collect();
        if wanted.is_empty() {
            return Written { text: self.text.to_owned(), changed: Vec::new(), refused: Vec::new() };
        }
        let Edits { bytes, changed, refused } = self.plan.edits(&wanted, &Lines::new(self.text));
        let mut text = String::with_capacity(self.text.len() + self.text.len() / 8);
        let mut end = 0;
        for ((start, stop), bytes) in bytes {
            text.push_str(&self.text[end..start]);
            text.push_str(&bytes);
            end = stop;
        }
        text.push_str(&self.text[end..]);
        Written { text, changed, refused }
    }
}

/// A text that is being read.
struct Reading<'t> {
    manifest: Manifest<'t>,
    lines: Option<Lines<'t>>,
    /// Documents so far, empty and unreadable ones included.
    documents: usize,
    /// Those of them that were read and are not empty.
    read: usize,
    faults: Vec<Fault>,
}

impl<'t> Reading<'t> {
    fn of(file: &str, text: &'t str, known: &Known, in_tree: bool) -> Self {
        let json = json::Reader::is_likely(text).then(|| Self::of_json(file, text, known, in_tree));
        match json {
            Some(json) if json.faults.is_empty() => json,
            // It may be YAML in braces, unless JSON explains more of it.
            Some(json) => {
                let yaml = Self::of_yaml(file, text, known, in_tree);
                let offset = |reading: &Self| reading.faults.first().map_or(text.len(), |fault| fault.offset);
                if offset(&json) > offset(&yaml) && json.read >= yaml.read { json } else { yaml }
            }
            None => Self::of_yaml(file, text, known, in_tree),
        }
    }

    fn of_json(file: &str, text: &'t str, known: &Known, in_tree: bool) -> Self {
        let mut reading = Self::new(text, in_tree);
        let mut reader = json::Reader::new(text);
        loop {
            match reader.next_document() {
                Ok(Some(document)) => reading.add(document, file, known),
                Ok(None) => break,
                // Nothing tells where the next value would start.
                Err(fault) => {
                    reading.faults.push(fault);
                    break;
                }
            }
        }
        reading
    }

    fn of_yaml(file: &str, text: &'t str, known: &Known, in_tree: bool) -> Self {
        let mut reading = Self::new(text, in_tree);
        let mut reader = yaml::Reader::new(text);
        loop {
            match reader.next_document() {
                Ok(Some(document)) => reading.add(document, file, known),
                Ok(None) => break,
                Err(fault) => {
                    reading.faults.push(fault);
                    reading.documents += 1;
                    if !reader.skip_document() {
                        break;
                    }
                }
            }
        }
        reading.manifest.template = reader.template;
        reading
    }

    fn new(text: &'t str, in_tree: bool) -> Self {
        let manifest = Manifest {
            text,
            fields: Vec::new(),
            lookalikes: Vec::new(),
            contents: Contents::default(),
            plan: Plan::default(),
            template: None,
            unreadable: Vec::new(),
            in_tree,
            kustomizations: Vec::new(),
        };
        Self { manifest, lines: None, documents: 0, read: 0, faults: Vec::new() }
    }

    fn add(&mut self, document: Document<'t>, file: &str, known: &Known) {
        let is_empty = document.root().is_none();
        let Manifest { text, fields, lookalikes, contents, plan, in_tree, kustomizations, .. } = &mut self.manifest;
        let origin = Origin { file, document: self.documents };
        let Seen { mut found, suspects, objects, is_other } = objects::look(&document, origin, known);
        contents.objects += objects;
        contents.others += usize::from(is_other);
        for suspect in suspects {
            let lines = self.lines.get_or_insert_with(|| Lines::new(text));
            lookalikes.push(lookalike(&document, suspect, lines));
        }
        let mut embedded = Vec::new();
        if *in_tree {
            kustomizations.extend(kustomization::read(&document, text, origin, &mut found, &mut embedded));
        }
        for (document, found) in std::iter::once((document, found)).chain(embedded) {
            let found = in_order(&document, found);
            plan.add(&document, text, &found);
            for found in found {
                let lines = self.lines.get_or_insert_with(|| Lines::new(text));
                fields.extend(field(&document, found, lines));
            }
        }
        self.documents += 1;
        self.read += usize::from(!is_empty);
    }
}

/// By their place in the text, and each place once: what is declared may be known.
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
    Some(Field { object, place, pointer: slot.pointer, line, column, image, pull_never })
}

fn lookalike(document: &Document, suspect: Suspect, lines: &Lines) -> Lookalike {
    let Suspect { object, node, pointer: _, path, declaration, image } = suspect;
    let start = document.node(node).span.start;
    Lookalike { object, path, declaration, line: lines.line(start), column: lines.column(start), image }
}

fn unreadable(file: &str, lines: &Lines, fault: Fault) -> Unreadable {
    let Fault { offset, message } = fault;
    let document = document_around(lines.text(), offset);
    let is_template = document.contains("{%") || document.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
    let message = match is_template {
        true => format!("a template, which must be rendered first ({message})"),
        false => message,
    };
    Unreadable { file: file.to_owned(), line: lines.line(offset), message, is_template }
}

/// A document as `kubectl` takes a text apart, before it reads any of it.
fn document_around(text: &str, offset: usize) -> &str {
    const SEPARATOR: &str = "\n---";
    let (before, after) = text.split_at(text.floor_char_boundary(offset));
    let start = before.rfind(SEPARATOR).unwrap_or_default();
    let end = after.find(SEPARATOR).map_or(text.len(), |at| before.len() + at);
    &text[start..end]
}
