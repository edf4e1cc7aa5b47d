//! A client with a low cost, so that the server dominates the figures. It writes prepared bytes, and reads only status and length of
//! a response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Client {
    runtime: Runtime,
    connector: TlsConnector,
}

/// The results of a load.
#[derive(Debug)]
pub struct Load {
    /// The latency of each answered request.
    latencies: Vec<Duration>,
    pub elapsed: Duration,
}

impl Client {
    /// Creates a client. If it sleeps, the server's system call that answers it must wake it, which costs the server time. Servers that
    /// are faster than the client do not have that cost. So a client with a CPU of its own should not sleep.
    pub fn new(authority: &str, never_sleeps: bool) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if never_sleeps {
            runtime.spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        Ok(Self { runtime, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends one request on a new connection.
    pub fn first_answer(&self, address: SocketAddr, body: &[u8]) -> Result<()> {
        let request = request(body);
        self.runtime.block_on(async {
            let mut connection = Connection::open(&self.connector, address).await?;
            connection.exchange(&request).await
        })
    }

    /// Sends requests on `connections` connections for `duration`, each after the response to the last.
    pub fn load(&self, address: SocketAddr, body: &[u8], connections: usize, duration: Duration) -> Result<Load> {
        self.run(address, body, connections, Duration::ZERO, |_, start, connection, request| {
            connection.repeat(request, start + duration)
        })
    }

    /// Sends `per_sec` requests a second for `duration`, at fixed times, on `connections` connections in turn. A latency starts at the
    /// time at which the request is due. The first is due some `pause` after the connections are open.
    pub fn paced(
        &self,
        address: SocketAddr,
        body: &[u8],
        connections: usize,
        per_sec: u32,
        pause: Duration,
        duration: Duration,
    ) -> Result<Load> {
        let total = (duration.as_secs_f64() * f64::from(per_sec)) as u32;
        self.run(address, body, connections, pause, |first, start, connection, request| {
            let numbers = (0..total).skip(first).step_by(connections);
            connection.keep_times(request, numbers.map(move |number| start + Duration::from_secs(1) * number / per_sec))
        })
    }

    /// Opens connections, and sends requests on each from some `pause` later. The function gets the connection's number and the start.
    fn run<Sending>(
        &self,
        address: SocketAddr,
        body: &[u8],
        connections: usize,
        pause: Duration,
        send: impl Fn(usize, Instant, Connection, Arc<[u8]>) -> Sending,
    ) -> Result<Load>
    where
        Sending: Future<Output = Result<Vec<Duration>>> + Send + 'static,
    {
        let request: Arc<[u8]> = request(body).into();
        self.runtime.block_on(async {
            let mut open = Vec::new();
            for _ in 0..connections {
                open.push(Connection::open(&self.connector, address).await?);
            }
            let start = Instant::now() + pause;
            let mut tasks = JoinSet::new();
            for (number, connection) in open.into_iter().enumerate() {
                tasks.spawn(send(number, start, connection, Arc::clone(&request)));
            }
            let mut latencies = Vec::new();
            while let Some(done) = tasks.join_next().await {
                latencies.extend(done??);
            }
            Ok(Load { latencies, elapsed: start.elapsed() })
        })
    }
}

impl Load {
    /// Returns the latencies in microseconds, the shortest first.
    pub fn sorted_micros(&self) -> Vec<f64> {
        let mut micros: Vec<f64> = self.latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        micros
    }
}

fn request(body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Bytes of the largest record of TLS.
const RECORD_BYTES: usize = 16 * 1024;

struct Connection {
    stream: TlsStream<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(connector: &TlsConnector, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        // As Go and OpenSSL, it writes each record with a system call of its own.
        let handshake = connector.connect_with(name, stream, |session| session.set_buffer_limit(Some(RECORD_BYTES)));
        Ok(Self { stream: handshake.await.context("TLS handshake")?, answer: Vec::new() })
    }

    async fn repeat(mut self, request: Arc<[u8]>, end: Instant) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        let mut start = Instant::now();
        while start < end {
            self.exchange(&request).await?;
            let now = Instant::now();
            latencies.push(now - start);
            start = now;
        }
        Ok(latencies)
    }

    async fn keep_times(mut self, request: Arc<[u8]>, times: impl Iterator<Item = Instant>) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        for due in times {
            // The runtime's timers have a resolution of 1 ms.
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            self.exchange(&request).await?;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.answer.clear();
        let answer_bytes = loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
            if let Some(end) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4 + body_bytes(&self.answer[..end])?;
            }
        };
        while self.answer.len() < answer_bytes {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
        }
        Ok(())
    }
}

/// Returns the Content-Length of a response, which must have status 200.
fn body_bytes(header: &[u8]) -> Result<usize> {
    let header = std::str::from_utf8(header)?;
    let (status, fields) = header.split_once("\r\n").context("the header has only one line")?;
    if !status.starts_with("HTTP/1.1 200 ") {
        bail!("answered {status}");
    }
    fields
        .lines()
        .filter_map(|field| field.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.parse().ok())
        .context("no Content-Length in the response")
}
