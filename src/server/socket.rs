//! A TCP stream that reads in large pieces and reports received bytes.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::limits::{LARGE_RECEIVE_BUFFER_BYTES, READ_BUFFER_BYTES};
use super::progress::Progress;

thread_local! {
    /// A buffer that a connection of this thread has emptied, for the next one that reads.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The stream below TLS.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// It has memory only while it holds data, so that idle connections stay small.
    buffer: Vec<u8>,
    taken: usize,
    /// The receive buffer has [`LARGE_RECEIVE_BUFFER_BYTES`].
    is_wide: bool,
    progress: Arc<Progress>,
}

impl Socket {
    /// Wraps an accepted stream.
    pub fn new(stream: TcpStream, progress: Arc<Progress>) -> Socket {
        Socket { stream, buffer: Vec::new(), taken: 0, is_wide: false, progress }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_wide && self.progress.is_wide() {
            self.is_wide = true;
            // It fails only on closed connections.
            let _ = SockRef::from(&self.stream).set_recv_buffer_size(LARGE_RECEIVE_BUFFER_BYTES);
        }
        ready!(self.stream.poll_read_ready(cx))?;
        let mut buffer = SPARE.take();
        buffer.reserve_exact(READ_BUFFER_BYTES);
        let count = ready!(pin!(self.stream.read_buf(&mut buffer)).poll(cx))?;
        if count > 0 {
            self.progress.bytes_arrived(count)?;
        }
        self.buffer = buffer;
        self.taken = 0;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Otherwise the kernel would hold unread data for minutes and try to deliver it.
        if self.progress.account().is_closing() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffer.is_empty() {
            ready!(this.poll_fill(cx))?;
        }
        let rest = &this.buffer[this.taken..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        this.taken += count;
        if this.taken == this.buffer.len() {
            let mut spare = std::mem::take(&mut this.buffer);
            spare.clear();
            SPARE.set(spare);
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
