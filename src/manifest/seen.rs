//! Counts the objects of a document.

use super::found::Found;
use super::lookalike::Suspect;
use super::texts::Text;

/// The counts of a document, or of a part of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub found: Vec<Found>,
    pub suspects: Vec<Suspect>,
    /// The number of Kubernetes objects and declared documents.
    pub objects: usize,
    /// The document is none of these, and not empty.
    pub is_other: bool,
    pub texts: Vec<Text>,
}

impl Seen {
    pub fn append(&mut self, other: Self) {
        let Self { found, suspects, objects, is_other, texts } = other;
        self.found.extend(found);
        self.suspects.extend(suspects);
        self.objects += objects;
        self.is_other |= is_other;
        self.texts.extend(texts);
    }
}
