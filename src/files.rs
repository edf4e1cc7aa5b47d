//! Files with manifests: finding them below folders, reading them as text, and giving them another. And files that a command
//! makes among those of others.

pub mod marked;
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
pub use self::writer::{Writer, write};

/// How a file's name ends that is read below a folder, in any letter case.
const SUFFIXES: [&str; 3] = [".yaml", ".yml", ".json"];
/// And what may follow, where such a file is made by a template.
const TEMPLATE_SUFFIXES: [&str; 4] = [".template", ".tmpl", ".tpl", ".gotmpl"];
/// kustomize takes this name too.
const KUSTOMIZATION: &str = "Kustomization";
/// What helps against a file that is none.
const MOVE: &str = "move it out of the folder";
const GIT: &str = ".git";
/// How much is read of a file with another name, to see whether it is a manifest.
const START_BYTES: u64 = 8 << 10;

/// A text to be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// What messages call it: the path as it was named, or found below what was named; `-` for standard input.
    pub name: String,
    /// Without symbolic links; nothing for standard input.
    pub path: Option<PathBuf>,
    /// It was named itself, and not found below a folder.
    pub is_named: bool,
}

/// What can't be looked at, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Problem {
    pub name: String,
    pub why: String,
}

impl Problem {
    pub fn new(path: &Path, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file or folder".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        Self { name: path.display().to_string(), why }
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
    /// Where it can't be read, or is not UTF-8.
    pub fn read(&self) -> Result<String, Problem> {
        let problem = |why| Problem { name: self.name.clone(), why };
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
            problem(format!("line {line} is not UTF-8; save it as UTF-8"))
        })
    }
}

/// What was not looked at, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}; {cure}")]
pub struct Skipped {
    pub name: String,
    pub why: String,
    pub cure: &'static str,
}

/// What paths stand for.
#[derive(Debug, Default)]
pub struct Found {
    pub sources: Vec<Source>,
    pub problems: Vec<Problem>,
    /// What looks like a manifest, or a folder with some, and is not one of the tree's files.
    pub skipped: Vec<Skipped>,
    /// The named folders, without symbolic links.
    roots: Vec<PathBuf>,
    /// Below these.
    links: Vec<PathBuf>,
    /// By their real paths: two links to a file must not be written at once.
    seen: HashSet<PathBuf>,
}

/// The texts that paths stand for, each file once: `-` is standard input, a file is taken whatever its name, and below a
/// folder the files that may be manifests, sorted by name. Nothing below `.git`, and nothing outside the named folders. Files
/// that only links name come last.
pub fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == "-" {
            found.add(Source::standard_input());
            continue;
        }
        // A pipe, as the shell's `<(…)` names it, has no real path.
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

    fn skip(&mut self, path: &Path, why: String, cure: &'static str) {
        self.skipped.push(Skipped { name: path.display().to_string(), why, cure });
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
            self.skip(entry.path(), "left by a run that was interrupted".to_owned(), "remove it");
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
            self.skip(link, why, "name the link itself to have it followed");
        } else if kind.is_file() {
            self.add(Source::file(link, real, false));
        } else if !kind.is_dir() {
            self.skip(link, special(kind).to_owned(), MOVE);
        }
    }
}

/// Those of the paths in which nothing lies that is named: each by its own name and its real path.
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
        () if kind.is_fifo() => "a named pipe, and not a file",
        () if kind.is_socket() => "a socket, and not a file",
        () => "a device, and not a file",
    }
}

/// Some files of /proc have reads that wait for ever, and a pipe may have taken a file's place.
fn open_found(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Whether a file below a folder may be a manifest: by its name, or since its first line that says anything is
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

    /// Names below a new folder, each with the text `apiVersion: v1`.
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
        let why = "no such file or folder";
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
