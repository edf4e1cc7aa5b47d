//! Running the programs that have credentials.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::credential::shown;

const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// Why a program gave no credentials. Messages have nothing of its standard output, which may have secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProcessFault {
    #[error("it can't be run: {0}; install it, or fix its name")]
    Start(String),
    #[error("it did not end within {0:?}; run it by hand to see what it waits for")]
    TooSlow(Duration),
    #[error("it printed more than {MAX_OUTPUT_BYTES} bytes")]
    TooLarge,
    #[error("it failed ({status}){}", if stderr.is_empty() { "; run it by hand to see why".to_owned() } else { format!(": {stderr}") })]
    Failed { status: String, stderr: String },
}

pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    pub(super) fn failed(&self) -> ProcessFault {
        let stderr = String::from_utf8_lossy(&self.stderr);
        let last = stderr.trim().lines().last().unwrap_or_default();
        ProcessFault::Failed { status: self.status.to_string(), stderr: shown(last, []) }
    }
}

/// Runs a program with `input` on its standard input. With the timeout it is killed.
pub(super) async fn run(
    program: &OsStr,
    args: &[String],
    env: &[(String, String)],
    input: &[u8],
    timeout: Duration,
) -> Result<Output, ProcessFault> {
    let start = |error: io::Error| ProcessFault::Start(error.to_string());
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(start)?;
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let Some(((mut stdin, stdout), stderr)) = pipes else {
        return Err(ProcessFault::Start("it has no pipes".to_owned()));
    };
    let write = async {
        // A program may end without reading its input.
        drop(stdin.write_all(input).await);
        drop(stdin);
    };
    let all = async {
        let ((), stdout, stderr) = tokio::join!(write, read(stdout), read(stderr));
        let status = child.wait().await.map_err(start)?;
        Ok(Output { status, stdout: stdout.map_err(start)?, stderr: stderr.map_err(start)? })
    };
    let output = tokio::time::timeout(timeout, all).await.map_err(|_| ProcessFault::TooSlow(timeout))??;
    let is_large = |bytes: &[u8]| bytes.len() as u64 > MAX_OUTPUT_BYTES;
    if is_large(&output.stdout) || is_large(&output.stderr) { Err(ProcessFault::TooLarge) } else { Ok(output) }
}

/// Reads a little more than the limit, and closes the pipe.
async fn read(pipe: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
