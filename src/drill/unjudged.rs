//! Images that are not judged, because no workload would pull them.

use std::collections::{BTreeMap, BTreeSet};

use crate::words::{count, few};

/// Why an image is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A node stores it, and no Pod or template names it.
    OnNodesOnly,
    /// Of an ephemeral container, which no workload starts again.
    Ephemeral,
    /// Its Pod is being deleted.
    Deleting,
    /// Nothing is written, or a placeholder.
    Placeholder,
}

impl Why {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnNodesOnly => "only stored on nodes",
            Self::Ephemeral => "of ephemeral containers",
            Self::Deleting => "of Pods that are being deleted",
            Self::Placeholder => "placeholders",
        }
    }
}

/// The images that are not judged.
#[derive(Debug, Clone, Default)]
pub struct Unjudged(BTreeMap<Why, BTreeSet<String>>);

impl Unjudged {
    pub(super) fn add(&mut self, why: Why, image: String) {
        self.0.entry(why).or_default().insert(image);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the images by reason, sorted.
    pub fn all(&self) -> impl Iterator<Item = (Why, &BTreeSet<String>)> {
        self.0.iter().map(|(why, images)| (*why, images))
    }

    /// Returns a line for each reason, with the number of images and the first names.
    pub fn lines(&self) -> Vec<String> {
        let line = |(why, images): (Why, &BTreeSet<String>)| {
            let names: Vec<&str> =
                images.iter().map(|image| if image.is_empty() { "(empty)" } else { image }).collect();
            format!("{} not judged, {}: {}", count(images.len(), "image"), why.as_str(), few(&names))
        };
        self.all().map(line).collect()
    }
}
