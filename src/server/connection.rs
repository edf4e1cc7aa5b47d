//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::http::line;
use super::limits::{Budget, HEADER_BYTES, HTTP2_HEADER_BYTES, HTTP2_STREAMS, Limits, REFUSED_CONNECTIONS, Share};
use super::metrics::Metrics;
use super::progress::Progress;
use super::shutdown::Phase;
use super::socket::Socket;
use super::tls::{ALPN_HTTP2, Identity};

/// How long a connection that was told to end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What is behind a set of listening addresses, and on which terms.
#[derive(Debug)]
pub struct Endpoint {
    router: Router,
    /// None: plain HTTP.
    identity: Option<Arc<ArcSwap<Identity>>>,
    limits: Limits,
    connections: Arc<Budget>,
    refused: Arc<Budget>,
    metrics: Arc<Metrics>,
    phase: watch::Receiver<Phase>,
}

/// Whether a connection is within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Welcome {
    Served,
    /// Answered 503, and closed.
    Refused,
}

impl Endpoint {
    /// An endpoint that serves `router`.
    pub fn new(
        router: Router,
        identity: Option<Arc<ArcSwap<Identity>>>,
        limits: Limits,
        metrics: Arc<Metrics>,
        phase: watch::Receiver<Phase>,
    ) -> Arc<Endpoint> {
        Arc::new(Endpoint {
            router,
            identity,
            connections: Budget::new(limits.connections),
            refused: Budget::new(REFUSED_CONNECTIONS),
            limits,
            metrics,
            phase,
        })
    }

    /// The connections within the limit.
    pub fn connections(&self) -> &Arc<Budget> {
        &self.connections
    }

    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Serves an accepted stream in a task of its own, or closes it.
    pub fn serve(self: &Arc<Endpoint>, stream: TcpStream) {
        let (share, welcome) = match self.connections.take(1) {
            Some(share) => (share, Welcome::Served),
            None => match self.refused.take(1) {
                Some(share) => (share, Welcome::Refused),
                None => return,
            },
        };
        tokio::spawn(Arc::clone(self).serve_stream(stream, share, welcome));
    }

    async fn serve_stream(self: Arc<Endpoint>, stream: TcpStream, _share: Share, welcome: Welcome) {
        // Without it, an answer waits for the client's delayed ACK: a p99 of 22 ms, not 0.4. Where it
        // can't be set the connection is gone, which shows below.
        let _ = stream.set_nodelay(true);
        let idle = if welcome == Welcome::Served { self.limits.idle } else { self.limits.header };
        let progress = Arc::new(Progress::new(self.limits.header, idle));
        let socket = Socket::new(stream, Arc::clone(&progress));
        let Some(identity) = &self.identity else {
            return self.http1(socket, progress, welcome).await;
        };
        let handshake = TlsAcceptor::from(Arc::clone(identity.load().config())).accept(socket);
        let failure = match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => {
                // The handshake's bytes are no request's.
                progress.request_ended();
                return match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_HTTP2) => self.http2(stream, progress, welcome).await,
                    _ => self.http1(stream, progress, welcome).await,
                };
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not complete within {} s", self.limits.handshake.as_secs_f32()),
        };
        self.metrics.handshake_failed();
        tracing::debug!(error = failure.as_str(), "TLS handshake failed");
    }

    async fn http1(
        self: &Arc<Endpoint>,
        io: impl AsyncRead + AsyncWrite + Unpin,
        progress: Arc<Progress>,
        welcome: Welcome,
    ) {
        let service = service_fn(|request: Request<Incoming>| {
            progress.request_started();
            let answer = self.answer(request, welcome);
            let progress = &progress;
            async move {
                let answer = answer.await;
                progress.request_ended();
                answer
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(io), service);
        self.drive(connection, &progress, Phase::Closing).await;
    }

    async fn http2(
        self: &Arc<Endpoint>,
        io: impl AsyncRead + AsyncWrite + Unpin,
        progress: Arc<Progress>,
        welcome: Welcome,
    ) {
        progress.multiplex();
        let endpoint = Arc::clone(self);
        let requests = Arc::clone(&progress);
        let service = service_fn(move |request: Request<Incoming>| {
            // Bodies and answers have bounds of their own, well below that of an idle connection.
            requests.request_ended();
            endpoint.answer(request, welcome)
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(HTTP2_HEADER_BYTES)
            .serve_connection(TokioIo::new(io), service);
        // GOAWAY tells the client to go elsewhere without failing anything, so it is sent as soon as
        // that is wished. A client that comes while that is known has nowhere else to go yet.
        let goodbye = if *self.phase.borrow() == Phase::Serving { Phase::Draining } else { Phase::Closing };
        self.drive(connection, &progress, goodbye).await;
    }

    fn answer(
        self: &Arc<Endpoint>,
        request: Request<Incoming>,
        welcome: Welcome,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let is_http1 = request.version() < Version::HTTP_2;
        // Nobody may keep the kubelet from learning that all is well, so probes are answered either way.
        let is_probe = self.identity.is_none();
        let answer = match welcome {
            _ if is_probe => Ok(self.router.clone().call(request.map(Body::new))),
            Welcome::Served => Ok(self.router.clone().call(request.map(Body::new))),
            Welcome::Refused => {
                let text = format!("too many connections; the limit is {}", self.limits.connections);
                Err(line(StatusCode::SERVICE_UNAVAILABLE, &text))
            }
        };
        let endpoint = Arc::clone(self);
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await?,
                Err(refusal) => refusal,
            };
            let last = welcome == Welcome::Refused || *endpoint.phase.borrow() != Phase::Serving;
            if last && is_http1 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    }

    /// Runs a connection to its end, which is its client's, a deadline's, or the server's from `goodbye` on.
    async fn drive<C: Connection>(&self, connection: C, progress: &Progress, goodbye: Phase) {
        let mut connection = pin!(connection);
        let mut phase = self.phase.clone();
        let mut ends = pin!(async move { phase.wait_for(|phase| *phase >= goodbye).await.is_ok() });
        let mut alarm = pin!(sleep_until(tokio::time::Instant::now() + self.limits.idle));
        let mut told = false;
        std::future::poll_fn(|cx| {
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !told && ends.as_mut().poll(cx).is_ready() {
                    told = true;
                    connection.as_mut().say_goodbye();
                    continue;
                }
                // The alarm is moved forward only, or when it rings: an ordinary request, which comes
                // and goes within one poll, never touches it.
                let Some(deadline) = progress.deadline() else {
                    return Poll::Pending;
                };
                if deadline < alarm.deadline() {
                    alarm.as_mut().reset(deadline);
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if alarm.deadline() < deadline {
                    alarm.as_mut().reset(deadline);
                } else if progress.is_idle() && !told {
                    told = true;
                    connection.as_mut().say_goodbye();
                    progress.set_deadline(GOODBYE);
                } else {
                    tracing::debug!("connection closed: its time was up");
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}

/// A connection of either version of HTTP.
trait Connection: Future {
    /// What is in flight ends; nothing new is taken.
    fn say_goodbye(self: Pin<&mut Self>);
}

impl<I, S> Connection for http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn say_goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Connection for http2::Connection<I, S, TokioExecutor>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = Body>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn say_goodbye(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
