//! The processes of the servers: their CPUs, their usage, and their end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fmt, fs, io, thread};

use anyhow::{Context, Result};

/// The CPUs of servers and client.
#[derive(Debug)]
pub enum Processors {
    Split { server: usize, client: usize },
    Shared { why: &'static str },
}

impl Processors {
    /// Moves this process to the CPU of the client. Call it before other threads start.
    pub fn claim() -> Self {
        let [server, client] = match allowed().as_deref() {
            Some([first, second, ..]) => [*first, *second],
            _ => return Self::Shared { why: "there is only one" },
        };
        let pin = Command::new("taskset")
            .args(["-p", "-c", &client.to_string(), &std::process::id().to_string()])
            .stdout(Stdio::null())
            .status();
        match pin {
            Ok(status) if status.success() => Self::Split { server, client },
            _ => Self::Shared { why: "taskset (util-linux) is missing or failed" },
        }
    }

    /// Returns a command that runs on the CPU of the servers.
    pub fn of_server(&self, command: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
        let pin = match self {
            Self::Split { server, .. } => vec!["taskset".into(), "-c".into(), server.to_string().into()],
            Self::Shared { .. } => Vec::new(),
        };
        pin.into_iter().chain(command).collect()
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { server, client } => write!(f, "servers on processor {server}, client on processor {client}"),
            Self::Shared { why } => {
                write!(f, "servers and client share the processors, since {why}: expect noise, and ratios that differ")
            }
        }
    }
}

/// Returns the CPUs that this process may use, from lists such as `0-3,8`.
fn allowed() -> Option<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    let ranges = list.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    Some(ranges.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The resident set of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident_mib: f64,
    /// Without pages of files, such as the program, which the kernel can drop.
    pub anonymous_mib: f64,
}

/// The process of a server, killed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server, and waits until its log has its address.
    pub fn start(command: &[PathBuf]) -> Result<Self> {
        let child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut log = BufReader::new(server.child.stderr.take().context("stderr is a pipe")?);
        let mut so_far = String::new();
        server.address = loop {
            let line_start = so_far.len();
            if log.read_line(&mut so_far)? == 0 {
                anyhow::bail!("{command:?} ended early:\n{so_far}");
            }
            if let Some(address) = address(&so_far[line_start..]) {
                break address;
            }
        };
        // A container runtime reads the log too. The thread ends with the process.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the CPU time of all threads. The file of the main thread has only that thread.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mib = |key: &str| {
            let kib = status.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB"));
            Ok::<_, anyhow::Error>(kib.with_context(|| format!("no {key}"))?.parse::<f64>()? / 1024.0)
        };
        Ok(Memory { resident_mib: mib("VmRSS:")?, anonymous_mib: mib("RssAnon:")? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the first address in ` listen=[…]`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(" listen=[")?;
    rest.split([',', ']']).next()?.parse().ok()
}
