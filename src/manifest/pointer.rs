//! JSON pointers (RFC 6901), and JSONPaths to single nodes.
//!
//! The crate `jsonptr` copies a step to pop it, and a walk over a document pops at every node. It would save only
//! the escapes.

use std::fmt::Write as _;

/// A step from a node to its child.
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

    /// Appends the step as in a normalized path (RFC 9535). Names without special characters get no quotes.
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

/// Returns a pointer below another pointer.
pub(super) fn below(pointer: &str, steps: &[Step]) -> String {
    let mut pointer = pointer.to_owned();
    for step in steps {
        step.add_to_pointer(&mut pointer);
    }
    pointer
}
