use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// kubectl with the identity of one bearer token.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(super) binary: PathBuf,
    /// Holds the kubeconfig, and serves as HOME to keep kubectl's cache there and the developer's preferences out.
    pub(super) folder: PathBuf,
    pub(super) token: String,
}

impl Kubectl {
    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    /// Runs kubectl with the text as its stdin, as for `apply -f -`.
    pub fn run_with(&self, arguments: &[&str], stdin: &str) -> Output {
        let command = format!("kubectl {}", arguments.join(" "));
        let mut child = Command::new(&self.binary)
            .arg("--kubeconfig")
            .arg(self.folder.join("kubeconfig"))
            .arg("--token")
            .arg(&self.token)
            .args(arguments)
            .env("HOME", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        // A kubectl that refuses its arguments ends without reading; its stderr says more than a broken pipe does.
        let _ = child.stdin.take().map(|mut pipe| pipe.write_all(stdin.as_bytes()));
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{command}: {error}"));
        Output {
            command,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[must_use]
#[derive(Clone, Debug)]
pub struct Output {
    pub command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// What a kubectl that succeeded wrote to stdout.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{} failed ({}): {}", self.command, self.status, self.stderr);
        self.stdout
    }

    /// What a kubectl that failed wrote to stderr.
    #[track_caller]
    pub fn err(self) -> String {
        assert!(!self.status.success(), "{} succeeded: {}", self.command, self.stdout);
        self.stderr
    }

    /// The object that `-o json` printed.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let command = self.command.clone();
        serde_json::from_str(&self.ok()).unwrap_or_else(|error| panic!("{command} printed no JSON: {error}"))
    }
}
