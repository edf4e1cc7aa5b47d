//! Files get their texts at once, and keep them if the machine stops right after.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Problem;

const NEW_MODE: u32 = 0o644;

/// How the names of files begin that are about to become others. A process that is killed leaves them.
pub(super) const TEMPORARY_PREFIX: &str = ".pullthrough-";

/// Writes files, from several threads as well. A reader sees the old text or the new one, whole. Each
/// text is on the disk before its name is; [`Writer::finish`] has the names stored, once for each folder.
#[derive(Debug, Default)]
pub struct Writer {
    /// With names that may not be stored yet.
    folders: Mutex<BTreeSet<PathBuf>>,
}

/// Writes one file, which may be there or not.
///
/// # Errors
///
/// As [`Writer::write`].
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
    let writer = Writer::default();
    writer.write(path, text)?;
    writer.finish()
}

impl Writer {
    /// Replaces a file. Its mode stays, and its owner where that is permitted; a symbolic link is followed.
    ///
    /// # Errors
    ///
    /// Where the file or its folder may not be written, and where it has several names, since the others would keep the old
    /// text. Then nothing has changed.
    pub fn replace(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
        let problem =
            |why: String| Problem { name: path.display().to_string(), why: format!("can't be written: {why}") };
        let real = fs::canonicalize(path).map_err(|error| problem(error.to_string()))?;
        let old = fs::metadata(&real).map_err(|error| problem(error.to_string()))?;
        if !old.is_file() {
            return Err(problem("not a regular file".to_owned()));
        }
        // Renaming needs no permission for the file, but one that is read-only is meant to stay as it is.
        if old.permissions().readonly() || OpenOptions::new().write(true).open(&real).is_err() {
            return Err(problem("the file is read-only; `chmod u+w` lets it be".to_owned()));
        }
        // Writing through to the others would change files that nobody named, such as those of a backup.
        if old.nlink() > 1 {
            let count = old.nlink();
            return Err(problem(format!("the file has {count} hard links; put a copy in its place first")));
        }
        let folder = real.parent().unwrap_or(Path::new("/"));
        self.become_file(folder, &real, Some(&old), text.as_ref()).map_err(|error| problem_in(path, folder, &error))
    }

    /// Makes a file, which everybody may read, with the folders that it is in. One that is there is replaced, whatever it is.
    ///
    /// # Errors
    ///
    /// Where the file or a folder may not be written; then none but folders were made.
    pub fn create(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
        let folder = folder(path);
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        let made = fs::create_dir_all(folder);
        missing.into_iter().for_each(|folder| self.changed(folder));
        made.and_then(|()| self.become_file(folder, path, None, text.as_ref())).map_err(|error| {
            let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
            problem_in(path, nearest, &error)
        })
    }

    /// Replaces a file, or makes one where its folder is.
    ///
    /// # Errors
    ///
    /// As [`Writer::replace`].
    pub fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
        if fs::metadata(path).is_ok() {
            return self.replace(path, text);
        }
        let folder = folder(path);
        self.become_file(folder, path, None, text.as_ref()).map_err(|error| problem_in(path, folder, &error))
    }

    /// Removes a file, and its folder where it is empty then.
    ///
    /// # Errors
    ///
    /// Where that is not permitted.
    pub fn remove(&self, path: &Path) -> Result<(), Problem> {
        fs::remove_file(path).map_err(|error| Problem::new(path, &error))?;
        let folder = folder(path);
        match fs::remove_dir(folder) {
            Ok(()) => self.changed(folder),
            // It has other files.
            Err(_) => self.changed(path),
        }
        Ok(())
    }

    /// Stores the names of the files that were written.
    ///
    /// # Errors
    ///
    /// Where the system fails to; what is stored of the names is not known then.
    pub fn finish(self) -> Result<(), Problem> {
        for folder in self.folders.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // A folder may be writable and not readable, and some file systems store no folders on demand.
            let Ok(opened) = File::open(&folder) else { continue };
            match opened.sync_all() {
                Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    return Err(Problem {
                        name: folder.display().to_string(),
                        why: format!("can't be stored: {error}"),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn become_file(&self, folder: &Path, real: &Path, old: Option<&Metadata>, text: &[u8]) -> io::Result<()> {
        let mut temporary = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
        let file = temporary.as_file_mut();
        file.write_all(text)?;
        let new = file.metadata()?;
        if let Some(old) = old.filter(|old| (new.uid(), new.gid()) != (old.uid(), old.gid())) {
            // Only root may give a file away.
            let _ = fchown(&*file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(old.map_or(Permissions::from_mode(NEW_MODE), Metadata::permissions))?;
        file.sync_all()?;
        temporary.persist(real)?;
        self.changed(real);
        Ok(())
    }

    /// Remembers that a name was added or removed.
    fn changed(&self, path: &Path) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(folder(path).to_owned());
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

fn problem_in(path: &Path, folder: &Path, error: &io::Error) -> Problem {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("no file can be made in {}; make the folder writable", folder.display())
        }
        io::ErrorKind::NotFound => format!("{}: no such folder", folder.display()),
        _ => error.to_string(),
    };
    Problem { name: path.display().to_string(), why: format!("can't be written: {why}") }
}
