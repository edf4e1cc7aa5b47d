//! The state of a connection in the scheduling of turns.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What scheduling needs to know of a connection.
#[derive(Debug, Default)]
pub struct Standing {
    /// Number of its last turn.
    pub(super) served: Arc<AtomicU64>,
    /// Number of the last round of the crowd in which it was polled.
    pub(super) seen: AtomicU64,
}
