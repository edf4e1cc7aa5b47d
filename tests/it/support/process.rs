//! A running `pullthrough serve`.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;

use super::certificates::Trust;
use super::{client, until};

/// The process, killed when this value is dropped.
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// The address of admission requests.
    pub address: SocketAddr,
    /// The address of probes and metrics.
    pub metrics_address: SocketAddr,
    /// The CA of the server, if the server created one.
    pub trust: Trust,
    /// The folder with the CA of the server.
    _directory: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts the server with `--cache`, a certificate in memory, and `args`.
    pub async fn start(args: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let mut all = vec!["--cache", "cache.example.com/k8s", "--write-ca", ca.to_str().unwrap()];
        all.extend(args);
        let trust = || Trust::pem(&std::fs::read_to_string(&ca).unwrap());
        Server::spawn(&all, trust, Some(directory)).await
    }

    /// Starts the server with `args` and free ports, and calls `trust` when the server runs.
    pub async fn start_reading(args: &[&str], trust: impl FnOnce() -> Trust) -> Server {
        Server::spawn(args, trust, None).await
    }

    /// Starts the server with `args` and free ports.
    pub async fn start_with(args: &[&str], trust: Trust) -> Server {
        Server::spawn(args, || trust, None).await
    }

    /// Starts the server like [`Server::start`]. Its standard error blocks until the returned reader is read.
    pub async fn start_unread(args: &[&str]) -> (Server, PipeReader) {
        let (reader, writer) = full_pipe();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let [address, metrics_address] = free_addresses();
        let child = Server::command()
            .args(["--listen", &address.to_string(), "--metrics-listen", &metrics_address.to_string()])
            .args(["--cache", "cache.example.com/k8s", "--write-ca", ca.to_str().unwrap()])
            .args(args)
            .stderr(writer)
            .spawn()
            .unwrap();
        until("it listens", async || tokio::net::TcpStream::connect(metrics_address).await.is_ok()).await;
        let trust = Trust::pem(&std::fs::read_to_string(&ca).unwrap());
        let server =
            Server { child, lines: Arc::default(), address, metrics_address, trust, _directory: Some(directory) };
        (server, reader)
    }

    /// Returns the command `pullthrough serve`.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    async fn spawn(args: &[&str], trust: impl FnOnce() -> Trust, directory: Option<tempfile::TempDir>) -> Server {
        let mut child = Server::command()
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, seen) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        let mut serving = None;
        until("the server serves", async || {
            let lines = lines.lock().unwrap();
            let status = child.try_wait().unwrap();
            assert!(status.is_none(), "it ended with {status:?}: {lines:?}");
            serving = lines.iter().find(|line| line.contains("serving listen=")).cloned();
            serving.is_some()
        })
        .await;
        let serving = serving.unwrap();
        let address = |after: &str| {
            let rest = &serving[serving.find(after).unwrap() + after.len()..];
            rest[..rest.find(']').unwrap()].parse().unwrap()
        };
        Server {
            address: address(" listen=["),
            metrics_address: address("metrics_listen=["),
            child,
            lines,
            trust: trust(),
            _directory: directory,
        }
    }

    /// Returns the text of standard error.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line with `text` on standard error.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait_for_line(&self.lines, text).await
    }

    /// Returns status and body of a path on the port for probes.
    pub async fn probe(&self, path: &str) -> (u16, String) {
        client::get_plain(self.metrics_address, path).await
    }

    /// Returns the value of a metric, by its name with labels.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.probe("/metrics").await;
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a metric has this value. Metrics are written at most once a second.
    pub async fn wait_for_metric(&self, series: &str, value: f64) {
        until(&format!("{series} is {value}"), async || self.metric(series).await == Some(value)).await;
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }

    /// Returns whether the process is still running.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
    }
}

/// Returns a pipe that is full, so that a writer blocks until it is read.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // A separate file description. The returned writer blocks as usual.
    let mut filling = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().try_into().unwrap())
        .open(format!("/proc/self/fd/{}", writer.as_raw_fd()))
        .unwrap();
    while filling.write(&[b'\n'; 4096]).is_ok() {}
    (reader, writer)
}

fn free_addresses() -> [SocketAddr; 2] {
    // Both listeners are open at the same time. Otherwise the ports could be equal.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

async fn wait_for_line(lines: &Mutex<Vec<String>>, text: &str) -> String {
    let mut found = None;
    until(&format!("a line with {text:?}"), async || {
        found = lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned();
        found.is_some()
    })
    .await;
    found.unwrap()
}
