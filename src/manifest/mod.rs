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
mod declared;
mod found;
mod json;
pub mod kustomization;
mod kustomize;
mod lines;
mod objects;
mod path;
mod pods;
mod pointer;
pub mod reach;
mod reading;
mod resolve;
mod scalar;
mod texts;
mod tree;
mod unknown;
mod uses;
mod value;
mod writing;
mod yaml;

use std::sync::Arc;

pub use self::catalogue::Catalogue;
use self::kustomization::Kustomization;
pub(crate) use self::kustomize::FILE_NAMES as KUSTOMIZATION_FILES;
use self::lines::Lines;
use self::reading::Reading;
pub use self::texts::Holder;
pub use self::unknown::{Declarable, InText, Lookalike};
pub use self::value::value;
use self::writing::Plan;
pub use self::writing::{Edited, Edits};
use crate::engine::declared::Declaration;
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
    /// Read texts in a document as documents of their own, where they are some.
    pub deep: bool,
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

impl Object {
    /// Its API group, empty for the core group.
    pub fn group(&self) -> &str {
        objects::group(&self.api_version)
    }
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
    /// It stands in a text of the document, such as the data of a ConfigMap, and not in the document itself.
    pub is_in_text: bool,
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

/// A part of a text: a document, or an object of a List.
#[derive(Debug)]
pub struct Part<'p, 't> {
    /// In the order of the text.
    pub fields: Vec<Field>,
    /// Fields that look like images, of objects whose kind is neither known nor declared, and of documents that are no
    /// Kubernetes objects.
    pub lookalikes: Vec<Lookalike>,
    /// Of [`parts_in_tree`].
    pub kustomization: Option<Kustomization>,
    plan: Plan<'t>,
    lines: &'p Lines<'t>,
}

impl Part<'_, '_> {
    /// Adds the edits that give fields other images. Those of the parts before must be there already.
    pub fn edit(&self, edits: &mut Edits, image: impl FnMut(&Field) -> Option<String>) -> Edited {
        self.plan.edit(&self.fields, self.lines, edits, image)
    }
}

/// What is known of a text beside its parts.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    pub contents: Contents,
    /// The first line with a value that a template has to fill in, as in `image: {{ .Values.image }}`: what is rendered
    /// there is not among the fields.
    pub template_line: Option<usize>,
    /// The documents that can't be read.
    pub unreadable: Vec<Unreadable>,
}

/// A text and the images in it.
#[derive(Debug)]
pub struct Manifest<'t> {
    text: &'t str,
    fields: Vec<Field>,
    lookalikes: Vec<Lookalike>,
    kustomizations: Vec<Kustomization>,
    /// Each with how many of the fields it is for.
    plans: Vec<(usize, Plan<'t>)>,
    outline: Outline,
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

/// Reads YAML or JSON, one document or several, and gives its parts one by one, so that memory does not depend on how many
/// images there are. `file` is what errors call it, and what declared globs match.
///
/// A document that can't be read is skipped, and [`Outline::unreadable`] reports it.
///
/// # Errors
///
/// The first of them, if no document can be read. Then there was no part.
pub fn parts<'t>(
    file: &str,
    text: &'t str,
    known: &Known,
    mut part: impl FnMut(Part<'_, 't>),
) -> Result<Outline, Unreadable> {
    Reading::new(file, text, known, false, &mut part).run()
}

/// As [`parts`], with what counts only where a kustomization names the file or is in it: the kustomizations, the `name` of
/// each entry of `images`, those of Flux and of transformers, and the images of patches.
///
/// # Errors
///
/// As [`parts`].
pub fn parts_in_tree<'t>(
    file: &str,
    text: &'t str,
    known: &Known,
    mut part: impl FnMut(Part<'_, 't>),
) -> Result<Outline, Unreadable> {
    Reading::new(file, text, known, true, &mut part).run()
}

impl<'t> Manifest<'t> {
    /// Reads all [`parts`] of a text.
    ///
    /// # Errors
    ///
    /// As [`parts`].
    pub fn read(file: &str, text: &'t str, known: &Known) -> Result<Self, Unreadable> {
        let mut manifest = Self::new(text);
        manifest.outline = parts(file, text, known, |part| manifest.add(part))?;
        Ok(manifest)
    }

    /// Reads all [`parts_in_tree`] of a text.
    ///
    /// # Errors
    ///
    /// As [`parts`].
    pub fn read_in_tree(file: &str, text: &'t str, known: &Known) -> Result<Self, Unreadable> {
        let mut manifest = Self::new(text);
        manifest.outline = parts_in_tree(file, text, known, |part| manifest.add(part))?;
        Ok(manifest)
    }

    fn new(text: &'t str) -> Self {
        let (fields, lookalikes, kustomizations, plans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { text, fields, lookalikes, kustomizations, plans, outline: Outline::default() }
    }

    fn add(&mut self, part: Part<'_, 't>) {
        let Part { fields, lookalikes, kustomization, plan, lines: _ } = part;
        self.plans.push((fields.len(), plan));
        self.fields.extend(fields);
        self.lookalikes.extend(lookalikes);
        self.kustomizations.extend(kustomization);
    }

    pub fn unreadable(&self) -> &[Unreadable] {
        &self.outline.unreadable
    }

    /// In the order of the text.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn lookalikes(&self) -> &[Lookalike] {
        &self.lookalikes
    }

    pub fn contents(&self) -> Contents {
        self.outline.contents
    }

    /// Those of [`Self::read_in_tree`].
    pub fn kustomizations(&self) -> &[Kustomization] {
        &self.kustomizations
    }

    pub fn template_line(&self) -> Option<usize> {
        self.outline.template_line
    }

    /// The text with other images at some of its fields.
    pub fn write(&self, mut image: impl FnMut(&Field) -> Option<String>) -> Written {
        let (mut changed, mut refused) = (Vec::new(), Vec::new());
        let (mut edits, lines) = (Edits::default(), Lines::new(self.text));
        let mut start = 0;
        for (count, plan) in &self.plans {
            let edited = plan.edit(&self.fields[start..start + count], &lines, &mut edits, &mut image);
            changed.extend(edited.changed.into_iter().map(|field| start + field));
            refused.extend(edited.refused.into_iter().map(|(field, why)| (start + field, why)));
            start += count;
        }
        Written { text: edits.apply(self.text), changed, refused }
    }
}
