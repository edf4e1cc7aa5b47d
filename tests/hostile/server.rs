//! The server under attack: the release binary, in a memory cgroup of the chart's limit.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::memory::{Charge, Controller, Group};
use crate::processors::{Place, SERVER_PRIORITY};
use crate::tls::{Alpn, Peers};

/// The number of lines of the log that a failing row prints.
const LOG_LINES: usize = 12;
const LINE_CHARS: usize = 300;
const OF_EVERY_REVIEW: &str = "images rewritten";
/// The start of the addresses in the line of the log that has them.
const LISTEN: &str = "\"listen\":\"[";
const METRICS_LISTEN: &str = "\"metrics_listen\":\"[";
const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_INTERVAL: Duration = Duration::from_millis(5);

/// The settings of every server.
pub struct Setup {
    pub binary: PathBuf,
    pub rules: PathBuf,
    pub controller: Controller,
    pub limit_bytes: u64,
}

/// A server. Dropping this kills it and removes its cgroup.
pub struct Server {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    /// The address of admission requests.
    pub address: SocketAddr,
    /// The address of probes and metrics.
    pub probes: SocketAddr,
    ca_pem: String,
    usage: Usage,
    // Dropped after the process, which must end first.
    group: Group,
    _folder: tempfile::TempDir,
}

/// The usage of the process and its cgroup so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub charge: Charge,
    pub peak_resident_bytes: u64,
}

impl Server {
    pub fn start(setup: &Setup, place: Place) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let ca = folder.path().join("ca.pem");
        let group = setup.controller.create(setup.limit_bytes)?;
        let mut command = Command::new("sh");
        // The process enters the cgroup before it executes the server, so that all memory is charged. If the kernel groups processes by
        // session, a session of its own gives its priority effect against other sessions.
        let entry = group.processes().unwrap_or_else(|| PathBuf::from("/dev/null"));
        command
            .args(["-c", "echo $$ >\"$0\" && exec setsid \"$@\""])
            .arg(entry)
            .arg(&setup.binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--rules",
            ])
            .arg(&setup.rules)
            .arg("--write-ca")
            .arg(&ca)
            .envs(image_environment()?)
            .env("PULLTHROUGH_MEMORY_LIMIT_BYTES", setup.limit_bytes.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = place.spawn(move || command.spawn()).join();
        let mut child = child.ok().context("the starting thread panicked")?.context("start the server")?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let mut server = Server {
            child,
            log: Arc::clone(&log),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            probes: SocketAddr::from(([127, 0, 0, 1], 0)),
            ca_pem: String::new(),
            usage: Usage::default(),
            group,
            _folder: folder,
        };
        let (sender, serving) = std::sync::mpsc::channel();
        // The thread ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains(LISTEN) {
                    let _ = sender.send(line.clone());
                }
                if line.contains(OF_EVERY_REVIEW) {
                    continue;
                }
                let mut log = log.lock().expect("the log");
                log.push_back(line.chars().take(LINE_CHARS).collect::<String>());
                if log.len() > LOG_LINES {
                    log.pop_front();
                }
            }
        });
        let started = Instant::now();
        let line = loop {
            match serving.try_recv() {
                Ok(line) => break line,
                Err(_) if started.elapsed() > START_TIMEOUT || server.exit_status().is_some() => {
                    bail!("the server does not start:\n{}", server.log_tail())
                }
                Err(_) => std::thread::sleep(START_INTERVAL),
            }
        };
        // If the kernel does not group processes by session, the file does not exist. Then the process priority is sufficient.
        let _ = fs::write(format!("/proc/{}/autogroup", server.child.id()), SERVER_PRIORITY.to_string());
        server.address = address(&line, LISTEN)?;
        server.probes = address(&line, METRICS_LISTEN)?;
        server.ca_pem = fs::read_to_string(ca).context("the CA")?;
        Ok(server)
    }

    pub fn peers(&self) -> Result<Peers> {
        Peers::new(&self.ca_pem)
    }

    /// Records the usage. It can't be read after the process has ended.
    pub fn sample(&mut self) -> Result<Usage> {
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.child.id())) {
            let field = |name| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
            };
            if let Some(kib) = field("VmHWM:") {
                self.usage.peak_resident_bytes = kib * 1024;
            }
        }
        let Charge { peak_bytes, limit_hits, kills } = self.group.charge(self.usage.peak_resident_bytes)?;
        let peak_bytes = self.usage.charge.peak_bytes.max(peak_bytes);
        self.usage.charge = Charge { peak_bytes, limit_hits, kills };
        Ok(self.usage)
    }

    /// Returns the exit status, if the process has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log.lock().expect("the log");
        log.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "    {line}");
            text
        })
    }

    /// Returns the size of the largest body that the server reads, from its response to a larger one.
    pub fn body_limit_bytes(&self) -> Result<usize> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(START_TIMEOUT))?;
        let peers = self.peers()?;
        let session = rustls::ClientConnection::new(peers.config(Alpn::Http1), crate::tls::name())?;
        let mut stream = rustls::StreamOwned::new(session, socket);
        stream.write_all(
            b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
              Expect: 100-continue\r\nContent-Length: 1000000000000\r\n\r\n",
        )?;
        let mut answer = Vec::new();
        // The connection may end without a close_notify alert.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let limit = answer.strip_prefix("HTTP/1.1 413 ").and_then(|answer| {
            let (text, _) = answer.rsplit_once(" bytes")?;
            text.rsplit(' ').next()?.parse().ok()
        });
        limit.with_context(|| format!("no body limit in the answer {answer:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(line: &str, after: &str) -> Result<SocketAddr> {
    let address = line.split_once(after).and_then(|(_, rest)| rest.split([',', ']']).next()?.parse().ok());
    address.with_context(|| format!("no address after {after:?} in {line:?}"))
}

/// Returns the environment that the image sets.
fn image_environment() -> Result<Vec<(&'static str, &'static str)>> {
    let lines = include_str!("../../Dockerfile").lines().filter_map(|line| line.strip_prefix("ENV "));
    lines.map(|line| line.split_once('=').with_context(|| format!("Dockerfile: ENV {line}"))).collect()
}

/// Writes the rules of the attacks. Every rule adds pull secrets.
pub fn write_rules(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("rules.yaml");
    fs::write(
        &file,
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrecordOriginals: true\nrules:\n\
         - name: kubernetes\n  from: [registry.k8s.io, k8s.gcr.io]\n  to: cache.example.com/k8s\n  \
           imagePullSecrets: [harbor-pull-00000, harbor-pull-00001]\n\
         - name: docker-hub\n  from: [docker.io]\n  to: cache.example.com/docker-hub\n  \
           imagePullSecrets: [harbor-pull-00000]\n",
    )?;
    Ok(file)
}
