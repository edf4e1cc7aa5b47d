//! The fields in which a configuration of kustomize lets `images` find images.

use super::{Field, kustomize, yaml};

/// A field that a configuration opens to `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Empty for any group. So is the kind.
    group: String,
    kind: String,
    /// The keys of the path, without indices.
    path: Vec<String>,
}

impl Reach {
    /// Returns the fields of a configuration, or `None` if it is unreadable.
    pub fn of(text: &str) -> Option<Vec<Self>> {
        let mut reaches = Vec::new();
        let mut is_read = true;
        yaml::each(text, |document| {
            let Ok(document) = document else {
                is_read = false;
                return;
            };
            let Some(root) = document.root() else { return };
            for (item, _) in kustomize::listed(&document, root, &[&["images"]]) {
                let string = |key| document.get(item, key).and_then(|node| document.string(node)).unwrap_or_default();
                let path = string("path").split('/').map(|key| key.trim_end_matches("[]").to_owned()).collect();
                reaches.push(Self { group: string("group").to_owned(), kind: string("kind").to_owned(), path });
            }
        });
        is_read.then_some(reaches)
    }

    /// Returns the last key of the path.
    pub fn key(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Returns whether the pointer in the object leads to the field.
    pub fn is_of(&self, field: &Field, pointer: &str) -> bool {
        let is_position = |key: &&str| *key == "-" || key.bytes().all(|byte| byte.is_ascii_digit());
        let keys = pointer.split('/').skip(1).filter(|key| !is_position(key));
        (self.kind.is_empty() || self.kind == field.object.kind)
            && (self.group.is_empty() || self.group == field.object.group())
            && keys.eq(self.path.iter().map(String::as_str))
    }
}
