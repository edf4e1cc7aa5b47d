use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// Runs kubectl with the identity of one bearer token.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(super) binary: PathBuf,
    /// Has the kubeconfig. As HOME it also keeps kubectl's cache, and keeps out the preferences of the developer.
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

    /// Runs kubectl with a text as its standard input, for commands such as `apply -f -`.
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
        // If kubectl rejects its arguments, it ends without reading. Its standard error explains more than a broken pipe does.
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
    /// Returns the standard output of a command that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{} failed ({}): {}", self.command, self.status, self.stderr);
        self.stdout
    }

    /// Returns the standard error of a command that failed.
    #[track_caller]
    pub fn err(self) -> String {
        assert!(!self.status.success(), "{} succeeded: {}", self.command, self.stdout);
        self.stderr
    }

    /// Returns the object that `-o json` printed.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let command = self.command.clone();
        serde_json::from_str(&self.ok()).unwrap_or_else(|error| panic!("{command} printed no JSON: {error}"))
    }
}
