//! What Helm renders: the images, and where they stand.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Decision, ImageRef, Policy};
use crate::manifest::{Field, Known, Manifest, Unreadable};

/// The images of a chart.
#[derive(Debug, Default)]
pub struct Rendered {
    /// By the object and the place in it, and counted where several have the same.
    fields: BTreeMap<String, Field>,
}

impl Rendered {
    /// Reads what `helm template` prints. `file` is what errors call it.
    ///
    /// # Errors
    ///
    /// Where it is no YAML.
    pub fn read(file: &str, text: &str, known: &Known) -> Result<Self, Unreadable> {
        let mut fields = BTreeMap::new();
        for field in Manifest::read(file, text, known)?.fields() {
            let object = &field.object;
            let namespace = object.namespace.as_deref().map(|namespace| [namespace, "/"].concat()).unwrap_or_default();
            let place = format!("{} {namespace}{}, {}", object.kind, object.name, field.place);
            let same = (2..).map(|count| format!("{place} ({count})"));
            let place = [place.clone()].into_iter().chain(same).find(|place| !fields.contains_key(place));
            fields.insert(place.unwrap_or_default(), field.clone());
        }
        Ok(Self { fields })
    }

    pub(super) fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(place, field)| (place.as_str(), field.image.as_str()))
    }

    /// The image that a place should have.
    pub(super) fn wanted(&self, place: &str, policy: &Policy, namespace: &str) -> Option<String> {
        match self.fields.get(place)?.decide(policy, namespace) {
            Decision::Rewrite { result, .. } => Some(result),
            Decision::Keep { .. } | Decision::Restore { .. } => None,
        }
    }

    /// The names, without tags and digests, that are this one or end with it as a path.
    pub(super) fn of(&self, name: &str) -> Vec<&str> {
        let names: BTreeSet<&str> = self.images().map(|(_, image)| name_of(image)).collect();
        let is_of = |other: &&str| {
            *other == name_of(name) || other.strip_suffix(name_of(name)).is_some_and(|rest| rest.ends_with('/'))
        };
        match names.get(name_of(name)) {
            Some(same) => vec![same],
            None => names.into_iter().filter(is_of).collect(),
        }
    }
}

/// Without tag and digest.
pub(super) fn name_of(image: &str) -> &str {
    ImageRef::parse(image).ok().and_then(|parsed| image.strip_suffix(parsed.suffix())).unwrap_or(image)
}
