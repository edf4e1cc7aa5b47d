//! Files with manifests: finding them below folders, reading them as text, and giving them another. And files that a command
//! makes among those of others.

pub mod marked;
mod replace;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

pub use self::replace::replace;

/// How a file's name ends that is read below a folder, in any letter case.
const SUFFIXES: [&str; 3] = [".yaml", ".yml", ".json"];
/// And what may follow, where such a file is made by a template.
const TEMPLATE_SUFFIXES: [&str; 4] = [".template", ".tmpl", ".tpl", ".gotmpl"];
/// kustomize takes this name too.
const KUSTOMIZATION: &str = "Kustomization";
/// How much is read of a file with another name, to see whether it is a manifest.
const START_BYTES: u64 = 8 << 10;

/// A text to be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// What messages call it: the path as it was named, or found below what was named; `-` for standard input.
    pub name: String,
    /// Nothing for standard input.
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

    fn file(path: PathBuf, is_named: bool) -> Self {
        let name = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        Self { name, path: Some(path), is_named }
    }

    /// # Errors
    ///
    /// Where it can't be read, or is not UTF-8.
    pub fn read(&self) -> Result<String, Problem> {
        let problem = |why| Problem { name: self.name.clone(), why };
        let bytes = match &self.path {
            Some(path) => fs::read(path).map_err(|error| Problem::new(path, &error))?,
            None => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map_err(|error| problem(error.to_string()))?;
                bytes
            }
        };
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
            problem(format!("line {line} is not UTF-8; save it as UTF-8"))
        })
    }
}

/// The texts that paths stand for, each file once: `-` is standard input, a file is taken whatever its name, and below a
/// folder the files that may be manifests, sorted by name. Nothing below `.git`, or below a symbolic link to a folder.
pub fn find(paths: &[PathBuf]) -> (Vec<Source>, Vec<Problem>) {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == "-" {
            found.add(Source::standard_input(), PathBuf::from("-"));
            continue;
        }
        // A pipe, as the shell's `<(…)` names it, has no real path.
        let real = || fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => found.walk(path, &real()),
            Ok(_) => found.add(Source::file(path.clone(), true), real()),
            Err(error) => found.problems.push(Problem::new(path, &error)),
        }
    }
    (found.sources, found.problems)
}

#[derive(Default)]
struct Found {
    sources: Vec<Source>,
    problems: Vec<Problem>,
    /// By their real paths: two links to a file must not be written at once.
    seen: HashSet<PathBuf>,
}

impl Found {
    fn add(&mut self, source: Source, real: PathBuf) {
        if self.seen.insert(real) {
            self.sources.push(source);
        }
    }

    fn walk(&mut self, folder: &Path, real: &Path) {
        let is_git = |entry: &DirEntry| entry.depth() > 0 && entry.file_name() == ".git";
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
        if kind.is_file() {
            if is_manifest(entry.path()) {
                let real = real.join(entry.path().strip_prefix(folder).unwrap_or(entry.path()));
                self.add(Source::file(entry.into_path(), false), real);
            }
        } else if kind.is_symlink() && has_name_of_manifest(entry.file_name()) {
            match fs::canonicalize(entry.path()).and_then(|real| Ok((fs::metadata(&real)?.is_file(), real))) {
                Ok((true, real)) => self.add(Source::file(entry.into_path(), false), real),
                Ok((false, _)) => {}
                Err(error) => self.problems.push(Problem::new(entry.path(), &error)),
            }
        }
    }
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
    let read = File::open(path).and_then(|file| file.take(START_BYTES).read_to_end(&mut start));
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
        let (sources, problems) = find(&[folder.to_owned()]);
        assert_eq!(problems, []);
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
        let (sources, problems) = find(&[at("folder/a.yaml"), folder.path().to_owned(), at("folder")]);
        assert_eq!((sources, problems), (vec![Source::file(at("folder/a.yaml"), true)], vec![]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = folder(&[]);
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("nowhere", at("broken.yaml")).unwrap();
        let (sources, problems) = find(&[at("absent"), folder.path().to_owned()]);
        assert_eq!(sources, []);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let why = "no such file or folder";
        assert_eq!(texts, ["absent", "broken.yaml"].map(|name| format!("{}: {why}", at(name).display())));
    }

    #[test]
    fn text_is_utf_8() {
        let folder = folder(&["good.yaml"]);
        let path = folder.path().join("bad.yaml");
        fs::write(&path, b"a: 1\nb: \xff\n").unwrap();
        assert_eq!(Source::file(folder.path().join("good.yaml"), true).read().unwrap(), "apiVersion: v1\n");
        let error = Source::file(path.clone(), true).read().unwrap_err().to_string();
        assert_eq!(error, format!("{}: line 2 is not UTF-8; save it as UTF-8", path.display()));
    }
}
