use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const LEASH: &str = include_str!("leash.sh");
const TAIL: usize = 30;

/// A process that ends when this value is dropped, and at the latest with the test process.
///
/// It runs under `leash.sh`, which watches a pipe that only the test process holds open. `PR_SET_PDEATHSIG` is not enough:
/// it follows the thread that spawned the child, and the threads of tests end early.
pub struct Server {
    leash: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts the program in the folder, with its output in `NAME.log` there. Dropping the server removes the folder.
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
            // An interrupt from the terminal goes to the tests. When they end, so does the leash.
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

    /// Kills the program. Its folder remains, because other programs use it too.
    pub fn kill(&mut self) -> Result<()> {
        let leash = self.leash.id();
        let children =
            fs::read_to_string(format!("/proc/{leash}/task/{leash}/children")).context("find the program")?;
        // The leash starts the program before the process that watches it.
        let program = children.split_whitespace().next().with_context(|| format!("{} has ended", self.name))?;
        let kill = Command::new("kill").args(["-KILL", program]).status().context("run kill")?;
        ensure!(kill.success(), "can't kill {}", self.name);
        // The leash is killed too. Waiting would close its standard input, and it would remove the folder.
        let stdin = self.leash.stdin.take();
        self.leash.wait().context("wait for the end")?;
        self.leash.stdin = stdin;
        Ok(())
    }

    pub fn log(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Returns the last lines of the log, below the name of the server.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("--- {}: end of the log\n{}\n", self.name, tail.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If the server has ended, its leash does not read any more.
        let _ = self.leash.stdin.take().map(|mut stdin| writeln!(stdin, "stop"));
        if let Err(error) = self.leash.wait() {
            eprintln!("{} may still run: {error}", self.name);
        }
    }
}
