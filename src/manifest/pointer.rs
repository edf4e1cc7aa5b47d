//! JSON pointers (RFC 6901), and JSONPaths to single nodes.
//!
//! Not with `jsonptr`: it copies a step to pop it, which a walk over a document does at every node. Beside that, only the
//! escapes would be left to it.

use std::fmt::Write as _;

/// A step from a node to one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'s> {
    Key(&'s str),
    Index(usize),
}

impl Step<'_> {
    pub fn add_to_pointer(self, pointer: &mut String) {
        pointer.push('/');
        match self {
            Self::Key(key) if key.contains(['~', '/']) => {
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Self::Key(key) => pointer.push_str(key),
            Self::Index(index) => {
                let _ = write!(pointer, "{index}");
            }
        }
    }

    /// As RFC 9535 writes a normalized path, but for names that need no quotes.
    pub fn add_to_path(self, path: &mut String) {
        match self {
            Self::Key(key)
                if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) =>
            {
                path.push('.');
                path.push_str(key);
            }
            Self::Key(key) => {
                let _ = write!(path, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"));
            }
            Self::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
        }
    }
}

/// A pointer to what lies below another one.
pub(super) fn below(pointer: &str, steps: &[Step]) -> String {
    let mut pointer = pointer.to_owned();
    for step in steps {
        step.add_to_pointer(&mut pointer);
    }
    pointer
}
