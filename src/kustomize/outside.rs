//! Whether kustomizations that are not among the files of a run may include them.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use walkdir::WalkDir;

use super::tree::{includes, plain};
use crate::manifest::{KUSTOMIZATION_FILES, Known, Manifest};

const GIT: &str = ".git";

/// The paths of a run that others may include.
#[derive(Debug, Default)]
pub struct Outside {
    /// Each path that was named, without symbolic links, and whether it may be a base of something else.
    paths: Vec<(PathBuf, bool)>,
}

impl Outside {
    /// Looks around what was named: in its git repository, or else for a kustomization in the folder and those above it.
    pub fn of(paths: &[PathBuf]) -> Self {
        let real: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        let may_be_base = |path: &PathBuf| match repository(path) {
            Some(repository) if repository == *path => false,
            Some(repository) => is_included(path, &real, &repository),
            None => folders(path).any(has_kustomization),
        };
        Self { paths: real.iter().map(|path| (path.clone(), may_be_base(path))).collect() }
    }

    /// Whether something that is not seen may include a file.
    pub fn may_include(&self, file: &Path) -> bool {
        let mut named = self.paths.iter().filter(|(path, _)| file.starts_with(path)).peekable();
        named.peek().is_some() && named.all(|(_, may_be_base)| *may_be_base)
    }
}

/// The folder itself, or the file's, and those above.
fn folders(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(usize::from(!path.is_dir()))
}

fn repository(path: &Path) -> Option<PathBuf> {
    folders(path).find(|folder| folder.join(GIT).exists()).map(Path::to_owned)
}

fn has_kustomization(folder: &Path) -> bool {
    KUSTOMIZATION_FILES.iter().any(|name| folder.join(name).is_file())
}

/// Whether a kustomization of the repository that is not among what was named includes something of a path.
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
