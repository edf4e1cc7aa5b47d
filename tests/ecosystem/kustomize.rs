//! kustomize builds the same images before and after `rewrite`: build then rewrite equals rewrite then build.

mod cases;
mod corpus;
mod laws;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::harness;
use crate::program::run;

static KUSTOMIZE: LazyLock<PathBuf> =
    LazyLock::new(|| harness::assets(Some("kustomize"), &[]).expect("the tool is compiled").join("kustomize"));

const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Files below a folder, and rules beside it.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}");
        fs::write(folder.path().join("rules.yaml"), text).expect("a file");
        fs::create_dir(folder.path().join("tree")).expect("a folder");
        Self { folder }
    }

    fn with(self, files: &[(impl AsRef<str>, impl AsRef<str>)]) -> Self {
        for (name, text) in files {
            let path = self.path(name.as_ref());
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text.as_ref()).expect("a file");
        }
        self
    }

    fn with_copy_of(self, folder: &Path) -> Self {
        let source = format!("{}/.", folder.display());
        let copied = Command::new("cp").args(["-r", &source]).arg(self.tree()).status().expect("cp runs");
        assert!(copied.success());
        self
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree().join(name)
    }

    fn rewrite(&self, arguments: &[&str], input: &str) -> Run {
        let rules = self.folder.path().join("rules.yaml").display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["rewrite", "--rules", &rules]).args(arguments);
        Run::of(&mut command, input).below(&self.tree())
    }

    /// Runs `rewrite` on paths of the tree.
    fn rewrite_paths(&self, arguments: &[&str], paths: &[&str]) -> Run {
        let paths: Vec<String> = paths.iter().map(|path| self.path(path).display().to_string()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.rewrite(&[arguments, &paths].concat(), "")
    }

    /// Returns the folders with a kustomization.
    fn kustomizations(&self) -> Vec<String> {
        let mut folders = Vec::new();
        for entry in walkdir::WalkDir::new(self.tree()).sort_by_file_name().into_iter().flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|name| FILE_NAMES.iter().any(|known| name == *known)) {
                let folder =
                    path.parent().expect("a folder").strip_prefix(self.tree()).expect("a path below the folder");
                folders.push(folder.display().to_string());
            }
        }
        folders
    }

    /// Returns the output of kustomize, or `None` if it fails.
    fn build(&self, folder: &str) -> Option<String> {
        // Without access to the network.
        let mut command = Command::new("timeout");
        command
            .arg("20")
            .arg(&*KUSTOMIZE)
            .args(["build", "--load-restrictor=LoadRestrictionsNone"])
            .arg(self.path(folder));
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
        command.env("GIT_ALLOW_PROTOCOL", "file").env("GIT_TERMINAL_PROMPT", "0");
        let run = Run::of(&mut command, "");
        (run.code == Some(0)).then_some(run.stdout)
    }

    /// Returns the expected result: the built manifests after `rewrite`.
    fn rewritten(&self, built: &str) -> String {
        let run = self.rewrite(&["--rewrite-short-names"], built);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    }
}

/// Exit code and output of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command, input: &str) -> Self {
        let Output { status, stdout, stderr } = run(command, input);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Removes the folder from the paths in the output.
    fn below(self, folder: &Path) -> Self {
        let prefix = format!("{}/", folder.display());
        Self { stdout: self.stdout.replace(&prefix, ""), stderr: self.stderr.replace(&prefix, ""), ..self }
    }
}

/// Returns the lines that differ, without quotes.
fn differences(one: &str, other: &str) -> Vec<(String, String)> {
    let plain = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.replace(['"', '\''], "").trim_start_matches([' ', '-']).to_owned()).collect()
    };
    let (one, other) = (plain(one), plain(other));
    if one.len() != other.len() {
        return vec![(format!("{} lines", one.len()), format!("{} lines", other.len()))];
    }
    one.into_iter().zip(other).filter(|(one, other)| one != other).collect()
}
