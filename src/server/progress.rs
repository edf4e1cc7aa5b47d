//! Where a connection stands, and how long it may stay there.
//!
//! hyper's `header_read_timeout` begins when it waits for the *next* request, so it would close idle
//! connections as soon as slow ones. The API server keeps connections open for 90 s and does not
//! replay a POST that meets a closed one, so the two need bounds of their own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// No bound: a request is being answered, and its body has a bound of its own.
const NEVER: u64 = u64::MAX;

/// Shared by a connection's socket, its service and its watchdog, which all run in one task.
#[derive(Debug)]
pub struct Progress {
    base: Instant,
    header: Duration,
    idle: Duration,
    deadline_millis: AtomicU64,
    idle_now: AtomicBool,
    multiplexed: AtomicBool,
}

impl Progress {
    /// A connection that has just been made. It is idle, not slow: Go's client opens connections
    /// that it then does not need at once.
    pub fn new(header: Duration, idle: Duration) -> Progress {
        let progress = Progress {
            base: Instant::now(),
            header,
            idle,
            deadline_millis: AtomicU64::new(NEVER),
            idle_now: AtomicBool::new(true),
            multiplexed: AtomicBool::new(false),
        };
        progress.set_deadline(idle);
        progress
    }

    /// The connection carries many requests at a time (HTTP/2). So only whole requests count, not bytes: whoever brings
    /// none in the time for which a connection may be idle is slow or idle, which is the same here.
    pub fn multiplex(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    /// Bytes came in. On an idle connection they begin a request.
    pub fn bytes_arrived(&self) {
        if !self.multiplexed.load(Ordering::Relaxed) && self.idle_now.swap(false, Ordering::Relaxed) {
            self.set_deadline(self.header);
        }
    }

    /// A request's header is complete.
    pub fn request_started(&self) {
        self.idle_now.store(false, Ordering::Relaxed);
        self.deadline_millis.store(NEVER, Ordering::Relaxed);
    }

    /// A request was answered. A client that does not read its answer counts as idle.
    pub fn request_ended(&self) {
        self.set_deadline(self.idle);
        self.idle_now.store(true, Ordering::Relaxed);
    }

    /// The end of `bound`, from now.
    pub fn set_deadline(&self, bound: Duration) {
        let deadline = self.base.elapsed() + bound;
        self.deadline_millis.store(deadline.as_millis() as u64, Ordering::Relaxed);
    }

    /// When the connection is to be closed, as things stand.
    pub fn deadline(&self) -> Option<Instant> {
        match self.deadline_millis.load(Ordering::Relaxed) {
            NEVER => None,
            millis => Some(self.base + Duration::from_millis(millis)),
        }
    }

    /// Whether nothing of a request is there.
    pub fn is_idle(&self) -> bool {
        self.idle_now.load(Ordering::Relaxed)
    }
}
