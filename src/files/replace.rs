//! A file gets its text at once.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::Problem;

const NEW_MODE: u32 = 0o644;

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
    let temporary = Temporary::create(folder, old.ino());
    temporary
        .and_then(|temporary| temporary.become_file(&real, Some(&old), text))
        .map_err(|error| Problem { name: path.display().to_string(), why: why_not(folder, &error) })
}

/// Makes the file, which everybody may read, with the folders that it is in. One that is there is replaced, whatever it is.
///
/// # Errors
///
/// Where the file or a folder may not be written; then none but folders were made.
pub fn create(path: &Path, text: &str) -> Result<(), Problem> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = fs::create_dir_all(folder).and_then(|()| Temporary::create(folder, 0));
    temporary.and_then(|temporary| temporary.become_file(path, None, text)).map_err(|error| {
        let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
        Problem { name: path.display().to_string(), why: why_not(nearest, &error) }
    })
}

fn why_not(folder: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("can't be written: no file can be made in {}; make the folder writable", folder.display())
        }
        _ => format!("can't be written: {error}"),
    }
}

/// A new file, which goes away again unless it becomes the file that is meant.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(folder: &Path, file: u64) -> io::Result<Self> {
        let prefix = format!(".pullthrough-{}-{file}", std::process::id());
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

    fn become_file(mut self, real: &Path, old: Option<&Metadata>, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        let new = self.file.metadata()?;
        if let Some(old) = old.filter(|old| (new.uid(), new.gid()) != (old.uid(), old.gid())) {
            // Only root may give a file away.
            let _ = fchown(&self.file, Some(old.uid()), Some(old.gid()));
        }
        self.file.set_permissions(old.map_or(Permissions::from_mode(NEW_MODE), Metadata::permissions))?;
        fs::rename(&self.path, real)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once renamed there is none.
        let _ = fs::remove_file(&self.path);
    }
}
