//! The server under the CPU limit of a small container.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::cgroup::{Cgroup, Place, Version};
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
    let place = match Place::find("cpu", limit)? {
        Ok(place) => place,
        Err(why) => return Ok(Err(why)),
    };
    let cgroup = place.create(&format!("pullthrough-load-{}", std::process::id()))?;
    limit(&cgroup)?;
    let server = Server::start(command)?;
    let body = common::realistic().body;
    client.first_answer(server.address, &body)?;
    cgroup.write("cgroup.procs", &server.id().to_string())?;
    let p99 = (0..rounds).map(|_| {
        let load = client.paced(server.address, &body, CONNECTIONS, REQUESTS_PER_SEC, PAUSE, duration)?;
        Ok(report::quantile(&load.sorted_micros(), 0.99) / 1e3)
    });
    Ok(Ok(report::median(p99.collect::<Result<_>>()?)))
}

fn limit(cgroup: &Cgroup) -> Result<()> {
    let quota_micros = PERIOD_MICROS * MILLI_CPUS / 1000;
    match cgroup.version {
        Version::V1 => {
            cgroup.write("cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
            cgroup.write("cpu.cfs_quota_us", &quota_micros.to_string())
        }
        Version::V2 => cgroup.write("cpu.max", &format!("{quota_micros} {PERIOD_MICROS}")),
    }
}
