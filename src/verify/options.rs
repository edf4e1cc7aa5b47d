//! What a run asks.

use crate::registry::Platform;

/// What to ask.
#[derive(Debug, Clone)]
pub struct Options {
    /// The platforms that each image must have.
    pub platforms: Vec<Platform>,
    /// Whether to compare digests with the upstreams.
    pub proves_digests: bool,
    /// Whether upstreams are asked at all.
    pub asks_upstreams: bool,
    /// The most images that are asked of a host at the same time.
    pub concurrency: usize,
}
