//! The memory of the container: the limit that the kernel enforces, and the memory charged to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, thread, time};

use anyhow::{Context, Result};

const PAGE_BYTES: u64 = 4096;
/// For a moment after the last process has ended, the removal fails.
const REMOVAL_ATTEMPTS: usize = 100;
const REMOVAL_INTERVAL: time::Duration = time::Duration::from_millis(10);

/// The place where cgroups can be created.
#[derive(Debug)]
pub enum Controller {
    V1(PathBuf),
    V2(PathBuf),
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
    /// Finds the mount of the memory controller, and creates a cgroup to test it.
    pub fn detect() -> Result<Controller> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        let mut reasons = Vec::new();
        for line in mounts.lines() {
            let Some((fields, filesystem)) = line.split_once(" - ") else { continue };
            let Some(folder) = fields.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut filesystem = filesystem.split(' ');
            let candidate = match (filesystem.next(), filesystem.nth(1)) {
                (Some("cgroup"), Some(options)) if options.split(',').any(|option| option == "memory") => {
                    Controller::V1(folder)
                }
                (Some("cgroup2"), _) if has_memory(&folder, "cgroup.controllers") => {
                    if !has_memory(&folder, "cgroup.subtree_control") {
                        let _ = fs::write(folder.join("cgroup.subtree_control"), "+memory");
                    }
                    Controller::V2(folder)
                }
                _ => continue,
            };
            match candidate.create(1 << 30) {
                Ok(_) => return Ok(candidate),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        if reasons.is_empty() {
            reasons.push("no mounted cgroup file system has the memory controller".to_owned());
        }
        Ok(Controller::Missing(reasons.join("; ")))
    }

    pub fn create(&self, limit_bytes: u64) -> Result<Cgroup> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pullthrough-hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (folder, limits): (_, &[&str]) = match self {
            // Version 1 has a separate limit for socket buffers, and counts them only if that limit is set.
            Controller::V1(root) => (root.join(name), &["memory.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"]),
            Controller::V2(root) => (root.join(name), &["memory.max"]),
            Controller::Missing(_) => return Ok(Cgroup::Missing { sockets_before: sockets_bytes()? }),
        };
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
        let cgroup = match self {
            Controller::V1(_) => Cgroup::V1(folder.clone()),
            _ => Cgroup::V2(folder.clone()),
        };
        for limit in limits {
            let file = folder.join(limit);
            fs::write(&file, limit_bytes.to_string()).with_context(|| format!("write {}", file.display()))?;
        }
        if let Controller::V2(_) = self {
            // A container has no swap in Kubernetes. The file is missing if the kernel has no swap.
            let _ = fs::write(folder.join("memory.swap.max"), "0");
        }
        Ok(cgroup)
    }

    /// Returns the bound of the peak. If the kernel does not count, a measurement may miss the peak.
    pub fn bound(&self, limit_bytes: u64) -> u64 {
        match self {
            Controller::V1(_) | Controller::V2(_) => limit_bytes,
            Controller::Missing(_) => limit_bytes / 4 * 3,
        }
    }
}

/// The memory of one server. Dropping this removes the cgroup, after its process has ended.
#[derive(Debug)]
pub enum Cgroup {
    V1(PathBuf),
    V2(PathBuf),
    Missing { sockets_before: u64 },
}

impl Cgroup {
    /// Returns the file to which a process writes its own ID.
    pub fn processes(&self) -> Option<PathBuf> {
        match self {
            Cgroup::V1(folder) | Cgroup::V2(folder) => Some(folder.join("cgroup.procs")),
            Cgroup::Missing { .. } => None,
        }
    }

    /// Returns the memory charged so far. Without a cgroup it is `resident_bytes`, the figure of the process.
    pub fn charge(&self, resident_bytes: u64) -> Result<Charge> {
        Ok(match self {
            Cgroup::V1(folder) => Charge {
                // The sum of two peaks is at least the peak of the sum, which version 2 limits.
                peak_bytes: number(&folder.join("memory.max_usage_in_bytes"))?
                    + number(&folder.join("memory.kmem.tcp.max_usage_in_bytes"))?,
                limit_hits: number(&folder.join("memory.failcnt"))?,
                kills: value(&folder.join("memory.oom_control"), "oom_kill")?,
            },
            Cgroup::V2(folder) => Charge {
                // `memory.peak` exists since Linux 5.19.
                peak_bytes: number(&folder.join("memory.peak")).or_else(|_| number(&folder.join("memory.current")))?,
                limit_hits: value(&folder.join("memory.events"), "max")?,
                kills: value(&folder.join("memory.events"), "oom_kill")?,
            },
            Cgroup::Missing { sockets_before } => Charge {
                // Includes the buffers of the clients, so it is never too small.
                peak_bytes: resident_bytes + sockets_bytes()?.saturating_sub(*sockets_before),
                limit_hits: 0,
                kills: 0,
            },
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let (Cgroup::V1(folder) | Cgroup::V2(folder)) = self else { return };
        for _ in 0..REMOVAL_ATTEMPTS {
            match fs::remove_dir(&*folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(REMOVAL_INTERVAL),
                _ => return,
            }
        }
        eprintln!("{}: still in use, and not removed", folder.display());
    }
}

fn has_memory(folder: &Path, file: &str) -> bool {
    fs::read_to_string(folder.join(file)).is_ok_and(|list| list.split_whitespace().any(|name| name == "memory"))
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
