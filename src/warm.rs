//! `pullthrough warm`: has caches fetch images.
//!
//! `planner` decides which requests follow an answer, and sends none. [`Run`] sends them, when [`pace`](Limits) and
//! [`quota`](Keep) allow it, and keeps a [`Record`] of what is done.

mod fault;
mod pace;
mod planner;
mod quota;
mod record;
pub mod report;
mod run;
mod turns;

use serde::Serialize;

pub use self::fault::{Fault, Reason, Status};
pub use self::pace::Limits;
pub use self::quota::Keep;
pub use self::record::{Record, RecordError};
pub use self::run::{Options, Run};
use crate::registry::Repository;

/// An image to fetch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// As written.
    pub image: String,
    /// Its name at the cache.
    pub name: String,
    /// The repository at the cache.
    pub repository: Repository,
    /// The repository at the upstream; `None` if the image as written names the cache.
    pub upstream: Option<Repository>,
}

impl Image {
    /// Returns the registry whose rate limit counts the requests.
    pub fn counted_at(&self) -> &str {
        self.upstream.as_ref().unwrap_or(&self.repository).host()
    }
}

/// What was done for an image. Its keys are those of `-o json`, and stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub image: String,
    pub name: String,
    pub product: &'static str,
    pub status: Status,
    pub digest: Option<String>,
    /// Requests to the cache, retries included. Those for tokens and those that follow redirects are not counted.
    pub requests: u64,
    /// The sum of manifests and blobs.
    pub bytes: u64,
    /// Parts that the resume file, or another image of the run, has.
    pub resumed: u64,
    pub faults: Vec<Fault>,
    /// The number of further faults.
    pub more_faults: usize,
}

/// An event of a run.
#[derive(Debug)]
pub enum Event {
    Done(Box<Entry>),
    Note(String),
}
