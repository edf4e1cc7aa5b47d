//! What a cache holds, as its inventory says.

use std::pin::Pin;

use crate::registry::{Descriptor, Digest, Manifest, Platform};

/// What an inventory says of a part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<T> {
    Held {
        value: T,
        /// When the cache removes it, in seconds since 1970. `None` if it keeps it.
        until_secs: Option<i64>,
    },
    /// It is not held, with the reason.
    Absent(String),
    /// The inventory does not say, with the reason.
    Unknown(String),
}

/// Gathers parts, and returns how many.
pub type Gathering<'h> = Pin<Box<dyn Future<Output = usize> + 'h>>;

/// An inventory of a cache. Repositories are paths without the host.
///
/// Answers are about what the cache holds itself. What it would fetch from its upstream is absent.
pub trait Holdings {
    /// Returns what was read, for evidence: `storage /var/lib/registry`.
    fn title(&self) -> &str;

    fn tag(&self, repository: &str, tag: &str) -> Part<Digest>;

    fn manifest(&self, repository: &str, digest: &Digest) -> Part<Manifest>;

    /// Returns whether a configuration or a layer is held.
    fn blob(&self, repository: &str, blob: &Descriptor) -> Part<()>;

    /// Returns the platform in the configuration of an image.
    fn platform(&self, repository: &str, config: &Descriptor) -> Part<Platform>;

    /// Looks up the parts that were asked for and are not known, for an inventory that does not look them up at once. Calls
    /// `on_part` with the number of parts that are done and left.
    fn gather<'h>(&'h self, _on_part: &'h dyn Fn(usize, usize)) -> Gathering<'h> {
        Box::pin(std::future::ready(0))
    }

    /// Returns what users have to know of the inventory.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
