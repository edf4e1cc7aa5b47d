//! What one client may cost the others: every bound, with where its value comes from.
//!
//! All memory that clients can make the server hold is within [`Bounds`], which are derived from the container's memory
//! limit. The constants say what each thing is charged with: what it holds at worst, with what the kernel holds for it,
//! since that counts for the container too.

use std::time::Duration;

use super::ledger::{self, Bounds};
use crate::engine::{self, STORED_BYTES};

/// One request's body.
///
/// etcd stores objects of at most 1.5 MiB (`--max-request-bytes`), in Protocol Buffers. The API server sends them to
/// webhooks as JSON, and its encoder writes each of `<`, `>`, `&` and the control characters as six bytes. An update has
/// the old object as well, and the envelope has the user's groups and extra fields.
pub const BODY_BYTES: usize = 2 * 6 * STORED_BYTES + ENVELOPE_BYTES;
const ENVELOPE_BYTES: usize = 1024 * 1024;

/// A body above this is read on threads of its own. Reading one of this size takes some 100 µs.
pub const LARGE_BODY_BYTES: usize = 64 * 1024;

/// The memory limit that is assumed where none is found: that of the chart.
pub const MEMORY_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Of a connection's socket. The kernel doubles it, and charges the container for what it holds. An ordinary review of
/// 12 KB fits.
pub const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

/// As [`RECEIVE_BUFFER_BYTES`]. An ordinary answer fits.
pub const SEND_BUFFER_BYTES: usize = 8 * 1024;

/// What rustls may hold of an answer.
pub const TLS_BUFFER_BYTES: usize = 8 * 1024;

/// What the connection's reads are buffered in, for as long as it holds something.
///
/// rustls asks for 4 KB at a time; one system call for an ordinary review saves 7 % of its whole cost.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// One HTTP/1.1 request's header, and the buffer that its body is read through. The API server's header is under 1 KB;
/// Go's server allows 1 MiB.
pub const HEADER_BYTES: usize = 16 * 1024;

/// What a client may send before its handshake is complete: a client certificate with its issuers has some KB.
pub const HANDSHAKE_BYTES: usize = 20 * 1024;

/// An open connection: its task, TLS session and socket (some 20 KiB), and answers that its client did not read yet.
pub const CONNECTION_BYTES: usize = 20 * 1024 + 2 * SEND_BUFFER_BYTES + TLS_BUFFER_BYTES;

/// HTTP/2 streams of one connection, the least that RFC 9113 recommends. Go's client opens another connection for more.
pub const HTTP2_STREAMS: u32 = 100;

/// One HTTP/2 request's header, as RFC 9113 (6.5.2) counts it: 32 bytes are added for each field.
pub const HTTP2_HEADER_BYTES: u32 = 4 * 1024;

/// What an HTTP/2 client may send before anything of it is read: the least that RFC 9113 (6.9.2) allows for a connection.
pub const HTTP2_WINDOW_BYTES: u32 = 65_535;

/// An HTTP/2 connection, beside [`CONNECTION_BYTES`]: its window, its compression tables, and its streams' states.
pub const HTTP2_CONNECTION_BYTES: usize = HTTP2_WINDOW_BYTES as usize + 64 * 1024;

/// A request, from the first byte of its header until its answer has left: the header and the read buffers. The first
/// [`HEADER_BYTES`] of its body are part of it.
pub const REQUEST_BYTES: usize = READ_BUFFER_BYTES + HEADER_BYTES;

/// An answer that does not fit the send buffers, beside its own size: while its client does not read it, the client may
/// fill the receive buffers with its next requests.
pub const STALLED_BYTES: usize = 2 * RECEIVE_BUFFER_BYTES + READ_BUFFER_BYTES;

/// Connections to the probes' port: a kubelet, a few Prometheus servers, and somebody who looks. In plain HTTP, and
/// without bodies.
pub const PROBES: Bounds = Bounds { connection_bytes: 128 * CONNECTION_BYTES, request_bytes: 64 * REQUEST_BYTES };

/// A TLS handshake. The API server gives a whole webhook call 10 s by default (`timeoutSeconds`),
/// so whoever needs longer for the handshake alone has given up.
pub const HANDSHAKE_SECS: u64 = 10;

/// A request's header, from its first byte; same derivation as [`HANDSHAKE_SECS`].
pub const HEADER_SECS: u64 = 10;

/// A request's body, from the end of its header; same derivation as [`HANDSHAKE_SECS`].
pub const BODY_SECS: u64 = 10;

/// An answer, until it has left; same derivation as [`HANDSHAKE_SECS`].
pub const WRITE_SECS: u64 = 10;

/// A connection without a request. The API server drops idle connections after 90 s
/// (`http.Transport.IdleConnTimeout`) and does not replay a POST when one is closed under it, so
/// the server must be the more patient side; 30 s more forgive clocks and load.
pub const IDLE_SECS: u64 = 120;

/// What of a rejected body is still read, so that the client comes to read the answer.
pub const DISCARDED_BYTES: usize = 2 * BODY_BYTES;

/// The bounds of one request, which an operator can move.
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

/// What clients may hold in a process that may have `limit_bytes` and holds `resident_bytes` without them.
///
/// A quarter of the rest stays free, for fragmentation, for answering ordinary requests, and for new rules beside the
/// old. The other three are for connections and for requests, half each: three API servers, each with at most 600
/// requests in flight over HTTP/1.1 (`--max-requests-inflight` and `--max-mutating-requests-inflight` together), need
/// 2,048 connections with a request of [`REQUEST_BYTES`] each, which the chart's limit has room for.
pub fn bounds(limit_bytes: u64, resident_bytes: u64) -> Bounds {
    let half = usize::try_from(limit_bytes.saturating_sub(resident_bytes) / 8 * 3).unwrap_or(usize::MAX / 4);
    Bounds { connection_bytes: half, request_bytes: half }
}

/// The least memory limit whose [`bounds`] allow so many bytes of requests.
pub fn limit_for(request_bytes: usize, resident_bytes: u64) -> u64 {
    (request_bytes as u64).div_ceil(3) * 8 + resident_bytes
}

/// The least bound of requests with which one body of `body_bytes` can be answered.
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
