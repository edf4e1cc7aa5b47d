//! A client that shows its connection: certificate, protocol, remaining requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ProtocolVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::Trust;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A connection.
pub struct Client {
    sender: Sender,
    /// The certificate of the server, in DER.
    pub certificate: Vec<u8>,
    pub tls_version: Option<ProtocolVersion>,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns whether the server closes the connection after this response.
    pub fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}

/// Opens a TLS connection without HTTP.
pub async fn tls(address: SocketAddr, trust: &Trust, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(trust.config(alpn)));
    connector.connect("localhost".try_into().unwrap(), stream).await
}

impl Client {
    pub async fn http1(address: SocketAddr, trust: &Trust) -> Result<Client, Error> {
        Client::of_version(address, trust, false).await
    }

    pub async fn http2(address: SocketAddr, trust: &Trust) -> Result<Client, Error> {
        Client::of_version(address, trust, true).await
    }

    pub async fn of_version(address: SocketAddr, trust: &Trust, http2: bool) -> Result<Client, Error> {
        let alpn = if http2 { "h2" } else { "http/1.1" };
        Client::new(tls(address, trust, &[alpn]).await?).await
    }

    pub async fn new(stream: TlsStream<TcpStream>) -> Result<Client, Error> {
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().unwrap()[0].to_vec();
        let tls_version = session.protocol_version();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Client { sender, certificate, tls_version })
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Returns whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    pub async fn send(&mut self, mut request: Request<Body>) -> Result<Answer, Error> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().insert(HOST, "localhost".parse()?);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                *request.uri_mut() = format!("https://localhost{}", request.uri()).parse()?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends an AdmissionReview to /mutate.
    pub async fn admit(&mut self, body: impl Into<Body>) -> Result<Answer, Error> {
        let request = Request::post("/mutate").header(CONTENT_TYPE, "application/json").body(body.into())?;
        self.send(request).await
    }
}

/// Returns status and body of a GET request over plain HTTP.
pub async fn get_plain(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}
