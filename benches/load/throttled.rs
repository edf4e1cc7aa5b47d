//! The server under the CPU limit of a small container.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::client::Client;
use super::process::Server;
use super::{CONNECTIONS, common, report};

/// The limit, as `limits.cpu: 50m` of a container.
const MILLI_CPUS: u64 = 50;
/// The kernel's default period of a quota, which the kubelet uses too.
const PERIOD_MICROS: u64 = 100_000;
const REQUESTS_PER_SEC: u32 = 100;
/// Some periods, since handshakes take the quota of more than one.
const PAUSE: Duration = Duration::from_secs(1);

/// Returns the p99 in milliseconds at 100 requests a second, as the median of the rounds; or why it is not measured.
pub fn measure(command: &[PathBuf], client: &Client, rounds: usize, duration: Duration) -> Result<Result<f64, String>> {
    let cgroup = match Cgroup::new() {
        Ok(cgroup) => cgroup,
        Err(error) => return Ok(Err(format!("{error:#}"))),
    };
    let server = Server::start(command)?;
    let body = common::realistic().body;
    client.first_answer(server.address, &body)?;
    cgroup.add(server.id())?;
    let p99 = (0..rounds).map(|_| {
        let load = client.paced(server.address, &body, CONNECTIONS, REQUESTS_PER_SEC, PAUSE, duration)?;
        Ok(report::quantile(&load.sorted_micros(), 0.99) / 1e3)
    });
    Ok(Ok(report::median(p99.collect::<Result<_>>()?)))
}

/// A cgroup with the limit. Dropping this removes it, after its process has ended.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Result<Self> {
        let quota_micros = PERIOD_MICROS * MILLI_CPUS / 1000;
        let name = format!("pullthrough-load-{}", std::process::id());
        // Version 1 has a hierarchy for each controller.
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let (folder, limits) = if v1.exists() {
            let period = ("cpu.cfs_period_us", PERIOD_MICROS.to_string());
            (v1.join(name), vec![period, ("cpu.cfs_quota_us", quota_micros.to_string())])
        } else {
            (Path::new("/sys/fs/cgroup").join(name), vec![("cpu.max", format!("{quota_micros} {PERIOD_MICROS}"))])
        };
        fs::create_dir(&folder).with_context(|| format!("create the cgroup {}", folder.display()))?;
        let cgroup = Self(folder);
        limits.into_iter().try_for_each(|(file, value)| cgroup.write(file, &value))?;
        Ok(cgroup)
    }

    fn add(&self, process: u32) -> Result<()> {
        self.write("cgroup.procs", &process.to_string())
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let file = self.0.join(file);
        fs::write(&file, value).with_context(|| format!("write {}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{}: not removed: {error}", self.0.display());
        }
    }
}
