//! Files that a command makes and removes again among those of others. It knows its own by their first line.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{Problem, Writer};

/// What is to become of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'t> {
    Write { path: PathBuf, text: &'t str },
    Remove { path: PathBuf },
}

/// How a folder gets these texts, by path below it, and how the folders within `owned`, a path below it too, lose what else
/// has the marker. Nothing is changed yet.
///
/// # Errors
///
/// Every file that stands in the way without the marker, and what can't be read.
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
    // What names other files comes before them, as it comes after them above.
    let walk = || WalkDir::new(&owned).min_depth(2).max_depth(2).sort_by(|a, b| b.file_name().cmp(a.file_name()));
    for entry in owned.exists().then(walk).into_iter().flatten() {
        let found = match &entry {
            Ok(entry) if wanted(entry.path()) => continue,
            Ok(entry) => Found::at(entry.path(), marker),
            Err(error) => Err(Problem { name: owned.display().to_string(), why: error.to_string() }),
        };
        match (entry, found) {
            (Ok(entry), Ok(Found::Ours(_))) => changes.push(Change::Remove { path: entry.into_path() }),
            (_, Err(problem)) => problems.push(problem),
            _ => {}
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// A file that stands in the way.
pub fn foreign(path: &Path) -> Problem {
    let why = "this command did not make it, and leaves it as it is; move it away and run the command again".to_owned();
    Problem { name: path.display().to_string(), why }
}

impl Change<'_> {
    /// A folder that is empty without a file goes with it.
    ///
    /// # Errors
    ///
    /// Where that is not permitted.
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
