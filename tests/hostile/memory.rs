//! The memory of the container: the limit that the kernel enforces, and the memory charged to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::cgroup::{Cgroup, Place, Version};

const PAGE_BYTES: u64 = 4096;

/// How the memory of a server is limited.
#[derive(Debug)]
pub enum Controller {
    Cgroups(Place),
    /// No cgroup can be created; the reason.
    Missing(String),
}

/// The memory charged so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Charge {
    /// The peak, including socket buffers.
    pub peak_bytes: u64,
    /// How often the limit was reached.
    pub limit_hits: u64,
    /// The number of processes that the kernel killed.
    pub kills: u64,
}

impl Controller {
    pub fn detect() -> Result<Controller> {
        let place = Place::find("memory", |cgroup| limit(cgroup, 1 << 30))?;
        Ok(place.map_or_else(Controller::Missing, Controller::Cgroups))
    }

    pub fn create(&self, limit_bytes: u64) -> Result<Group> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Controller::Cgroups(place) = self else {
            return Ok(Group::Missing { sockets_before: sockets_bytes()? });
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = place.create(&format!("pullthrough-hostile-{}-{count}", std::process::id()))?;
        limit(&cgroup, limit_bytes)?;
        Ok(Group::Cgroup(cgroup))
    }

    /// Returns the bound of the peak. If the kernel does not count, a measurement may miss the peak.
    pub fn bound(&self, limit_bytes: u64) -> u64 {
        match self {
            Controller::Cgroups(_) => limit_bytes,
            Controller::Missing(_) => limit_bytes / 4 * 3,
        }
    }
}

fn limit(cgroup: &Cgroup, bytes: u64) -> Result<()> {
    let files: &[&str] = match cgroup.version {
        // It has a separate limit for socket buffers, and counts them only if that limit is set.
        Version::V1 => &["memory.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"],
        Version::V2 => &["memory.max"],
    };
    files.iter().try_for_each(|file| cgroup.write(file, &bytes.to_string()))?;
    if cgroup.version == Version::V2 {
        // A container has no swap in Kubernetes. The file is missing if the kernel has no swap.
        let _ = cgroup.write("memory.swap.max", "0");
    }
    Ok(())
}

/// The memory of one server.
#[derive(Debug)]
pub enum Group {
    Cgroup(Cgroup),
    Missing { sockets_before: u64 },
}

impl Group {
    /// Returns the file to which a process writes its own ID.
    pub fn processes(&self) -> Option<PathBuf> {
        match self {
            Group::Cgroup(cgroup) => Some(cgroup.file("cgroup.procs")),
            Group::Missing { .. } => None,
        }
    }

    /// Returns the memory charged so far. Without a cgroup it is `resident_bytes`, the figure of the process.
    pub fn charge(&self, resident_bytes: u64) -> Result<Charge> {
        Ok(match self {
            Group::Cgroup(cgroup) if cgroup.version == Version::V1 => Charge {
                // The sum of two peaks is at least the peak of the sum, which version 2 limits.
                peak_bytes: number(&cgroup.file("memory.max_usage_in_bytes"))?
                    + number(&cgroup.file("memory.kmem.tcp.max_usage_in_bytes"))?,
                limit_hits: number(&cgroup.file("memory.failcnt"))?,
                kills: value(&cgroup.file("memory.oom_control"), "oom_kill")?,
            },
            Group::Cgroup(cgroup) => Charge {
                // `memory.peak` exists since Linux 5.19.
                peak_bytes: number(&cgroup.file("memory.peak")).or_else(|_| number(&cgroup.file("memory.current")))?,
                limit_hits: value(&cgroup.file("memory.events"), "max")?,
                kills: value(&cgroup.file("memory.events"), "oom_kill")?,
            },
            Group::Missing { sockets_before } => Charge {
                // Includes the buffers of the clients, so it is never too small.
                peak_bytes: resident_bytes + sockets_bytes()?.saturating_sub(*sockets_before),
                limit_hits: 0,
                kills: 0,
            },
        })
    }
}

fn number(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("{}: {text:?}", file.display()))
}

/// Returns the value in a line of the form `name value`.
fn value(file: &Path, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).with_context(|| format!("{}: no {name} in {text:?}", file.display()))
}

/// Returns the memory of all TCP sockets in this network namespace.
fn sockets_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").context("/proc/net/sockstat")?;
    let pages =
        text.lines().find_map(|line| line.strip_prefix("TCP:")?.split_once(" mem ")?.1.trim().parse::<u64>().ok());
    Ok(pages.with_context(|| format!("no memory in {text:?}"))? * PAGE_BYTES)
}
