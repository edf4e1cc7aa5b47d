//! What a process costs: time and memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);
const KIB_OF_MIB: f64 = 1024.0;

#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub secs: f64,
    /// The largest resident size, in MiB.
    pub memory_mib: f64,
}

impl Cost {
    /// Returns the shorter time and the larger memory of two runs.
    pub fn better(self, other: Self) -> Self {
        Self { secs: self.secs.min(other.secs), memory_mib: self.memory_mib.max(other.memory_mib) }
    }
}

/// Runs a command to its end, with its output in a file.
pub fn measure(command: &mut Command, out: &Path) -> Result<Cost> {
    let start = Instant::now();
    let file = File::create(out)?;
    let mut child = command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut memory_kib = 0.0;
    let status = loop {
        // The value only rises. A process that has ended reports none.
        memory_kib = resident_kib(&status_file).unwrap_or(memory_kib);
        match child.try_wait()? {
            Some(status) => break status,
            None => thread::sleep(SAMPLE_INTERVAL),
        }
    };
    let secs = start.elapsed().as_secs_f64();
    ensure!(status.success(), "{command:?}: {status}");
    ensure!(memory_kib > 0.0, "{command:?}: no memory in {status_file}");
    Ok(Cost { secs, memory_mib: memory_kib / KIB_OF_MIB })
}

fn resident_kib(status_file: &str) -> Option<f64> {
    let status = fs::read_to_string(status_file).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().context("a number").ok()
}
