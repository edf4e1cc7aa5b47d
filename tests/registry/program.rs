//! The program, as users run it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The output of a command.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns the only line.
    #[track_caller]
    pub fn line(&self) -> Value {
        let [line] = &*self.lines() else { panic!("{self:?}") };
        line.clone()
    }
}

/// Runs a command with arguments, variables and standard input. It has no credentials but those of the arguments.
pub async fn run(arguments: &[&str], variables: &[(&str, String)], stdin: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").env("DOCKER_CONFIG", "/nonexistent");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        drop(std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}
