//! An image in a document, and the edits for another image.

use std::sync::Arc;

use super::Object;
use super::tree::Id;

#[derive(Debug)]
pub(super) struct Found {
    pub object: Arc<Object>,
    pub place: String,
    pub image: String,
    pub pull_never: bool,
    pub shape: Shape,
    /// The nodes that change with the image. The first one is the image's position.
    pub slots: Vec<Slot>,
}

/// A node that changes with an image.
#[derive(Debug)]
pub(super) struct Slot {
    /// The node as written, which may be an alias.
    pub node: Id,
    pub pointer: String,
}

/// How nodes make up an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    /// `--flag=`, followed by the image.
    Flag {
        prefix: String,
    },
    /// All but the tag and digest, which are in other fields.
    Name {
        suffix: String,
    },
    /// As a name, but the mapping has no key for it yet.
    NewName {
        suffix: String,
    },
    /// The registry, and the rest of the name.
    Split {
        suffix: String,
    },
}

impl Shape {
    /// Returns the texts of the slots for an image, or `None` if its tag or digest differs from that in another field.
    pub fn texts(&self, image: &str) -> Option<Vec<String>> {
        match self {
            Self::Whole => Some(vec![image.to_owned()]),
            Self::Flag { prefix } => Some(vec![[prefix, image].concat()]),
            Self::Name { suffix } | Self::NewName { suffix } => Some(vec![image.strip_suffix(suffix)?.to_owned()]),
            Self::Split { suffix } => {
                let (registry, repository) = image.strip_suffix(suffix)?.split_once('/')?;
                Some(vec![registry.to_owned(), repository.to_owned()])
            }
        }
    }
}

/// Returns `:tag` and `@digest`, if present.
pub(super) fn suffix(tag: Option<&str>, digest: Option<&str>) -> String {
    let part = |separator: &str, text: Option<&str>| match text {
        None | Some("") => String::new(),
        Some(text) => [separator, text].concat(),
    };
    part(":", tag) + &part("@", digest)
}
