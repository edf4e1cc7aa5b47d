//! The ordinary client: reviews as an API server sends them, each measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, pin};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::http1;
use crate::processors::Place;
use crate::reviews;
use crate::tls::{self, Peers, Stream};

/// The `timeoutSeconds` of the webhook configuration, which includes connection and handshake.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// The number of busy connections, and the pause between two reviews of each.
const BUSY: (usize, Duration) = (4, Duration::from_millis(10));
/// The connections of an earlier burst, which an API server still uses from time to time.
const SELDOM: (usize, Duration) = (16, Duration::from_millis(800));
/// Reviews that use a new connection each.
const NEW: (usize, Duration) = (1, Duration::from_millis(100));

/// A review.
#[derive(Debug, Clone)]
pub struct Sample {
    pub start: Instant,
    pub latency: Duration,
    pub fault: Option<Fault>,
}

/// The reason why a review failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A status other than 200, or no patch.
    Rejected(String),
    /// The connection failed, was reset, or was closed during the request.
    Lost(String),
    /// No response within [`TIMEOUT`].
    Late,
}

/// The running client.
pub struct Ordinary {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<()>>,
}

impl Ordinary {
    pub fn start(address: SocketAddr, peers: &Peers, place: Place) -> Ordinary {
        let samples = Arc::<Mutex<Vec<_>>>::default();
        let (stop, stopped) = watch::channel(false);
        let caller = Caller {
            address,
            tls: TlsConnector::from(peers.ordinary()),
            requests: reviews::ordinary().map(|body| http1::request(body).into()),
            samples: Arc::clone(&samples),
            stopped,
        };
        let thread = place.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(caller.run());
            Ok(())
        });
        Ordinary { samples, stop, thread }
    }

    /// Returns all reviews that have ended so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().expect("the samples").clone()
    }

    /// Waits for the reviews that have started, and returns all.
    pub fn stop(self) -> Result<Vec<Sample>> {
        let _ = self.stop.send(true);
        self.thread.join().ok().context("the ordinary client panicked")??;
        Ok(std::mem::take(&mut *self.samples.lock().expect("the samples")))
    }
}

/// Returns the number of faults of each kind.
pub fn faults(samples: &[Sample]) -> BTreeMap<Fault, usize> {
    let mut faults = BTreeMap::new();
    for fault in samples.iter().filter_map(|sample| sample.fault.clone()) {
        *faults.entry(fault).or_default() += 1;
    }
    faults
}

#[derive(Clone)]
struct Caller {
    address: SocketAddr,
    tls: TlsConnector,
    requests: [Arc<[u8]>; 2],
    samples: Arc<Mutex<Vec<Sample>>>,
    stopped: watch::Receiver<bool>,
}

impl Caller {
    async fn run(self) {
        let mut tasks = tokio::task::JoinSet::new();
        for ((count, pause), keeps) in [(BUSY, true), (SELDOM, true), (NEW, false)] {
            for index in 0..count {
                // Spread evenly over the pause.
                let offset = pause * index as u32 / count as u32;
                tasks.spawn(self.clone().repeat(offset, pause, keeps));
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn repeat(mut self, offset: Duration, pause: Duration, keeps: bool) {
        let mut connection: Option<Stream> = None;
        let mut stopped = self.stopped.clone();
        let mut next = offset;
        for request in self.requests.clone().iter().cycle() {
            tokio::select! {
                () = sleep(next) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            next = pause;
            let kept = connection.take().and_then(still_open);
            let start = Instant::now();
            let (fault, after) = match timeout(TIMEOUT, self.review(kept, request)).await {
                Ok(Ok(after)) => (None, after),
                Ok(Err(fault)) => (Some(fault), None),
                Err(_) => (Some(Fault::Late), None),
            };
            connection = after.filter(|_| keeps);
            self.samples.lock().expect("the samples").push(Sample { start, latency: start.elapsed(), fault });
        }
    }

    /// Sends a review. Returns the connection if it can be used again.
    async fn review(&mut self, kept: Option<Stream>, request: &[u8]) -> Result<Option<Stream>, Fault> {
        let lost = |step: &'static str| move |error: io::Error| Fault::Lost(format!("{step}: {error}"));
        let mut stream = match kept {
            Some(stream) => stream,
            None => {
                let socket = TcpStream::connect(self.address).await.map_err(lost("connect"))?;
                socket.set_nodelay(true).map_err(lost("connect"))?;
                self.tls.connect(tls::name(), socket).await.map_err(lost("handshake"))?
            }
        };
        stream.write_all(request).await.map_err(lost("write"))?;
        stream.flush().await.map_err(lost("write"))?;
        let answer = http1::answer(&mut stream, &mut Vec::new()).await.map_err(lost("read"))?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 {
            return Err(Fault::Rejected(format!("{} {}", answer.status, text.trim_end())));
        }
        if !text.contains("\"allowed\":true") || !text.contains("\"patch\":") {
            return Err(Fault::Rejected(format!("no patch in {text}")));
        }
        Ok((!answer.closes).then_some(stream))
    }
}

/// Returns the connection, unless it was closed while it was idle. Go's client replaces such a connection.
fn still_open(mut stream: Stream) -> Option<Stream> {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    // This processes session tickets of TLS 1.3. No data may arrive.
    match pin::Pin::new(&mut stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)) {
        Poll::Pending => Some(stream),
        Poll::Ready(_) => None,
    }
}
