//! A folder with the files of the page, and programs on the PATH.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use tempfile::TempDir;

use crate::page::{self, Section};

/// The heading under which the page shows what the other sections use.
const COMMON: &str = "rewrite";

pub struct Workshop {
    folder: TempDir,
    pub section: Section,
    variables: Vec<(&'static str, String)>,
}

impl Workshop {
    /// With the files of the section that has this heading.
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

    /// With a program on the PATH.
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

    /// Runs a script of bash, of which every command has to succeed; both outputs are in order.
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

    /// What a script printed that succeeded.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    /// As the page has it.
    #[track_caller]
    pub fn ok_as_shown(&self) -> String {
        assert!(!self.section.script.is_empty(), "the section shows commands");
        self.ok(&self.section.script)
    }
}
