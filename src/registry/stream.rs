//! A connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a plain HTTP server begins its answer to a TLS handshake with.
const HTTP: &[u8; 5] = b"HTTP/";

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that remembers the first bytes that it received.
pub(super) struct Stream {
    inner: Box<dyn Io>,
    first: Vec<u8>,
}

impl Stream {
    pub(super) fn new(inner: impl Io + 'static) -> Self {
        Self { inner: Box::new(inner), first: Vec::with_capacity(HTTP.len()) }
    }

    /// Returns whether the first bytes are those of an HTTP response.
    pub(super) fn is_http(&self) -> bool {
        self.first == HTTP
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let missing = HTTP.len() - self.first.len();
        self.first.extend(buffer.filled()[before..].iter().take(missing));
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
