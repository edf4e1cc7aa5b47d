//! The resume file: what a cache has been asked for, one entry a line.
//!
//! A line is written at once, after its content was received. A run that is killed leaves whole lines, and at most one that is cut
//! off, which the next run drops.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::registry::{Digest, Manifest, Repository};
use crate::words::secs;

/// What a digest stands for.
const BLOB: &str = "blob";
const RECEIVED: &str = "received";
/// The beginning of each line.
const START: &str = r#"{"cache":"#;

/// Why a resume file can't be used.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("the resume file {path} is unusable: {reason}; name a file in a folder that this user can write")]
    Io { path: String, reason: String },
    #[error("the resume file {path} is in use by another run; wait for its end, or name another file")]
    InUse { path: String },
    #[error("{path}:{line} is not an entry of a resume file; name another file, so that this one is not overwritten")]
    Foreign { path: String, line: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The repository at the cache.
    cache: String,
    digest: String,
    /// `blob`, `received` for a manifest alone, or what is done with all that it names: `manifest`, or the platforms of an index.
    content: String,
    at_secs: i64,
    /// The text of a manifest that was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// A resume file that no other run uses.
#[derive(Debug)]
struct Locked {
    path: PathBuf,
    new: Mutex<File>,
    /// The file before it was replaced. Another run may have opened it, and must not get its lock.
    _old: File,
}

/// What is done, in this run and in earlier ones.
#[derive(Debug, Default)]
pub struct Record {
    done: Mutex<HashSet<(String, String, String)>>,
    /// Manifests that earlier runs received, of images that are not complete, by repository and digest.
    received: HashMap<(String, String), String>,
    file: Option<Locked>,
}

impl Record {
    /// Reads a file, or creates it, and drops entries older than `within` from it.
    ///
    /// # Errors
    ///
    /// Returns why the file can't be used.
    pub fn open(path: &Path, within: Duration) -> Result<Self, RecordError> {
        let failed = |error: io::Error| RecordError::Io { path: path.display().to_string(), reason: error.to_string() };
        let mut old = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        lock(&old).map_err(|error| match error {
            Errno::WOULDBLOCK => RecordError::InUse { path: path.display().to_string() },
            error => failed(error.into()),
        })?;
        let mut text = String::new();
        old.read_to_string(&mut text).map_err(failed)?;
        let entries = parse(path, &text, within)?;
        let new = replace(path, &entries).map_err(failed)?;
        let file = Some(Locked { path: path.to_owned(), new: Mutex::new(new), _old: old });
        Ok(Self { file, ..Self::of(entries) })
    }

    /// Reads a file that may be missing, and never writes it.
    ///
    /// # Errors
    ///
    /// Returns why the file can't be used.
    pub fn read(path: &Path, within: Duration) -> Result<Self, RecordError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::of(parse(path, &text, within)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(RecordError::Io { path: path.display().to_string(), reason: error.to_string() }),
        }
    }

    fn of(entries: Vec<Entry>) -> Self {
        let mut record = Self::default();
        let mut done = HashSet::new();
        for Entry { cache, digest, content, at_secs: _, text } in entries {
            match text {
                Some(text) => drop(record.received.insert((cache, digest), text)),
                None => drop(done.insert((cache, digest, content))),
            }
        }
        record.done = Mutex::new(done);
        record
    }

    pub fn has_blob(&self, cache: &Repository, digest: &Digest) -> bool {
        self.has(cache, digest, BLOB)
    }

    /// Returns whether a manifest and all that it names are done. `content` are the platforms.
    pub fn has(&self, cache: &Repository, digest: &Digest, content: &str) -> bool {
        let key = (cache.to_string(), digest.to_string(), content.to_owned());
        self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    pub fn add_blob(&self, cache: &Repository, digest: &Digest) -> Result<(), RecordError> {
        self.add(cache, digest, BLOB)
    }

    /// Returns a manifest that an earlier run received.
    pub fn received(&self, cache: &Repository, digest: &Digest) -> Option<Manifest> {
        let text = self.received.get(&(cache.to_string(), digest.to_string()))?;
        Manifest::of(digest.clone(), text.clone().into()).ok()
    }

    /// Adds a manifest, so that a later run need not request it again.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be written.
    pub fn add_received(&self, cache: &Repository, manifest: &Manifest) -> Result<(), RecordError> {
        let (Some(file), Ok(text)) = (&self.file, std::str::from_utf8(&manifest.bytes)) else { return Ok(()) };
        file.write(&Entry {
            cache: cache.to_string(),
            digest: manifest.digest.to_string(),
            content: RECEIVED.to_owned(),
            at_secs: secs(SystemTime::now()),
            text: Some(text.to_owned()),
        })
    }

    /// Adds a manifest with all that it names.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be written.
    pub fn add(&self, cache: &Repository, digest: &Digest, content: &str) -> Result<(), RecordError> {
        let (cache, digest, content) = (cache.to_string(), digest.to_string(), content.to_owned());
        let key = (cache.clone(), digest.clone(), content.clone());
        let is_new = self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        match self.file.as_ref().filter(|_| is_new) {
            Some(file) => file.write(&Entry { cache, digest, content, at_secs: secs(SystemTime::now()), text: None }),
            None => Ok(()),
        }
    }
}

impl Locked {
    /// Appends an entry by one write.
    fn write(&self, entry: &Entry) -> Result<(), RecordError> {
        let mut file = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line(entry).as_bytes())
            .map_err(|error| RecordError::Io { path: self.path.display().to_string(), reason: error.to_string() })
    }
}

/// Returns the entries of a text that are not older than `within`.
fn parse(path: &Path, text: &str, within: Duration) -> Result<Vec<Entry>, RecordError> {
    let oldest = secs(SystemTime::now()).saturating_sub(i64::try_from(within.as_secs()).unwrap_or(i64::MAX));
    let foreign = |index: usize| RecordError::Foreign { path: path.display().to_string(), line: index + 1 };
    let mut entries = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match line.strip_suffix('\n') {
            Some(line) => entries.push(serde_json::from_str::<Entry>(line).map_err(|_| foreign(index))?),
            // A killed run may have cut its last line off.
            None if line.starts_with(START) || START.starts_with(line) => {}
            None => return Err(foreign(index)),
        }
    }
    entries.retain(|entry| entry.at_secs >= oldest);
    // The texts of manifests are needed until the image is complete.
    let of = |entry: &Entry| (entry.cache.clone(), entry.digest.clone());
    let whole: HashSet<_> = entries.iter().filter(|entry| entry.text.is_none()).map(of).collect();
    entries.retain(|entry| entry.text.is_none() || !whole.contains(&of(entry)));
    Ok(entries)
}

fn line(entry: &Entry) -> String {
    let json = serde_json::to_string(entry).unwrap_or_default();
    json + "\n"
}

/// Locks a file until it is closed.
fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Replaces a file by one with the entries, and returns that, locked.
fn replace(path: &Path, entries: &[Entry]) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".pullthrough-").tempfile_in(folder)?;
    lock(new.as_file())?;
    new.write_all(entries.iter().map(line).collect::<String>().as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ImageRef;

    const DAY: Duration = Duration::from_secs(86_400);

    fn repository() -> Repository {
        Repository::of(&ImageRef::parse("cache.io/a").unwrap()).unwrap()
    }

    #[test]
    fn entries_survive_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume");
        let (cache, one, two) = (repository(), Digest::of(b"1"), Digest::of(b"2"));
        let record = Record::open(&path, DAY).unwrap();
        record.add_blob(&cache, &one).unwrap();
        record.add(&cache, &two, "linux/amd64").unwrap();
        assert!(matches!(Record::open(&path, DAY), Err(RecordError::InUse { .. })));
        drop(record);
        let whole = std::fs::read_to_string(&path).unwrap();
        for cut in [whole.len() - 1, whole.len() - 40, whole.len() - whole.lines().last().unwrap().len()] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let record = Record::open(&path, DAY).unwrap();
            assert!(record.has_blob(&cache, &one), "{cut}");
            assert!(!record.has(&cache, &two, "linux/amd64"));
            record.add(&cache, &two, "linux/amd64").unwrap();
            drop(record);
            let record = Record::open(&path, DAY).unwrap();
            assert!(record.has(&cache, &two, "linux/amd64") && !record.has(&cache, &two, "linux/arm64"));
        }
    }

    #[test]
    fn old_entries_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume");
        let entry = |at_secs| Entry {
            cache: "cache.io/a".to_owned(),
            digest: Digest::of(&[u8::from(at_secs > 1)]).to_string(),
            content: BLOB.to_owned(),
            at_secs,
            text: None,
        };
        let now = secs(SystemTime::now());
        std::fs::write(&path, line(&entry(1)) + &line(&entry(now - 60))).unwrap();
        let record = Record::open(&path, DAY).unwrap();
        assert!(record.has_blob(&repository(), &Digest::of(&[1])));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        for text in ["kind: Rules\n", "kind: Rules", "{}\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Record::open(&path, DAY), Err(RecordError::Foreign { line: 1, .. })), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
