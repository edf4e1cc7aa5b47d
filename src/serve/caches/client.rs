//! The client for probes of a cache and for look-ups in it, made again when one of its files has changed: CAs and credentials are
//! renewed while serving.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::Cache;
use crate::registry::Client;
use crate::serve::reload::{self, Fingerprint};

/// Makes clients from files.
pub trait MakeClient: Debug + Send + Sync {
    /// Returns the files that [`Self::make`] reads.
    fn files(&self, cache: &Cache) -> Vec<PathBuf>;

    /// Makes a client for a cache.
    ///
    /// # Errors
    ///
    /// Returns the file that is unreadable or unusable.
    fn make(&self, cache: &Cache) -> anyhow::Result<Client>;
}

/// The client for a cache.
#[derive(Debug)]
pub struct CacheClient {
    cache: Cache,
    make: Arc<dyn MakeClient>,
    last: Mutex<Option<Last>>,
}

/// The files that were seen last, and the client of the last valid ones, or why there were none.
#[derive(Debug)]
struct Last {
    seen: Fingerprint,
    client: Result<Client, String>,
}

impl CacheClient {
    pub fn new(cache: Cache, make: Arc<dyn MakeClient>) -> Self {
        Self { cache, make, last: Mutex::default() }
    }

    /// Returns the client. If its files are not valid, it is the last one that was made from valid ones. It reads files.
    ///
    /// # Errors
    ///
    /// Returns why there never was one.
    pub fn get(&self) -> Result<Client, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.fingerprint();
        if let Some(last) = last.as_ref().filter(|last| last.seen == seen) {
            return last.client.clone();
        }
        let client = self.make.make(&self.cache).or_else(|error| {
            let error = format!("{error:#}");
            let cache = self.cache.prefix.written();
            tracing::error!(cache, error = error.as_str(), "a file for probes is not valid; fix it");
            last.take().and_then(|last| last.client.ok()).ok_or(error)
        });
        *last = Some(Last { seen, client: client.clone() });
        client
    }

    fn fingerprint(&self) -> Fingerprint {
        let name_and_content = |path: &PathBuf| {
            let content = std::fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes());
            [path.as_os_str().as_encoded_bytes().to_vec(), content]
        };
        let contents: Vec<Vec<u8>> = self.make.files(&self.cache).iter().flat_map(name_and_content).collect();
        reload::fingerprint(&contents)
    }
}
