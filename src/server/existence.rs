//! Asks caches whether they have the images of a request, before the decision.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A rewritten image that a rule with `checkExists` gives, and the time for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub image: String,
    pub deadline: Duration,
}

/// Answers whether caches have images.
pub trait Existence: Debug + Send + Sync {
    /// Returns the images that their cache does not have. Those without an answer in time count as cached.
    fn missing(self: Arc<Self>, questions: Vec<Question>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send>>;
}

/// Asks no cache.
#[derive(Debug)]
pub struct NotAsked;

impl Existence for NotAsked {
    fn missing(self: Arc<Self>, _: Vec<Question>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}
