//! What Helm renders: the images, and where they stand.

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::{Decision, ImageRef, Policy};
use crate::manifest::{Field, Known, Manifest, Unreadable};

/// The images of a chart.
#[derive(Debug, Default)]
pub struct Rendered {
    /// In the order of the text, which is that of kinds and names.
    fields: Vec<Field>,
}

/// An image, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'r>(&'r Field);

impl Rendered {
    /// Reads what `helm template` prints. `file` is what errors call it.
    ///
    /// # Errors
    ///
    /// Where it is no YAML.
    pub fn read(file: &str, text: &str, known: &Known) -> Result<Self, Unreadable> {
        Ok(Self { fields: Manifest::read(file, text, known)?.fields().to_vec() })
    }

    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = Place<'_>> {
        self.fields.iter().map(Place)
    }

    /// The names, without tags and digests, that are this one or end with it as a path.
    pub(super) fn of(&self, name: &str) -> Vec<&str> {
        let names: BTreeSet<&str> = self.places().map(|place| name_of(place.image())).collect();
        match names.get(name_of(name)) {
            Some(same) => vec![same],
            None => names.into_iter().filter(|other| is_of(other, name)).collect(),
        }
    }
}

impl<'r> Place<'r> {
    pub fn image(self) -> &'r str {
        &self.0.image
    }

    /// The image that it should have, if that is another.
    pub fn wanted(self, policy: &Policy, namespace: &str) -> Option<String> {
        match self.0.decide(policy, namespace) {
            Decision::Rewrite { result, .. } => Some(result),
            Decision::Keep { .. } | Decision::Restore { .. } => None,
        }
    }

    /// Whether it is the same place of another rendering. Names may have random parts.
    pub fn is_as(self, other: Place) -> bool {
        self.0.object.kind == other.0.object.kind && self.0.place == other.0.place
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Field { object, place, .. } = self.0;
        let namespace = object.namespace.as_deref().map(|namespace| [namespace, "/"].concat()).unwrap_or_default();
        write!(f, "{} {namespace}{}, {place}", object.kind, object.name)
    }
}

/// Whether an image has this name, tags and digests aside, perhaps with something in front of it.
pub(super) fn is_of(image: &str, name: &str) -> bool {
    let rest = name_of(image).strip_suffix(name_of(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Without tag and digest.
pub(super) fn name_of(image: &str) -> &str {
    ImageRef::parse(image).ok().and_then(|parsed| image.strip_suffix(parsed.suffix())).unwrap_or(image)
}
