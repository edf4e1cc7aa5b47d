//! A file gets another text at once.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::Problem;

/// Whoever reads the file meanwhile sees the old text or the new one, whole. Its mode stays, and its owner where that is
/// permitted; a symbolic link is followed.
///
/// # Errors
///
/// Where the file or its folder may not be written; then nothing has changed.
pub fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    let problem = |why: String| Problem { name: path.display().to_string(), why: format!("can't be written: {why}") };
    let real = fs::canonicalize(path).map_err(|error| problem(error.to_string()))?;
    let old = fs::metadata(&real).map_err(|error| problem(error.to_string()))?;
    if !old.is_file() {
        return Err(problem("it is no regular file".to_owned()));
    }
    // Renaming needs no permission for the file, but one that is read-only is meant to stay as it is.
    if old.permissions().readonly() || OpenOptions::new().write(true).open(&real).is_err() {
        return Err(problem("the file is read-only; `chmod u+w` lets it be".to_owned()));
    }
    let folder = real.parent().unwrap_or(Path::new("/"));
    Temporary::create(folder, &old).and_then(|temporary| temporary.become_file(&real, &old, text)).map_err(|error| {
        problem(match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                format!("no file can be made in {}; make the folder writable", folder.display())
            }
            _ => error.to_string(),
        })
    })
}

/// A new file, which goes away again unless it becomes the file that is meant.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(folder: &Path, old: &Metadata) -> io::Result<Self> {
        let prefix = format!(".pullthrough-{}-{}", std::process::id(), old.ino());
        let mut attempt = 0;
        loop {
            let path = folder.join(format!("{prefix}-{attempt}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // For another link to the file, or of a process that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn become_file(mut self, real: &Path, old: &Metadata, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        let new = self.file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            // Only root may give a file away.
            let _ = fchown(&self.file, Some(old.uid()), Some(old.gid()));
        }
        self.file.set_permissions(old.permissions())?;
        fs::rename(&self.path, real)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once renamed there is none.
        let _ = fs::remove_file(&self.path);
    }
}
