//! A folder with the files of the page, and programs in the PATH.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use tempfile::TempDir;

use super::page::{self, Section};

/// The heading whose files all sections use.
const COMMON: &str = "Rewrite manifests";

pub struct Workshop {
    folder: TempDir,
    pub section: Section,
    variables: Vec<(&'static str, String)>,
}

impl Workshop {
    /// Creates a folder with the files of the section with this heading.
    pub fn new(heading: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let section = page::section(heading);
        let workshop = Self { folder, section, variables: Vec::new() };
        for (name, text) in page::section(COMMON).files.iter().chain(&workshop.section.files) {
            workshop.write(name, text);
        }
        fs::create_dir_all(workshop.path("home/bin")).expect("a folder");
        workshop.with("pullthrough", Path::new(env!("CARGO_BIN_EXE_pullthrough")))
    }

    /// Adds a program to the PATH.
    pub fn with(self, name: &str, program: &Path) -> Self {
        symlink(program, self.path("home/bin").join(name)).expect("a link");
        self
    }

    pub fn with_variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a script in bash, which ends at the first command that fails. Returns both outputs.
    pub fn run(&self, script: &str) -> Output {
        let path = format!("{}:{}", self.path("home/bin").display(), env::var("PATH").expect("a PATH"));
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env_remove("PULLTHROUGH_RULES")
            .env_remove("PULLTHROUGH_CACHE")
            .output()
            .expect("bash runs")
    }

    /// Returns the output of a script, which must succeed.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    /// Runs the script of the page. Returns its output.
    #[track_caller]
    pub fn ok_as_shown(&self) -> String {
        assert!(!self.section.script.is_empty(), "the section has no commands");
        self.ok(&self.section.script)
    }
}
