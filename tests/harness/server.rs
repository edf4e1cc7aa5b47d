use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const LEASH: &str = include_str!("leash.sh");
const TAIL: usize = 30;

/// A process that ends with this value and, at the latest, with the process that holds it.
///
/// It runs under `leash.sh`, which watches a pipe that only this process holds open. `PR_SET_PDEATHSIG` would not do:
/// it follows the thread that spawned the child, and tests come and go on short-lived threads.
pub struct Server {
    leash: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Runs the program in the folder, with its output in `NAME.log` there. Stopping the server removes the folder.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        folder: &Path,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let leash = Command::new("sh")
            .args(["-c", LEASH, "leash"])
            .args([folder, program])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // An interrupt from the terminal is for the tests; the leash then sees them end.
            .process_group(0)
            .spawn()
            .context("run sh")?;
        Ok(Self { leash, name, log })
    }

    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.leash.try_wait()? {
            bail!("{} ended early ({status})", self.name);
        }
        Ok(())
    }

    /// Kills the program and keeps its folder, which others use too.
    pub fn kill(&mut self) -> Result<()> {
        let leash = self.leash.id();
        let children =
            fs::read_to_string(format!("/proc/{leash}/task/{leash}/children")).context("find the program")?;
        // The leash starts it before the one that watches over it.
        let program = children.split_whitespace().next().with_context(|| format!("{} has ended", self.name))?;
        let kill = Command::new("kill").args(["-KILL", program]).status().context("run kill")?;
        ensure!(kill.success(), "{} can't be killed", self.name);
        // The leash goes with it. Waiting would close its stdin, which has it clear up.
        let stdin = self.leash.stdin.take();
        self.leash.wait().context("wait for the end")?;
        self.leash.stdin = stdin;
        Ok(())
    }

    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The last lines of the log, under the server's name.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- {}: end of the log\n{}\n", self.name, tail.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A leash whose server ended early reads no more.
        let _ = self.leash.stdin.take().map(|mut stdin| writeln!(stdin, "stop"));
        if let Err(error) = self.leash.wait() {
            eprintln!("{} may still run: {error}", self.name);
        }
    }
}
