//! Files that a command creates and removes among those of users. A marker in the first line identifies its own files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{Problem, Writer};

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'t> {
    Write { path: PathBuf, text: &'t str },
    Remove { path: PathBuf },
}

/// Plans these texts for a folder, by path below it. In the folders of `owned`, other files with the marker are to be
/// removed. Nothing changes yet.
///
/// # Errors
///
/// Returns every file without the marker that is in the way, and every unreadable one.
pub fn plan<'t>(
    folder: &Path,
    owned: &str,
    marker: &str,
    texts: &'t BTreeMap<String, String>,
) -> Result<Vec<Change<'t>>, Vec<Problem>> {
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for (name, text) in texts {
        let path = folder.join(name);
        match Found::at(&path, marker) {
            Ok(Found::Ours(old)) if old == text.as_bytes() => {}
            Ok(Found::Ours(_) | Found::Nothing) => changes.push(Change::Write { path, text }),
            Ok(Found::Foreign) => problems.push(foreign(&path)),
            Err(problem) => problems.push(problem),
        }
    }
    let owned = folder.join(owned);
    let wanted = |path: &Path| {
        path.strip_prefix(folder).ok().and_then(Path::to_str).is_some_and(|name| texts.contains_key(name))
    };
    // Files that name other files are written after them and removed before them.
    let walk = || WalkDir::new(&owned).min_depth(2).max_depth(2).sort_by(|a, b| b.file_name().cmp(a.file_name()));
    for entry in owned.exists().then(walk).into_iter().flatten() {
        let found = match &entry {
            Ok(entry) if wanted(entry.path()) => continue,
            Ok(entry) => Found::at(entry.path(), marker),
            Err(error) => Err(Problem { name: owned.display().to_string(), why: error.to_string(), fix: None }),
        };
        match (entry, found) {
            (Ok(entry), Ok(Found::Ours(_))) => changes.push(Change::Remove { path: entry.into_path() }),
            (_, Err(problem)) => problems.push(problem),
            _ => {}
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// Returns the problem of a file that is in the way.
pub fn foreign(path: &Path) -> Problem {
    let why = "not created by this command".to_owned();
    Problem { name: path.display().to_string(), why, fix: Some("move it away and run the command again") }
}

impl Change<'_> {
    /// Applies the change. A folder that becomes empty is removed.
    ///
    /// # Errors
    ///
    /// Fails if the file system denies it.
    pub fn make(&self, writer: &Writer) -> Result<(), Problem> {
        match self {
            Self::Write { path, text } => writer.create(path, text),
            Self::Remove { path } => writer.remove(path),
        }
    }
}

enum Found {
    Nothing,
    Ours(Vec<u8>),
    Foreign,
}

impl Found {
    fn at(path: &Path, marker: &str) -> Result<Self, Problem> {
        let is_file = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.is_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(Problem::new(path, &error)),
        };
        if !is_file {
            return Ok(Self::Foreign);
        }
        let content = fs::read(path).map_err(|error| Problem::new(path, &error))?;
        let first = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Ok(if first == marker.as_bytes() { Self::Ours(content) } else { Self::Foreign })
    }
}
