//! What `pullthrough warm` recorded: what a cache was asked for, and when. It does not prove that the cache still has it.

use std::collections::HashMap;

use serde::Deserialize;

use super::verdict::{Evidence, Source, Verdict};
use crate::engine::ImageRef;
use crate::words::span;

/// The content of an entry for a blob.
const BLOB: &str = "blob";

/// The resume file of a warm.
#[derive(Debug, Default)]
pub struct Warmed {
    /// When the last manifest of a repository was received, in seconds since 1970.
    repositories: HashMap<String, i64>,
    /// By `REPOSITORY@DIGEST`.
    manifests: HashMap<String, i64>,
}

#[derive(Deserialize)]
struct Entry {
    cache: String,
    digest: String,
    content: String,
    at_secs: i64,
}

impl Warmed {
    /// Adds the entries of a file. A last line that is cut off is dropped.
    ///
    /// # Errors
    ///
    /// Returns the line that is not an entry.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let Some(line) = line.strip_suffix('\n') else { break };
            let entry: Entry = serde_json::from_str(line)
                .map_err(|_| format!("line {} is not an entry of a resume file of `pullthrough warm`", index + 1))?;
            if entry.content == BLOB {
                continue;
            }
            let newest = |known: &mut i64| *known = entry.at_secs.max(*known);
            let at_secs = entry.at_secs;
            self.manifests.entry(format!("{}@{}", entry.cache, entry.digest)).and_modify(newest).or_insert(at_secs);
            self.repositories.entry(entry.cache).and_modify(newest).or_insert(at_secs);
        }
        Ok(())
    }

    /// Returns what the record says of an image at a cache, `unknown` at best.
    pub fn look(&self, image: &ImageRef, now_secs: i64) -> Option<Evidence> {
        let ago = |at_secs: i64| span(now_secs.saturating_sub(at_secs));
        let text = match image.digest() {
            Some(digest) => {
                let at_secs = self.manifests.get(&format!("{}@{digest}", image.canonical()))?;
                format!("`warm` fetched it {} ago", ago(*at_secs))
            }
            None => {
                let at_secs = self.repositories.get(image.canonical())?;
                format!(
                    "`warm` fetched images of this repository, the last {} ago; its record has no tags",
                    ago(*at_secs)
                )
            }
        };
        let text = format!("{text}; the cache may have lost it since");
        Some(Evidence { source: Source::Record, verdict: Verdict::Unknown, text, fix: None })
    }
}
