//! Files with manifests: finds them below folders, reads them as text, and replaces their text. Also manages files that a
//! command creates among those of users.

pub mod marked;
pub mod rules;
mod writer;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use walkdir::{DirEntry, WalkDir};

use self::writer::TEMPORARY_PREFIX;
pub use self::writer::{Writer, write_for_now};
use crate::config;

/// The suffixes of files that are read below a folder, in any letter case.
const SUFFIXES: [&str; 3] = [".yaml", ".yml", ".json"];
/// A further suffix, of files that a template tool renders.
const TEMPLATE_SUFFIXES: [&str; 4] = [".template", ".tmpl", ".tpl", ".gotmpl"];
/// kustomize reads this name too.
const KUSTOMIZATION: &str = "Kustomization";
/// The fix for an entry that is no regular file.
const MOVE: &str = "move it out of the folder";
const GIT: &str = ".git";
/// The number of bytes to read of a file with another name, to find out whether it is a manifest.
const START_BYTES: u64 = 8 << 10;

/// A text to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Its name in messages: the path as given, or found below one that was given. `-` is standard input.
    pub name: String,
    /// The path without symbolic links. `None` for standard input.
    pub path: Option<PathBuf>,
    /// The user named the file itself, not a folder above it.
    pub is_named: bool,
}

/// A path that is unreadable or not writable. Displays the fix too, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {}", self.reason())]
pub struct Problem {
    pub name: String,
    pub why: String,
    pub fix: Option<&'static str>,
}

impl Problem {
    pub fn new(path: &Path, error: &io::Error) -> Self {
        let (why, fix) = match error.kind() {
            io::ErrorKind::NotFound => ("not found".to_owned(), Some("check the path")),
            io::ErrorKind::IsADirectory => ("it is a folder".to_owned(), Some("name a file")),
            io::ErrorKind::PermissionDenied => ("permission denied".to_owned(), Some("let this user read it")),
            _ => (error.to_string(), None),
        };
        Self { name: path.display().to_string(), why, fix }
    }

    /// Returns why, and the fix.
    pub fn reason(&self) -> String {
        match self.fix {
            Some(fix) => format!("{}; {fix}", self.why),
            None => self.why.clone(),
        }
    }
}

impl Source {
    pub fn standard_input() -> Self {
        Self { name: "-".to_owned(), path: None, is_named: true }
    }

    fn file(path: &Path, real: PathBuf, is_named: bool) -> Self {
        let name = path.strip_prefix(".").unwrap_or(path).display().to_string();
        Self { name, path: Some(real), is_named }
    }

    /// # Errors
    ///
    /// Fails if the file is unreadable, or not UTF-8.
    pub fn read(&self) -> Result<String, Problem> {
        let mut bytes = Vec::new();
        let read = match &self.path {
            Some(path) if self.is_named => fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
            Some(path) => open_found(path).and_then(|mut file| file.read_to_end(&mut bytes)),
            None => io::stdin().lock().read_to_end(&mut bytes),
        };
        read.map_err(|error| Problem { name: self.name.clone(), ..Problem::new(Path::new(""), &error) })?;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
            let why = format!("line {line} is not UTF-8");
            Problem { name: self.name.clone(), why, fix: Some("save it as UTF-8") }
        })
    }
}

/// A file that was skipped, with the reason and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}; {fix}")]
pub struct SkippedFile {
    pub name: String,
    pub why: String,
    pub fix: &'static str,
}

/// The files of some paths.
#[derive(Debug, Default)]
pub struct Found {
    pub sources: Vec<Source>,
    pub problems: Vec<Problem>,
    /// Entries that look like a manifest, or a folder with some, and are not part of the tree.
    pub skipped: Vec<SkippedFile>,
    /// The given folders, without symbolic links.
    roots: Vec<PathBuf>,
    /// Symbolic links below them.
    links: Vec<PathBuf>,
    /// Real paths, since two links to one file must not be written in parallel.
    seen: HashSet<PathBuf>,
}

/// Finds the texts of paths, each file once. `-` is standard input. A file is read whatever its name. Below a folder, files
/// that may be manifests are read, sorted by name, but nothing below `.git` and nothing outside the given folders. Files
/// that only links name are last.
pub fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == "-" {
            found.add(Source::standard_input());
            continue;
        }
        // A pipe from the shell's `<(…)` has no real path.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                found.walk(path, &real);
                found.roots.push(real);
            }
            Ok(_) => found.add(Source::file(path, real, true)),
            Err(error) => found.problems.push(Problem::new(path, &error)),
        }
    }
    for link in mem::take(&mut found.links) {
        found.follow(&link);
    }
    found
}

impl Found {
    fn add(&mut self, source: Source) {
        if self.seen.insert(source.path.clone().unwrap_or_default()) {
            self.sources.push(source);
        }
    }

    fn skip(&mut self, path: &Path, why: String, fix: &'static str) {
        self.skipped.push(SkippedFile { name: path.display().to_string(), why, fix });
    }

    fn walk(&mut self, folder: &Path, real: &Path) {
        let is_git = |entry: &DirEntry| entry.depth() > 0 && entry.file_name() == GIT;
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| !is_git(entry)) {
            match entry {
                Ok(entry) => self.visit(folder, real, entry),
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    self.problems.push(Problem::new(&path, &error.into()));
                }
            }
        }
    }

    fn visit(&mut self, folder: &Path, real: &Path, entry: DirEntry) {
        let kind = entry.file_type();
        if kind.is_symlink() {
            self.links.push(entry.into_path());
        } else if kind.is_file() && entry.file_name().as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            self.skip(entry.path(), "temporary file of an interrupted run".to_owned(), "remove it");
        } else if kind.is_file() {
            if is_manifest(entry.path()) {
                let real = real.join(entry.path().strip_prefix(folder).unwrap_or(entry.path()));
                self.add(Source::file(entry.path(), real, false));
            }
        } else if !kind.is_dir() && has_name_of_manifest(entry.file_name()) {
            self.skip(entry.path(), special(kind).to_owned(), MOVE);
        }
    }

    fn follow(&mut self, link: &Path) {
        let is_candidate = link.file_name().is_some_and(has_name_of_manifest);
        let (real, kind) = match fs::canonicalize(link).and_then(|real| Ok((fs::metadata(&real)?.file_type(), real))) {
            Ok((kind, real)) => (real, kind),
            Err(error) if is_candidate => return self.problems.push(Problem::new(link, &error)),
            Err(_) => return,
        };
        let is_below = |root: &PathBuf| real.strip_prefix(root).is_ok_and(|below| below.iter().all(|name| name != GIT));
        if self.seen.contains(&real) || !(is_candidate || kind.is_dir()) {
            return;
        }
        if !self.roots.iter().any(is_below) {
            let why = format!("a symbolic link to {}, outside the folder", real.display());
            self.skip(link, why, "pass the link itself as an argument");
        } else if kind.is_file() {
            self.add(Source::file(link, real, false));
        } else if !kind.is_dir() {
            self.skip(link, special(kind).to_owned(), MOVE);
        }
    }
}

pub const NOTHING_FIX: &str = "check the path, or the command that writes the manifests";

/// Returns what is in a path without a Kubernetes object, and the fix.
pub fn nothing(path: &Path) -> (&'static str, &'static str) {
    let text = fs::metadata(path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::read_to_string(path).ok());
    match text.as_deref().and_then(config::kind).as_deref() {
        Some("Rules") => ("this is a rules file", "pass it with --rules"),
        Some("Tests") => ("this is a tests file", "pass it to `pullthrough test`"),
        _ => ("no Kubernetes object", NOTHING_FIX),
    }
}

/// Returns the paths without any of the named files below them. Each file has its name and its real path.
pub fn silent<'p, 'n>(
    paths: &'p [PathBuf],
    named: impl Iterator<Item = (&'n str, Option<&'n Path>)>,
) -> impl Iterator<Item = &'p PathBuf> {
    let mut above = HashSet::new();
    for (name, real) in named {
        let all = Path::new(name).ancestors().chain(real.into_iter().flat_map(Path::ancestors));
        above.extend(all.map(Path::to_owned));
    }
    paths.iter().filter(move |path| {
        let is_above = above.contains(path.strip_prefix(".").unwrap_or(path));
        !is_above && fs::canonicalize(path).map_or(true, |real| !above.contains(&real))
    })
}

fn special(kind: FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "a named pipe, not a file",
        () if kind.is_socket() => "a socket, not a file",
        () => "a device, not a file",
    }
}

/// Some files of /proc block reads for ever, and a pipe may have replaced a file.
fn open_found(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Returns whether a file below a folder may be a manifest: by its name, or because its first line with content is
/// `apiVersion:` or `kind:`.
fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(has_name_of_manifest) || starts_like_manifest(path)
}

fn has_name_of_manifest(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let lower = name.to_ascii_lowercase();
    let stem = TEMPLATE_SUFFIXES.iter().find_map(|suffix| lower.strip_suffix(suffix)).unwrap_or(&lower);
    name == KUSTOMIZATION || SUFFIXES.iter().any(|suffix| stem.ends_with(suffix))
}

fn starts_like_manifest(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = open_found(path).and_then(|file| file.take(START_BYTES).read_to_end(&mut start));
    let says_nothing = |line: &&[u8]| matches!(line.trim_ascii(), [] | [b'#', ..] | b"---");
    let mut lines = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).split(|&byte| byte == b'\n');
    let first = lines.find(|line| !says_nothing(line)).unwrap_or_default();
    read.is_ok() && (first.starts_with(b"apiVersion:") || first.starts_with(b"kind:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a folder with files of these names, each with the text `apiVersion: v1`.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            write(folder.path(), name, "apiVersion: v1\n");
        }
        folder
    }

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn found(folder: &Path) -> Vec<String> {
        let Found { sources, problems, skipped, .. } = find(&[folder.to_owned()]);
        assert_eq!((problems, skipped), (vec![], vec![]));
        let below = |source: &Source| Path::new(&source.name).strip_prefix(folder).unwrap().display().to_string();
        sources.iter().map(below).collect()
    }

    #[test]
    fn files_of_a_folder_are_found_by_name_in_order() {
        let names =
            ["b/d.json", "b/c.YAML", "a.yml", "b/Kustomization", "e.yaml.template", "f.json.tpl", ".github/g.yaml"];
        let folder = folder(&names);
        for other in ["x.txt", "x.yaml.bak", "README.md", "z/yaml", ".git/h.yaml", "b/.git/i.yaml"] {
            write(folder.path(), other, "no: manifest\n");
        }
        let expected =
            [".github/g.yaml", "a.yml", "b/Kustomization", "b/c.YAML", "b/d.json", "e.yaml.template", "f.json.tpl"];
        assert_eq!(found(folder.path()), expected);
    }

    #[test]
    fn files_of_other_names_are_found_by_their_start() {
        let folder = folder(&["plain"]);
        for (name, text) in [
            ("comments", "\u{feff}# of us\n\n---\r\nkind: Pod\r\n"),
            ("no-1", "# apiVersion: v1\n"),
            ("no-2", "```yaml\napiVersion: v1\n"),
            ("no-3", " apiVersion: v1\n"),
            ("no-4", ""),
        ] {
            write(folder.path(), name, text);
        }
        assert_eq!(found(folder.path()), ["comments", "plain"]);
    }

    #[test]
    fn a_file_is_found_once() {
        let folder = folder(&["real/a.yaml"]);
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("real", at("folder")).unwrap();
        std::os::unix::fs::symlink("real/a.yaml", at("link.yaml")).unwrap();
        let Found { sources, problems, skipped, .. } =
            find(&[at("folder/a.yaml"), folder.path().to_owned(), at("folder")]);
        let real = fs::canonicalize(at("real/a.yaml")).unwrap();
        assert_eq!(sources, [Source::file(&at("folder/a.yaml"), real, true)]);
        assert_eq!((problems, skipped), (vec![], vec![]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = folder(&[]);
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("nowhere", at("broken.yaml")).unwrap();
        let Found { sources, problems, .. } = find(&[at("absent"), folder.path().to_owned()]);
        assert_eq!(sources, []);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let why = "not found; check the path";
        assert_eq!(texts, ["absent", "broken.yaml"].map(|name| format!("{}: {why}", at(name).display())));
    }

    #[test]
    fn text_is_utf_8() {
        let folder = folder(&["good.yaml"]);
        let named = |path: &Path| Source::file(path, path.to_owned(), true);
        let path = folder.path().join("bad.yaml");
        fs::write(&path, b"a: 1\nb: \xff\n").unwrap();
        assert_eq!(named(&folder.path().join("good.yaml")).read().unwrap(), "apiVersion: v1\n");
        let error = named(&path).read().unwrap_err().to_string();
        assert_eq!(error, format!("{}: line 2 is not UTF-8; save it as UTF-8", path.display()));
    }
}
