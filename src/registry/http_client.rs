//! One request, and its body within bounds.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::response::Parts;
use http::uri::Scheme;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::answer::{Invalid, Phase, Unreachable};
use super::connect::{self, Connector, of_io};
use super::settings::Timeouts;
use super::tls;
use super::url::place;
use crate::proxy::Proxy;

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
const MAX_DISCARDED_BYTES: usize = 64 << 10;
/// A body that comes more slowly than this, apart from one stall, is given up.
const MIN_BYTES_PER_SEC: u64 = 1 << 10;
/// The time within which a connection is ready for its next request.
const TURNAROUND: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(30);

/// Why a response was not received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    Unreachable(Unreachable),
    Invalid(Invalid),
}

/// The connections for one registry. They speak HTTP/1.1.
#[derive(Clone)]
pub(super) struct HttpClient {
    connector: Arc<Connector>,
    timeouts: Timeouts,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// A connection to the host of a URL.
struct Connection {
    scheme: Option<Scheme>,
    place: String,
    sender: SendRequest<Full<Bytes>>,
    /// The proxy to which requests name their whole URL.
    proxy: Option<Proxy>,
    since: Instant,
}

impl HttpClient {
    pub(super) fn new(connector: Connector, timeouts: Timeouts) -> Self {
        Self { connector: Arc::new(connector), timeouts, idle: Arc::default() }
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: &Request<Full<Bytes>>) -> Result<Received, Failure> {
        let url = request.uri();
        loop {
            let (mut connection, is_new) = match self.idle(url) {
                Some(connection) => (connection, false),
                None => (self.connect(url).await?, true),
            };
            let start = Instant::now();
            let sent = connection.sender.try_send_request(connection.on_wire(request));
            let response = match timeout(self.timeouts.headers, sent).await {
                Err(_) => return Err(self.late(url, Phase::Headers, self.timeouts.headers)),
                // The server may have closed an idle connection in the meantime.
                Ok(Err(error)) if !is_new && is_closed(error.error()) => continue,
                Ok(Err(error)) => return Err(of_hyper(&place(url), error.error())),
                Ok(Ok(response)) => response,
            };
            let first_byte = start.elapsed();
            let (head, body) = response.into_parts();
            if let Some(encoding) = encoding(&head.headers) {
                return Err(Failure::Invalid(Invalid::Compressed(encoding)));
            }
            let mut body = Body {
                client: self.clone(),
                url: url.clone(),
                body,
                connection: Some(connection),
                start: Instant::now(),
                received_bytes: 0,
            };
            if body.body.is_end_stream() {
                body.keep_connection().await;
            }
            return Ok(Received { head, first_byte, body });
        }
    }

    fn idle(&self, url: &Uri) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.sender.is_closed() && connection.since.elapsed() < IDLE);
        let place = place(url);
        let is_usable = |connection: &Connection| {
            connection.scheme.as_ref() == url.scheme() && connection.place == place && connection.sender.is_ready()
        };
        let at = idle.iter().position(is_usable)?;
        Some(idle.swap_remove(at))
    }

    async fn connect(&self, url: &Uri) -> Result<Connection, Failure> {
        let (stream, proxy) = self.connector.connect(url).await.map_err(Failure::Unreachable)?;
        let handshake = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(|error| of_hyper(&place(url), &error))?;
        // Its error is also that of the request.
        tokio::spawn(connection);
        Ok(Connection { scheme: url.scheme().cloned(), place: place(url), sender, proxy, since: Instant::now() })
    }

    fn late(&self, url: &Uri, phase: Phase, after: Duration) -> Failure {
        Failure::Unreachable(Unreachable::Timeout { host: place(url), phase, after })
    }
}

impl Connection {
    /// Returns a request as this connection needs it: with `Host`, and with a path, or with a whole URL for a proxy.
    fn on_wire(&self, request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        let mut request = request.clone();
        let url = request.uri().clone();
        if let Ok(host) = HeaderValue::from_str(&place(&url)) {
            request.headers_mut().insert(HOST, host);
        }
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match &self.proxy {
            None => {
                let path = url.path_and_query().map_or("/", |path| path.as_str());
                if let Ok(path) = path.parse() {
                    *request.uri_mut() = path;
                }
            }
            Some(proxy) => {
                let value = connect::login(&proxy.url).map(|login| format!("Basic {}", login.basic()));
                if let Some(mut value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                    value.set_sensitive(true);
                    request.headers_mut().insert(PROXY_AUTHORIZATION, value);
                }
            }
        }
        request
    }
}

/// A response.
pub(super) struct Received {
    pub(super) head: Parts,
    /// The time from the request to the headers.
    pub(super) first_byte: Duration,
    pub(super) body: Body,
}

/// A body in pieces, each within the timeout.
pub(super) struct Body {
    client: HttpClient,
    url: Uri,
    body: Incoming,
    /// It is kept for other requests once the body is read.
    connection: Option<Connection>,
    start: Instant,
    received_bytes: u64,
}

impl Body {
    /// Returns the next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let stall = self.client.timeouts.stall;
        let allowed = stall + Duration::from_secs(self.received_bytes / MIN_BYTES_PER_SEC);
        if self.start.elapsed() > allowed {
            return Err(self.client.late(&self.url, Phase::Body, self.start.elapsed()));
        }
        loop {
            let frame = timeout(stall, self.body.frame()).await;
            let frame = frame.map_err(|_| self.client.late(&self.url, Phase::Body, stall))?;
            let Some(frame) = frame else {
                self.keep_connection().await;
                return Ok(None);
            };
            let frame = frame.map_err(|error| of_hyper(&place(&self.url), &error))?;
            if let Ok(data) = frame.into_data() {
                self.received_bytes += data.len() as u64;
                return Ok(Some(data));
            }
        }
    }

    /// Reads the whole body, of at most `limit` bytes.
    pub(super) async fn all(mut self, limit: usize) -> Result<Bytes, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(Failure::Invalid(Invalid::TooLarge { limit_bytes: limit as u64 }));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }

    /// Reads a short body, so that the connection is kept.
    pub(super) async fn discard(self) {
        drop(self.all(MAX_DISCARDED_BYTES).await);
    }

    async fn keep_connection(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if let Ok(Ok(())) = timeout(TURNAROUND, connection.sender.ready()).await {
            connection.since = Instant::now();
            self.client.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

fn encoding(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("?").trim();
    (!encoding.eq_ignore_ascii_case("identity")).then(|| encoding.chars().take(32).collect())
}

fn of_hyper(host: &str, error: &hyper::Error) -> Failure {
    if let Some(fault) = tls::find(error) {
        return Failure::Unreachable(Unreachable::Tls { host: host.to_owned(), fault });
    }
    let io = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    if error.is_parse_too_large() {
        return Failure::Invalid(Invalid::HeadersTooLarge { limit_bytes: MAX_HEAD_BYTES, limit_count: MAX_HEADERS });
    }
    if error.is_parse() {
        return Failure::Invalid(Invalid::NotHttp { reason: error.to_string() });
    }
    Failure::Unreachable(match io {
        Some(io) => of_io(host, io),
        None if is_closed(error) => Unreachable::Closed { host: host.to_owned() },
        None => Unreachable::Network { host: host.to_owned(), reason: error.to_string() },
    })
}

fn is_closed(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}
