//! The surroundings of an attack: the address of the server, the source addresses, and the log of events.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::http1;
use crate::tls::{self, Alpn, Peers, Stream};

/// The pause before a rejected attacker tries again.
const RETRY: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The number of source addresses, from 127.0.0.2 on.
const ADDRESSES: u64 = 8;
/// The receive buffer of a client that does not read. The server must hold the rest.
const NARROW_BYTES: u32 = 2048;

/// The source addresses of the attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Other addresses than the ordinary client's.
    Others,
    /// The address of the ordinary client, as behind SNAT or konnectivity.
    Shared,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Others => "8 others",
            Source::Shared => "shared",
        })
    }
}

/// The surroundings of one attack.
pub struct Ground {
    /// The address of admission requests.
    pub address: SocketAddr,
    /// The address of probes and metrics.
    pub probes: SocketAddr,
    pub source: Source,
    pub peers: Peers,
    /// The size of the largest body that the server reads.
    pub body_limit_bytes: usize,
    pub tally: Tally,
}

/// The events of an attack.
#[derive(Default)]
pub struct Tally {
    connections: AtomicU64,
    sent_bytes: AtomicU64,
    events: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Counts a status, an error, or another event.
    pub fn event(&self, event: impl ToString) {
        *self.events.lock().expect("the events").entry(event.to_string()).or_default() += 1;
    }

    pub fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn sent_mib(&self) -> f64 {
        self.sent_bytes.load(Ordering::Relaxed) as f64 / (1 << 20) as f64
    }

    pub fn events(&self) -> String {
        self.events.lock().expect("the events").iter().fold(String::new(), |mut text, (event, count)| {
            let _ = writeln!(text, "    {count} × {event}");
            text
        })
    }
}

impl Ground {
    /// Sends a review on `connections` connections, each again as soon as it is answered.
    pub async fn ask_again(self: &Arc<Self>, connections: usize, body: &[u8]) {
        let request: Arc<[u8]> = http1::request(body).into();
        let client = move |ground: Arc<Ground>, _| {
            let request = Arc::clone(&request);
            async move {
                let mut stream = ground.tls(Alpn::Http1).await?;
                loop {
                    ground.ask(&mut stream, &request).await?;
                }
            }
        };
        self.swarm(connections, client).await;
    }

    /// Runs `action` in many tasks. Each runs it again when it has ended, and pauses after a failure.
    pub async fn swarm<F>(
        self: &Arc<Self>,
        count: usize,
        action: impl Fn(Arc<Ground>, usize) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let action = Arc::new(action);
        let mut tasks = JoinSet::new();
        for index in 0..count {
            let (ground, action) = (Arc::clone(self), Arc::clone(&action));
            tasks.spawn(async move {
                loop {
                    if let Err(error) = action(Arc::clone(&ground), index).await {
                        ground.tally.event(error);
                        sleep(RETRY).await;
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    pub async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.connect(to, None).await
    }

    async fn connect(&self, to: SocketAddr, receive_bytes: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let number = self.tally.connections.fetch_add(1, Ordering::Relaxed);
        if self.source == Source::Others {
            let last = 2 + (number % ADDRESSES) as u8;
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        }
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = timeout(CONNECT_TIMEOUT, socket.connect(to)).await.map_err(|_| late("connect"))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Opens a connection, and completes the handshake.
    pub async fn tls(&self, alpn: Alpn) -> io::Result<Stream> {
        let socket = self.tcp(self.address).await?;
        self.handshake(alpn, socket).await
    }

    /// Opens a connection with the smallest receive buffer that the kernel allows.
    pub async fn narrow(&self, alpn: Alpn) -> io::Result<Stream> {
        let socket = self.connect(self.address, Some(NARROW_BYTES)).await?;
        self.handshake(alpn, socket).await
    }

    async fn handshake(&self, alpn: Alpn, socket: TcpStream) -> io::Result<Stream> {
        TlsConnector::from(self.peers.config(alpn)).connect(tls::name(), socket).await
    }

    pub async fn send(&self, stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        self.tally.sent(bytes.len());
        Ok(())
    }

    /// Sends a request and reads the response.
    pub async fn ask(&self, stream: &mut Stream, request: &[u8]) -> io::Result<()> {
        self.send(stream, request).await?;
        let answer = http1::answer(stream, &mut Vec::new()).await?;
        self.tally.event(answer.status);
        if answer.closes { Err(io::Error::new(io::ErrorKind::ConnectionAborted, "Connection: close")) } else { Ok(()) }
    }

    /// Waits until the server closes the connection, which is an error.
    pub async fn hold(&self, mut stream: impl AsyncReadExt + Unpin) -> io::Result<()> {
        let mut buffer = [0; 512];
        while stream.read(&mut buffer).await? > 0 {
            if let Some(status) = buffer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
                self.tally.event(String::from_utf8_lossy(status));
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"))
    }
}

fn late(step: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{step}: no answer within {CONNECT_TIMEOUT:?}"))
}
