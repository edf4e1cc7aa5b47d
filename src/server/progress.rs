//! Tracks the progress of a connection, its charges and its timeouts.
//!
//! hyper's `header_read_timeout` starts when it waits for the *next* request, so it treats idle connections like slow ones. The
//! API server keeps connections open for 90 s and does not replay a POST on a closed one. Both need timeouts of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

use super::ledger::{Account, Charge, Full, Merit, Phase};
use super::limits::{
    HANDSHAKE_BYTES, HTTP2_CONNECTION_BYTES, Limits, REQUEST_BYTES, SEND_BUFFER_BYTES, STALLED_BYTES,
    WIDE_CONNECTION_BYTES,
};

/// State that a connection's socket, service, answers and timeout share.
#[derive(Debug)]
pub struct Progress {
    account: Arc<Account>,
    header: Duration,
    idle: Duration,
    write: Duration,
    /// The longest time that one request can take.
    request: Duration,
    /// A request has started since the last call of [`Progress::take_start`].
    has_started: AtomicBool,
    is_wide: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When the last answer was sent, or the connection started. Nothing else resets the idle time.
    idle_since: Instant,
    requests: usize,
    /// Deadlines of answers that were not sent yet, the oldest first.
    answers: VecDeque<(u64, Instant)>,
    answers_before: u64,
    /// The charge of the HTTP/1.1 request whose header is being read.
    charge: Option<Charge>,
    goodbye: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake {
        bytes: usize,
    },
    Idle,
    Header {
        deadline: Instant,
    },
    Request,
    /// HTTP/2 with concurrent requests. Only whole requests count, not bytes: without one in the idle timeout, the connection is
    /// closed as idle.
    Multiplexed,
}

impl Progress {
    /// Creates the state of a new connection. It counts as idle, not slow: Go's client opens connections in advance.
    pub fn new(account: Arc<Account>, limits: &Limits) -> Progress {
        let Limits { body_bytes: _, handshake: _, header, body, write, idle } = *limits;
        let state = State {
            stage: Stage::Handshake { bytes: 0 },
            idle_since: Instant::now(),
            requests: 0,
            answers: VecDeque::new(),
            answers_before: 0,
            charge: None,
            goodbye: None,
        };
        Progress {
            account,
            header,
            idle,
            write,
            request: body + write,
            has_started: AtomicBool::new(false),
            is_wide: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Records that the TLS handshake is complete.
    pub fn established(&self) {
        self.account.promote(Merit::Unproven);
    }

    /// Records that the connection uses HTTP/1.1.
    pub fn http1(&self) {
        self.state().stage = Stage::Idle;
    }

    /// Records that the connection uses HTTP/2.
    pub async fn http2(&self) {
        self.account.multiplex(HTTP2_CONNECTION_BYTES).await;
        self.state().stage = Stage::Multiplexed;
    }

    /// Records received bytes. On an idle connection, they start a request.
    ///
    /// # Errors
    ///
    /// Fails if the handshake has too many bytes, or if there is no memory for a request.
    pub fn bytes_arrived(&self, count: usize) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.stage {
            Stage::Handshake { bytes } => {
                // The last message of the handshake may arrive with the start of the first request.
                if *bytes > HANDSHAKE_BYTES {
                    return Err(io::Error::other("the handshake is too large"));
                }
                let is_first = *bytes == 0;
                *bytes += count;
                drop(state);
                if is_first {
                    self.account.promote(Merit::Handshake);
                }
            }
            Stage::Idle => {
                state.stage = Stage::Header { deadline: Instant::now() + self.header };
                drop(state);
                self.account.promote(Merit::Unproven);
                let charge = self.account.charge(REQUEST_BYTES).map_err(|Full| {
                    self.account.shed();
                    io::Error::other("the memory for requests is full")
                })?;
                self.state().charge = Some(charge);
            }
            Stage::Header { .. } | Stage::Request | Stage::Multiplexed => {}
        }
        Ok(())
    }

    /// Records that a request's header is complete. Its charge starts with its first byte in HTTP/1.1, and here in HTTP/2.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for it. It still counts as a request in progress until it is answered.
    pub fn request_started(self: &Arc<Progress>) -> (Underway, Result<Visit, Full>) {
        let charge = {
            let mut state = self.state();
            state.requests += 1;
            if state.stage != Stage::Multiplexed {
                state.stage = Stage::Request;
            }
            state.charge.take()
        };
        self.has_started.store(true, Ordering::Relaxed);
        self.account.active();
        let charge = charge.map_or_else(|| self.account.charge(REQUEST_BYTES), Ok);
        let visit =
            charge.map(|charge| Visit { progress: Arc::clone(self), charge: Arc::new(Mutex::new(Some(charge))) });
        let underway = Underway { progress: Arc::clone(self), _visit: visit.as_ref().ok().cloned() };
        (underway, visit)
    }

    /// Returns whether a request has started since the last call.
    pub fn take_start(&self) -> bool {
        self.has_started.swap(false, Ordering::Relaxed)
    }

    /// Returns whether the socket should have a large receive buffer.
    pub fn is_wide(&self) -> bool {
        self.is_wide.load(Ordering::Relaxed)
    }

    fn request_ended(&self) {
        let mut state = self.state();
        state.requests = state.requests.saturating_sub(1);
        if state.stage == Stage::Request && state.answers.is_empty() {
            // An error of one line. If the client does not read it, the connection counts as idle.
            state.stage = Stage::Idle;
            state.idle_since = Instant::now();
        }
    }

    fn answer(self: &Arc<Progress>, bytes: Vec<u8>, charge: Charge) -> Bytes {
        let number = {
            let mut state = self.state();
            state.answers_before += 1;
            let number = state.answers_before;
            state.answers.push_back((number, Instant::now() + self.write));
            number
        };
        Bytes::from_owner(Outgoing { bytes, _charge: charge, number, progress: Arc::clone(self) })
    }

    fn answer_left(&self, number: u64) {
        let mut state = self.state();
        state.answers.retain(|(other, _)| *other != number);
        state.idle_since = Instant::now();
        if state.stage == Stage::Request && state.requests == 0 {
            state.stage = Stage::Idle;
        }
        drop(state);
        self.account.answered();
    }

    /// Returns the deadline of the connection's shutdown.
    pub fn goodbye_within(&self, bound: Duration) {
        self.state().goodbye = Some(Instant::now() + bound);
    }

    /// Returns when the connection must be closed in its current state.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        let own = match state.stage {
            // Requests in progress have their own timeouts.
            Stage::Handshake { .. } | Stage::Request => None,
            Stage::Header { deadline } => Some(deadline),
            Stage::Idle => Some(state.idle_since + self.idle),
            Stage::Multiplexed if state.requests == 0 => Some(state.idle_since + self.idle),
            Stage::Multiplexed => Some(state.idle_since + self.idle + self.request),
        };
        let answer = state.answers.front().map(|&(_, deadline)| deadline);
        [own, answer, state.goodbye].into_iter().flatten().min()
    }

    /// Returns whether no part of a request or answer is held.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        matches!(state.stage, Stage::Idle | Stage::Multiplexed) && state.requests == 0 && state.answers.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress until it is dropped, with its charge until its answer takes it over.
#[derive(Debug)]
pub struct Underway {
    progress: Arc<Progress>,
    _visit: Option<Visit>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.progress.request_ended();
    }
}

/// Extension of a request: its connection, and its charge of [`REQUEST_BYTES`].
#[derive(Debug, Clone)]
pub struct Visit {
    progress: Arc<Progress>,
    charge: Arc<Mutex<Option<Charge>>>,
}

impl Visit {
    pub fn account(&self) -> &Arc<Account> {
        self.progress.account()
    }

    /// Lets the kernel receive more of large bodies at once, if there is memory for it. Streams of HTTP/2 have windows of their own.
    pub fn widen(&self) {
        let Progress { account, is_wide, .. } = &*self.progress;
        let is_http1 = self.progress.state().stage != Stage::Multiplexed;
        if is_http1 && !is_wide.load(Ordering::Relaxed) && account.widen(WIDE_CONNECTION_BYTES) {
            is_wide.store(true, Ordering::Relaxed);
        }
    }

    /// Returns an answer for sending. Its charge, `more` and the request's charge last until its last byte is written or dropped.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for it.
    pub fn answer(&self, bytes: Vec<u8>, mut more: Charge) -> Result<Bytes, Full> {
        let stalled = if bytes.len() > SEND_BUFFER_BYTES { STALLED_BYTES } else { 0 };
        more.resize(bytes.capacity() + stalled)?;
        more.set_phase(Phase::Partial);
        if let Some(charge) = self.charge.lock().unwrap_or_else(PoisonError::into_inner).take() {
            more.absorb(charge);
        }
        Ok(self.progress.answer(bytes, more))
    }
}

/// An answer's bytes, and what to release when they are dropped.
struct Outgoing {
    bytes: Vec<u8>,
    _charge: Charge,
    number: u64,
    progress: Arc<Progress>,
}

impl AsRef<[u8]> for Outgoing {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.progress.answer_left(self.number);
    }
}
