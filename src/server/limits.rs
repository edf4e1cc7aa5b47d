//! Limits of clients, with the source of each value.
//!
//! All memory that clients can make the server hold is within [`Bounds`], derived from the container's memory limit. The
//! constants are charges: the most that each thing holds, including kernel memory, which counts for the container too.

use std::time::Duration;

use super::bounds::Bounds;
use super::ledger;
use crate::engine::{self, STORED_BYTES};

/// Bytes of one request's body.
///
/// etcd stores objects of at most 1.5 MiB (`--max-request-bytes`), in Protocol Buffers. The API server sends them to
/// webhooks as JSON. Its encoder writes each of `<`, `>`, `&` and the control characters as six bytes. An update has
/// the old object as well, and the envelope has the user's groups and extra fields.
pub const BODY_BYTES: usize = 2 * 6 * STORED_BYTES + ENVELOPE_BYTES;
const ENVELOPE_BYTES: usize = 1024 * 1024;

/// Bytes above which a body is read on separate threads. Reading a body of this size takes some 100 µs.
pub const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Memory limit in bytes if the container has none: that of the chart.
pub const MEMORY_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Receive buffer of a connection's socket, in bytes. The kernel doubles it, and charges the container for what it holds. An
/// ordinary review of 12 KB fits.
pub const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

/// Receive buffer of a connection that has sent a large HTTP/1.1 body. With a small one, each piece of a body waits for the client,
/// and the server pays for the client's transmission. The kernel never takes back a window, so the buffer stays large.
pub const LARGE_RECEIVE_BUFFER_BYTES: usize = 128 * 1024;

/// Charge of [`LARGE_RECEIVE_BUFFER_BYTES`] until the connection closes.
pub const WIDE_CONNECTION_BYTES: usize = 2 * (LARGE_RECEIVE_BUFFER_BYTES - RECEIVE_BUFFER_BYTES);

/// Send buffer, as [`RECEIVE_BUFFER_BYTES`]. An ordinary answer fits.
pub const SEND_BUFFER_BYTES: usize = 8 * 1024;

/// Bytes of an answer that rustls may buffer.
pub const TLS_BUFFER_BYTES: usize = 8 * 1024;

/// Read buffer of a connection, in bytes. It exists while it holds data.
///
/// rustls reads 4 KB at a time. Reading an ordinary review in one system call saves 7 % of its cost.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes of an HTTP/1.1 request's header, and of the buffer that its body is read through. The API server's header is under
/// 1 KB. Go's server allows 1 MiB.
pub const HEADER_BYTES: usize = 16 * 1024;

/// Bytes that a client may send before its handshake is complete. A client certificate with its issuers has some KB.
pub const HANDSHAKE_BYTES: usize = 20 * 1024;

/// Charge of an open connection: task, TLS session and socket (some 20 KiB), and answers that the client has not read.
pub const CONNECTION_BYTES: usize = 20 * 1024 + 2 * SEND_BUFFER_BYTES + TLS_BUFFER_BYTES;

/// HTTP/2 streams of one connection, the minimum that RFC 9113 recommends. For more, Go's client opens another connection.
pub const HTTP2_STREAMS: u32 = 100;

/// Bytes of an HTTP/2 request's header, as RFC 9113 (6.5.2) counts them: each field adds 32.
pub const HTTP2_HEADER_BYTES: u32 = 4 * 1024;

/// Window of an HTTP/2 connection, in bytes: the minimum of RFC 9113 (6.9.2).
pub const HTTP2_WINDOW_BYTES: u32 = 65_535;

/// Charge of an HTTP/2 connection, beside [`CONNECTION_BYTES`]: window, compression tables and states of streams.
pub const HTTP2_CONNECTION_BYTES: usize = HTTP2_WINDOW_BYTES as usize + 64 * 1024;

/// Charge of a request, from the first byte of its header until its answer was sent: header and read buffers. It includes the
/// first [`HEADER_BYTES`] of the body.
pub const REQUEST_BYTES: usize = READ_BUFFER_BYTES + HEADER_BYTES;

/// Charge of an answer that does not fit the send buffers, beside its own size. A client that does not read it may fill the
/// receive buffers with its next requests.
pub const STALLED_BYTES: usize = 2 * RECEIVE_BUFFER_BYTES + READ_BUFFER_BYTES;

/// Limits of the probes' port: a kubelet, a few Prometheus servers and people, in plain HTTP and without bodies.
pub const PROBES: Bounds = Bounds { connection_bytes: 128 * CONNECTION_BYTES, request_bytes: 64 * REQUEST_BYTES };

/// Timeout of a TLS handshake. The API server's default for a whole webhook call is 10 s (`timeoutSeconds`).
pub const HANDSHAKE_SECS: u64 = 10;

/// Timeout of a request's header, from its first byte, as [`HANDSHAKE_SECS`].
pub const HEADER_SECS: u64 = 10;

/// Timeout of a request's body, from the end of its header, as [`HANDSHAKE_SECS`].
pub const BODY_SECS: u64 = 10;

/// Timeout until an answer was sent, as [`HANDSHAKE_SECS`].
pub const WRITE_SECS: u64 = 10;

/// Timeout of an idle connection. The API server closes idle connections after 90 s (`http.Transport.IdleConnTimeout`) and does
/// not replay a POST on a connection that the server closed. The server's timeout must be longer: 30 s cover clocks and load.
pub const IDLE_SECS: u64 = 120;

/// Bytes of a rejected body that are still read, so that the client reads the answer.
pub const DISCARDED_BYTES: usize = 2 * BODY_BYTES;

/// Configurable limits of one request.
#[derive(Debug, Clone)]
pub struct Limits {
    /// See [`BODY_BYTES`].
    pub body_bytes: usize,
    /// See [`HANDSHAKE_SECS`].
    pub handshake: Duration,
    /// See [`HEADER_SECS`].
    pub header: Duration,
    /// See [`BODY_SECS`].
    pub body: Duration,
    /// See [`WRITE_SECS`].
    pub write: Duration,
    /// See [`IDLE_SECS`].
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: BODY_BYTES,
            handshake: Duration::from_secs(HANDSHAKE_SECS),
            header: Duration::from_secs(HEADER_SECS),
            body: Duration::from_secs(BODY_SECS),
            write: Duration::from_secs(WRITE_SECS),
            idle: Duration::from_secs(IDLE_SECS),
        }
    }
}

/// Returns the limits for clients of a process with this memory limit that holds `resident_bytes` without clients.
///
/// A quarter of the rest stays free: for fragmentation, ordinary answers, and new rules beside the old. Connections and
/// requests get half of the other three quarters each. Three API servers, each with at most 600 requests in flight over
/// HTTP/1.1 (`--max-requests-inflight` and `--max-mutating-requests-inflight` together), need 2,048 connections with a
/// request of [`REQUEST_BYTES`] each. The chart's limit has room for them.
pub fn bounds(limit_bytes: u64, resident_bytes: u64) -> Bounds {
    let half = usize::try_from(limit_bytes.saturating_sub(resident_bytes) / 8 * 3).unwrap_or(usize::MAX / 4);
    Bounds { connection_bytes: half, request_bytes: half }
}

/// Returns the smallest memory limit whose [`bounds`] allow so many bytes of requests.
pub fn limit_for(request_bytes: usize, resident_bytes: u64) -> u64 {
    (request_bytes as u64).div_ceil(3) * 8 + resident_bytes
}

/// Returns the smallest limit of requests with which one body of `body_bytes` can be answered.
pub fn largest_request_bytes(body_bytes: usize) -> usize {
    ledger::bound_for(REQUEST_BYTES + body_bytes + engine::most_memory_bytes(body_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_outlive_the_api_servers() {
        const API_SERVER_IDLE_SECS: u64 = 90;
        const { assert!(IDLE_SECS > API_SERVER_IDLE_SECS) }
    }

    #[test]
    fn the_chart_has_room_for_three_api_servers_and_for_the_largest_body() {
        let Bounds { connection_bytes, request_bytes } = bounds(MEMORY_LIMIT_BYTES, 16 << 20);
        assert!(connection_bytes / CONNECTION_BYTES >= 2048, "{}", connection_bytes / CONNECTION_BYTES);
        assert!(request_bytes / REQUEST_BYTES >= 2048, "{}", request_bytes / REQUEST_BYTES);
        assert!(request_bytes >= largest_request_bytes(BODY_BYTES), "{request_bytes}");
    }
}
