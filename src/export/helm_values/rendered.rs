//! Helm's output: the images and their places.

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::{Decision, ImageRef, Policy};
use crate::manifest::{Field, Known, Manifest, Unreadable};

/// The images of a chart.
#[derive(Debug, Default)]
pub struct Rendered {
    /// In the order of the text, which Helm sorts by kind and name.
    fields: Vec<Field>,
}

/// An image and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct RenderedImage<'r>(&'r Field);

impl Rendered {
    /// Reads the output of `helm template`. `file` is its name in errors.
    ///
    /// # Errors
    ///
    /// If it is not YAML.
    pub fn read(file: &str, text: &str, known: &Known) -> Result<Self, Unreadable> {
        Ok(Self { fields: Manifest::read(file, text, known)?.fields().to_vec() })
    }

    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = RenderedImage<'_>> {
        self.fields.iter().map(RenderedImage)
    }

    /// Returns the names, without tags and digests, that are equal to this one or end with it as a path.
    pub(super) fn of(&self, name: &str) -> Vec<&str> {
        let names: BTreeSet<&str> = self.places().map(|place| name_of(place.image())).collect();
        match names.get(name_of(name)) {
            Some(same) => vec![same],
            None => names.into_iter().filter(|other| is_of(other, name)).collect(),
        }
    }
}

impl<'r> RenderedImage<'r> {
    pub fn image(self) -> &'r str {
        &self.0.image
    }

    /// Returns the rewritten image; `None` if it is not rewritten.
    pub fn wanted(self, policy: &Policy, namespace: &str) -> Option<String> {
        match self.0.decide(policy, namespace, None) {
            Decision::Rewrite { result, .. } => Some(result),
            Decision::NotRewritten { .. } | Decision::Restore { .. } => None,
        }
    }

    /// Returns whether it is the same place in another output. Names may have random parts.
    pub fn is_as(self, other: RenderedImage) -> bool {
        self.0.object.kind == other.0.object.kind && self.0.place == other.0.place
    }
}

impl fmt::Display for RenderedImage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Field { object, place, .. } = self.0;
        let namespace = object.namespace.as_deref().map(|namespace| [namespace, "/"].concat()).unwrap_or_default();
        write!(f, "{} {namespace}{}, {place}", object.kind, object.name)
    }
}

/// Returns whether an image has this name, perhaps below a path, without regard to tags and digests.
pub(super) fn is_of(image: &str, name: &str) -> bool {
    let rest = name_of(image).strip_suffix(name_of(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Returns an image without tag and digest.
pub(super) fn name_of(image: &str) -> &str {
    ImageRef::parse(image).ok().and_then(|parsed| image.strip_suffix(parsed.suffix())).unwrap_or(image)
}
