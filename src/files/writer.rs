//! Replaces files at once, and keeps the new text if the machine stops right after.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Problem;

const NEW_MODE: u32 = 0o644;

/// The prefix of temporary files. A killed process leaves them.
pub(super) const TEMPORARY_PREFIX: &str = ".pullthrough-";

/// Writes files, also from several threads. A reader sees the whole old text or the whole new one. Each
/// text is on the disk before its name is. [`Writer::finish`] stores the names, once for each folder.
#[derive(Debug, Default)]
pub struct Writer {
    /// Folders with names that may not be stored yet.
    folders: Mutex<BTreeSet<PathBuf>>,
    /// Whether the text may be lost if the machine stops.
    may_be_lost: bool,
}

/// Writes one file, new or existing, that is of no use after this process. It does not wait for the disk, which can take many
/// seconds if that is busy.
///
/// # Errors
///
/// As [`Writer::write`].
pub fn write_for_now(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
    Writer { may_be_lost: true, ..Writer::default() }.write(path, text)
}

impl Writer {
    /// Replaces a file. Its mode stays, and so does its owner if that is permitted. A symbolic link is followed.
    ///
    /// # Errors
    ///
    /// Fails if the file or its folder is not writable, or if the file has several hard links, since the others would keep the
    /// old text. Nothing has changed then.
    pub fn replace(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<(), Problem> {
        let problem = |why: &str, fix| unwritable(path, why, fix);
        let unknown = |error: io::Error| problem(&error.to_string(), None);
        let real = fs::canonicalize(path).map_err(unknown)?;
        let old = fs::metadata(&real).map_err(unknown)?;
        if !old.is_file() {
            return Err(problem("not a regular file", None));
        }
        // Renaming needs no permission for the file, but a read-only file is meant to stay unchanged.
        if old.permissions().readonly() || OpenOptions::new().write(true).open(&real).is_err() {
            return Err(problem("the file is read-only", Some("run `chmod u+w`")));
        }
        // Writing through to the other names would change files that the user did not name, such as those of a backup.
        if old.nlink() > 1 {
            let count = old.nlink();
            return Err(problem(&format!("the file has {count} hard links"), Some("replace it with a copy first")));
        }
        let folder = real.parent().unwrap_or(Path::new("/"));
        self.become_file(folder, &real, Some(&old), text.as_ref()).map_err(|error| problem_in(path, folder, &error))
    }

    /// Creates a file that everybody may read, with its folders. It replaces an existing file of any type.
    ///
    /// # Errors
    ///
    /// Fails if the file or a folder is not writable. At most folders were created then.
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

    /// Replaces a file, or creates one in an existing folder.
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

    /// Removes a file, and its folder if that becomes empty.
    ///
    /// # Errors
    ///
    /// Fails if the file system denies it.
    pub fn remove(&self, path: &Path) -> Result<(), Problem> {
        fs::remove_file(path).map_err(|error| Problem::new(path, &error))?;
        let folder = folder(path);
        match fs::remove_dir(folder) {
            Ok(()) => self.changed(folder),
            // The folder has other files.
            Err(_) => self.changed(path),
        }
        Ok(())
    }

    /// Stores the names of the files that were written.
    ///
    /// # Errors
    ///
    /// Fails if the system does. Some names may be stored then.
    pub fn finish(self) -> Result<(), Problem> {
        for folder in self.folders.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // A folder may be writable and not readable, and some file systems do not sync folders.
            let Ok(opened) = File::open(&folder) else { continue };
            match opened.sync_all() {
                Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                    return Err(Problem {
                        name: folder.display().to_string(),
                        why: format!("storing it failed: {error}"),
                        fix: None,
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
            // Only root may change the owner of a file.
            let _ = fchown(&*file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(old.map_or(Permissions::from_mode(NEW_MODE), Metadata::permissions))?;
        if !self.may_be_lost {
            file.sync_all()?;
        }
        temporary.persist(real)?;
        self.changed(real);
        Ok(())
    }

    /// Records that a name was added or removed.
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
    let (why, fix) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (format!("the folder {} is not writable", folder.display()), Some("make it writable"))
        }
        io::ErrorKind::NotFound => (format!("{}: no such folder", folder.display()), None),
        _ => (error.to_string(), None),
    };
    unwritable(path, &why, fix)
}

fn unwritable(path: &Path, why: &str, fix: Option<&'static str>) -> Problem {
    Problem { name: path.display().to_string(), why: format!("can't be written: {why}"), fix }
}
