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

/// Killed when dropped.
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// For admission requests.
    pub address: SocketAddr,
    /// For probes and metrics.
    pub metrics_address: SocketAddr,
    /// The authority it made, if it made one.
    pub trust: Trust,
    /// Where its authority is.
    _directory: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts with `--cache`, a certificate in memory, and `args`.
    pub async fn start(args: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let mut all = vec!["--cache", "cache.example.com/k8s", "--write-ca", ca.to_str().unwrap()];
        all.extend(args);
        let trust = || Trust::pem(&std::fs::read_to_string(&ca).unwrap());
        Server::spawn(&all, trust, Some(directory)).await
    }

    /// Starts with `args` and nothing else but free ports.
    pub async fn start_with(args: &[&str], trust: Trust) -> Server {
        Server::spawn(args, || trust, None).await
    }

    /// Starts as [`Server::start`] does, with a standard error that takes nothing until somebody reads what is returned.
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

    /// `pullthrough serve`.
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
        let serving = wait_for_line(&lines, "serving listen=").await;
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

    /// All that was written to standard error.
    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line with `text` on standard error.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait_for_line(&self.lines, text).await
    }

    /// Status and text at a path of the probes' port.
    pub async fn probe(&self, path: &str) -> (u16, String) {
        client::get_plain(self.metrics_address, path).await
    }

    /// The value of a metric, by its name with labels.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.probe("/metrics").await;
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a metric has this value: metrics are written at most once a second.
    pub async fn wait_for_metric(&self, series: &str, value: f64) {
        until(&format!("{series} is {value}"), async || self.metric(series).await == Some(value)).await;
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }

    /// Whether it is still there.
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

/// A pipe that takes nothing until somebody reads it.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // Through a description of its own: whoever gets the writer blocks, as usual.
    let mut filling = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().try_into().unwrap())
        .open(format!("/proc/self/fd/{}", writer.as_raw_fd()))
        .unwrap();
    while filling.write(&[b'\n'; 4096]).is_ok() {}
    (reader, writer)
}

fn free_addresses() -> [SocketAddr; 2] {
    // Both at once, or they may be the same.
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
