//! Finds out whether kustomizations outside the files of a run may include them.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use walkdir::WalkDir;

use super::includes::{includes, plain};
use crate::manifest::{KUSTOMIZATION_FILES, Known, Manifest};

const GIT: &str = ".git";

/// The paths of a run that kustomizations outside may include.
#[derive(Debug, Default)]
pub struct Outside {
    /// Each path of the command line, without symbolic links, and whether it may be a base.
    paths: Vec<(PathBuf, bool)>,
}

impl Outside {
    /// Searches the git repository of each path, or without one, the folder and those above it for a kustomization.
    pub fn of(paths: &[PathBuf]) -> Self {
        let real: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        let may_be_base = |path: &PathBuf| match repository(path) {
            Some(repository) if repository == *path => false,
            Some(repository) => is_included(path, &real, &repository),
            None => folders(path).any(has_kustomization),
        };
        Self { paths: real.iter().map(|path| (path.clone(), may_be_base(path))).collect() }
    }

    /// Returns whether a kustomization outside the files may include a file.
    pub fn may_include(&self, file: &Path) -> bool {
        let mut named = self.paths.iter().filter(|(path, _)| file.starts_with(path)).peekable();
        named.peek().is_some() && named.all(|(_, may_be_base)| *may_be_base)
    }
}

/// Returns the folder of a path, and those above.
fn folders(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(usize::from(!path.is_dir()))
}

fn repository(path: &Path) -> Option<PathBuf> {
    folders(path).find(|folder| folder.join(GIT).exists()).map(Path::to_owned)
}

fn has_kustomization(folder: &Path) -> bool {
    KUSTOMIZATION_FILES.iter().any(|name| folder.join(name).is_file())
}

/// Returns whether a kustomization of the repository that is not in the run includes something of a path.
fn is_included(path: &Path, named: &[PathBuf], repository: &Path) -> bool {
    let is_seen = |file: &Path| named.iter().any(|path| file.starts_with(path));
    let is_git = |name: &std::ffi::OsStr| name == GIT;
    let files = WalkDir::new(repository).into_iter().filter_entry(|entry| !is_git(entry.file_name())).flatten();
    let is_kustomization = |name: &std::ffi::OsStr| KUSTOMIZATION_FILES.iter().any(|known| name == *known);
    let mut kustomizations = files.filter(|entry| entry.file_type().is_file() && is_kustomization(entry.file_name()));
    kustomizations.any(|entry| {
        let file = entry.path();
        let folder = file.parent().unwrap_or(file);
        if is_seen(file) {
            return false;
        }
        let Ok(text) = fs::read_to_string(file) else { return false };
        let name = file.display().to_string();
        let Ok(manifest) = Manifest::read_in_tree(&name, &text, &Known::default()) else { return false };
        let included = manifest.kustomizations().iter().flat_map(includes);
        let reaches = |included: PathBuf| {
            iter::once(included).any(|included| {
                included.starts_with(path) || path.starts_with(&included) && path != included && !path.is_dir()
            })
        };
        included.map(|include| plain(&folder.join(include))).any(reaches)
    })
}
