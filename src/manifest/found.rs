//! An image as it was found in a document, and what must be written for another one.

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
    /// What changes with the image, the first of which says where it stands.
    pub slots: Vec<Slot>,
}

/// A node that changes with an image.
#[derive(Debug)]
pub(super) struct Slot {
    /// What stands at the place, which may be an alias.
    pub node: Id,
    pub pointer: String,
}

/// How an image is made of the nodes that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    /// `--flag=` and then the image.
    Flag {
        prefix: String,
    },
    /// All but tag and digest, which stand elsewhere.
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
    /// The texts of the slots for an image; nothing where it has another tag or digest than what stands elsewhere.
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

/// `:tag` and `@digest`, of those that are there.
pub(super) fn suffix(tag: Option<&str>, digest: Option<&str>) -> String {
    let part = |separator: &str, text: Option<&str>| match text {
        None | Some("") => String::new(),
        Some(text) => [separator, text].concat(),
    };
    part(":", tag) + &part("@", digest)
}
