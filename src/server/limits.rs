//! What one client may cost the others: every bound, with where its value comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One request's body. The API server accepts objects of 3 MiB; a review holds `object` and
/// `oldObject`, and 1 MiB is left for the envelope. controller-runtime's bound is the same.
pub const BODY_BYTES: usize = 7 * 1024 * 1024;

/// All bodies that are held at one time: nine of the largest, or 5,000 ordinary ones of 12 KB.
/// Reading and answering one takes some times its size, but only as many at a time as there are processors.
pub const HELD_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Admission requests at one time. An API server has at most 600 requests in flight
/// (`--max-requests-inflight` 400 + `--max-mutating-requests-inflight` 200, which API Priority and
/// Fairness adds up), each of which calls a webhook once at a time: three API servers, rounded up.
pub const REQUESTS: usize = 2048;

/// Connections at one time. HTTP/1.1 has one per request, and as many may be idle between two bursts.
pub const CONNECTIONS: usize = 2 * REQUESTS;

/// Connections above [`Limits::connections`] that are still told why (503), not just closed.
pub const REFUSED_CONNECTIONS: usize = 64;

/// Connections to the probes' port: a kubelet, a few Prometheus servers, and somebody who looks.
pub const PROBE_CONNECTIONS: usize = 64;

/// A TLS handshake. The API server gives a whole webhook call 10 s by default (`timeoutSeconds`),
/// so whoever needs longer for the handshake alone has given up.
pub const HANDSHAKE_SECS: u64 = 10;

/// A request's header, from its first byte; same derivation as [`HANDSHAKE_SECS`].
pub const HEADER_SECS: u64 = 10;

/// A request's body, from the end of its header; same derivation as [`HANDSHAKE_SECS`].
pub const BODY_SECS: u64 = 10;

/// A connection without a request. The API server drops idle connections after 90 s
/// (`http.Transport.IdleConnTimeout`) and does not replay a POST when one is closed under it, so
/// the server must be the more patient side; 30 s more forgive clocks and load.
pub const IDLE_SECS: u64 = 120;

/// One HTTP/1.1 request's header. The API server's is under 1 KB; Go's server allows 1 MiB.
pub const HEADER_BYTES: usize = 64 * 1024;

/// HTTP/2 streams of one connection, the least that RFC 9113 recommends. Go's client opens another connection for more.
pub const HTTP2_STREAMS: u32 = 100;

/// One HTTP/2 request's header, decoded.
pub const HTTP2_HEADER_BYTES: u32 = 16 * 1024;

/// What of a refused body is still read, so that the client comes to read the answer.
pub const DISCARDED_BYTES: usize = 4 * BODY_BYTES;

/// The bounds an operator can move.
#[derive(Debug, Clone)]
pub struct Limits {
    /// See [`BODY_BYTES`].
    pub body_bytes: usize,
    /// See [`HELD_BODY_BYTES`].
    pub held_body_bytes: usize,
    /// See [`REQUESTS`].
    pub requests: usize,
    /// See [`CONNECTIONS`].
    pub connections: usize,
    /// See [`HANDSHAKE_SECS`].
    pub handshake: Duration,
    /// See [`HEADER_SECS`].
    pub header: Duration,
    /// See [`BODY_SECS`].
    pub body: Duration,
    /// See [`IDLE_SECS`].
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: BODY_BYTES,
            held_body_bytes: HELD_BODY_BYTES,
            requests: REQUESTS,
            connections: CONNECTIONS,
            handshake: Duration::from_secs(HANDSHAKE_SECS),
            header: Duration::from_secs(HEADER_SECS),
            body: Duration::from_secs(BODY_SECS),
            idle: Duration::from_secs(IDLE_SECS),
        }
    }
}

/// A bounded amount of something that many use: bytes, requests, connections.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), max })
    }

    /// How much is used now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `amount`, which comes back when the share is dropped; `None` if less is left.
    pub fn take(self: &Arc<Budget>, amount: usize) -> Option<Share> {
        let mut share = Share { budget: Arc::clone(self), amount: 0 };
        share.grow(amount).then_some(share)
    }
}

/// A part of a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    amount: usize,
}

impl Share {
    /// Takes `amount` more; false, and nothing taken, if less is left.
    pub fn grow(&mut self, amount: usize) -> bool {
        let Budget { used, max } = &*self.budget;
        // Add first and look after: two that race for the last part may both be refused, which
        // costs nothing that a retry loop on every request would not.
        let before = used.fetch_add(amount, Ordering::Relaxed);
        let fits = before.saturating_add(amount) <= *max;
        if fits {
            self.amount += amount;
        } else {
            used.fetch_sub(amount, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_exceeded_and_comes_back() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).expect("6 of 10");
        assert!(budget.take(5).is_none());
        assert!(first.grow(4));
        assert!(!first.grow(1));
        assert_eq!(budget.used(), 10);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn idle_connections_outlive_the_api_servers() {
        const API_SERVER_IDLE_SECS: u64 = 90;
        const { assert!(IDLE_SECS > API_SERVER_IDLE_SECS) }
    }
}
