//! Finds images in manifests as text, and writes the same text with only those images changed.
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
mod class;
mod declared;
mod extra;
mod found;
mod json;
pub mod kustomization;
mod kustomize;
mod lines;
mod look;
mod lookalike;
mod objects;
mod path;
mod pods;
mod pointer;
pub mod reach;
mod reading;
mod resolve;
mod scalar;
mod seen;
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
pub use self::lookalike::{Declarable, Holder, InText, Lookalike};
use self::reading::Reading;
pub use self::value::value;
use self::writing::Plan;
pub use self::writing::{Edited, Edits};
use crate::engine::declared::Declaration;
use crate::engine::{Decision, Percent, PodState, Policy, Question, Workload};

/// Where images are: what Kubernetes and kustomize define, and what the rules file and the catalogue declare.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Declarations of the rules file.
    pub declared: Vec<Declaration>,
    /// Declarations of the built-in catalogue. An entry applies only to kinds that the rules file does not declare.
    pub catalogue: Catalogue,
    /// Don't read the `images:` of kustomizations.
    pub without_kustomize: bool,
    /// Read texts in a document as documents, if they are YAML or JSON.
    pub deep: bool,
}

/// The object that has an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// The document's number in the text, from 0. Empty documents count.
    pub document: usize,
    /// As written, or empty if it is missing.
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    /// The name, or the value of `generateName`, or empty.
    pub name: String,
    /// The reason that keeps all images of the Pod, or of the template's Pods, unchanged.
    pub state: PodState,
    /// The workload of the Pod, or of the Pods that the object controls. `None` for other objects: nothing in them says which
    /// controller their Pods have.
    pub workload: Option<Workload<'static>>,
}

impl Object {
    /// Returns the API group. It is empty for the core group.
    pub fn group(&self) -> &str {
        objects::group(&self.api_version)
    }
}

/// An image in a text.
#[derive(Debug, Clone)]
pub struct Field {
    pub object: Arc<Object>,
    /// `containers/app` as elsewhere, `images/NAME` in a kustomization, or else the path of the declaration.
    pub place: String,
    /// The JSON pointer (RFC 6901) from the root of the document.
    pub pointer: String,
    /// The position of the scalar's first character. Line and column count from 1.
    pub line: usize,
    pub column: usize,
    /// The image as the API server would read it. Parts of a split image are joined.
    pub image: String,
    /// `imagePullPolicy` is `Never`.
    pub pull_never: bool,
    /// The image is in a text of the document, such as the data of a ConfigMap.
    pub is_in_text: bool,
}

impl Field {
    /// Returns the namespace of the object, if the cluster gives it this default.
    pub fn namespace<'n>(&'n self, default: &'n str) -> &'n str {
        self.object.namespace.as_deref().unwrap_or(default)
    }

    /// Decides about the image. `included_from` is the percentage from which roll-outs include its workload, if that counts.
    pub fn decide<'p>(
        &self,
        policy: &'p Policy,
        default_namespace: &str,
        included_from: Option<Percent>,
    ) -> Decision<'p> {
        if let Some(reason) = policy.reason_for_all(self.object.state) {
            return Decision::NotRewritten { reason, rule: None, would_be: None };
        }
        policy.decide(Question {
            image: &self.image,
            namespace: self.namespace(default_namespace),
            pull_never: self.pull_never,
            previous: None,
            included_from,
        })
    }
}

/// Why a text is unreadable. Displays with file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct Unreadable {
    pub file: String,
    pub line: usize,
    pub message: String,
    /// The text is a template (Go, Jinja) that is not rendered.
    pub is_template: bool,
}

/// A part of a text: a document, or an object of a List.
#[derive(Debug)]
pub struct Part<'p, 't> {
    /// The images, in the order of the text.
    pub fields: Vec<Field>,
    /// Fields that look like images, in objects of unknown kinds, and in documents that are no
    /// Kubernetes objects.
    pub lookalikes: Vec<Lookalike>,
    /// Only from [`parts_in_tree`].
    pub kustomization: Option<Kustomization>,
    plan: Plan<'t>,
    lines: &'p Lines<'t>,
}

impl Part<'_, '_> {
    /// Adds the edits that write other images into fields. The edits of earlier parts must already be in place.
    pub fn edit(&self, edits: &mut Edits, image: impl FnMut(&Field) -> Option<String>) -> Edited {
        self.plan.edit(&self.fields, self.lines, edits, image)
    }
}

/// Facts about a text beside its parts.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    pub contents: Contents,
    /// The first line with a value of a template, as in `image: {{ .Values.image }}`. The images that the template
    /// renders there are not among the fields.
    pub template_line: Option<usize>,
    /// The unreadable documents.
    pub unreadable: Vec<Unreadable>,
}

/// A text and the images in it.
#[derive(Debug)]
pub struct Manifest<'t> {
    text: &'t str,
    fields: Vec<Field>,
    lookalikes: Vec<Lookalike>,
    kustomizations: Vec<Kustomization>,
    /// Each with the number of fields it is for.
    plans: Vec<(usize, Plan<'t>)>,
    outline: Outline,
}

/// How much of a text was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// The number of Kubernetes objects and declared documents. pullthrough's own files do not count.
    pub objects: usize,
    /// The number of other documents.
    pub others: usize,
}

/// The result of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// Positions in [`Manifest::fields`].
    pub changed: Vec<usize>,
    /// Fields whose change would change other values too, with the reason.
    pub refused: Vec<(usize, String)>,
}

/// Reads YAML or JSON with one or more documents, and passes on its parts one by one. Memory does not depend on the number
/// of images. `file` is the name in errors, and the name that declared globs match.
///
/// Unreadable documents are skipped, and [`Outline::unreadable`] reports them.
///
/// # Errors
///
/// Returns the first error if no document is readable. Then there was no part.
pub fn parts<'t>(
    file: &str,
    text: &'t str,
    known: &Known,
    mut part: impl FnMut(Part<'_, 't>),
) -> Result<Outline, Unreadable> {
    Reading::new(file, text, known, false, &mut part).run()
}

/// Like [`parts`], with fields that matter only to kustomize: the kustomizations, the `name` of
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

    /// Returns the images in the order of the text.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn lookalikes(&self) -> &[Lookalike] {
        &self.lookalikes
    }

    pub fn contents(&self) -> Contents {
        self.outline.contents
    }

    /// Returns the kustomizations that [`Self::read_in_tree`] found.
    pub fn kustomizations(&self) -> &[Kustomization] {
        &self.kustomizations
    }

    pub fn template_line(&self) -> Option<usize> {
        self.outline.template_line
    }

    /// Returns the text with other images in some of its fields.
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
