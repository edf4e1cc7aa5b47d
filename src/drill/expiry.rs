//! `scheduler-state.json` of distribution: what a pull-through cache removes when (registry/proxy/scheduler).

use std::collections::HashMap;

use serde::Deserialize;

use crate::words::parse_secs;

/// `entryTypeBlob` of the scheduler.
const BLOB: u64 = 0;

/// What a proxy removes when, in seconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// By `REPOSITORY@DIGEST`.
    pub manifests: HashMap<String, i64>,
    /// By digest.
    pub blobs: HashMap<String, i64>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "ExpiryData")]
    expiry: String,
    #[serde(rename = "EntryType")]
    kind: u64,
}

impl Expiry {
    /// Reads `scheduler-state.json`.
    ///
    /// # Errors
    ///
    /// Returns why the text is not that file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries: HashMap<String, Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut all = Self::default();
        for Entry { key, expiry, kind } in entries.into_values() {
            let at_secs = parse_secs(&expiry).ok_or_else(|| format!("{key} has no time in `ExpiryData`"))?;
            let (_, digest) = key.rsplit_once('@').ok_or_else(|| format!("the key {key} has no digest"))?;
            if kind == BLOB {
                let first = all.blobs.entry(digest.to_owned()).or_insert(at_secs);
                *first = at_secs.min(*first);
            } else {
                all.manifests.insert(key, at_secs);
            }
        }
        Ok(all)
    }
}
