//! The same load by `wrk`, to compare the figures with those of another client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::CONNECTIONS;
use super::process::Server;

/// The installed program, and the folder of its scripts.
pub struct Wrk(PathBuf);

/// A script that tells `wrk` what to send.
pub struct Script(PathBuf);

impl Wrk {
    /// Returns nothing if it is not installed.
    pub fn find(folder: &Path) -> Option<Self> {
        Command::new("wrk").arg("--version").output().ok()?;
        Some(Self(folder.to_owned()))
    }

    pub fn script(&self, body: &[u8]) -> Result<Script> {
        let (file, script) = (self.0.join("body.json"), self.0.join("body.lua"));
        fs::write(&file, body)?;
        let text = format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = io.open('{}', 'rb'):read('*a')\n",
            file.display()
        );
        fs::write(&script, text)?;
        Ok(Script(script))
    }
}

impl Script {
    /// Returns the server's CPU time for a request. It includes the handshakes, which are few in a second. `wrk` runs on the CPU of
    /// this process.
    pub fn cpu_micros(&self, server: &Server, duration: Duration) -> Result<f64> {
        let before = server.cpu()?;
        let output = Command::new("wrk")
            .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--duration"])
            .arg(format!("{}s", duration.as_secs().max(1)))
            .arg("--script")
            .arg(&self.0)
            .arg(format!("https://{}/mutate", server.address))
            .output()
            .context("run wrk")?;
        let cpu = server.cpu()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && !text.contains("Non-2xx"), "wrk: {text}");
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<f64>().ok());
        Ok(cpu.as_secs_f64() * 1e6 / requests.with_context(|| format!("wrk: {text}"))?)
    }
}
