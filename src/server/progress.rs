//! Where a connection stands, what it holds, and how long it may stay there.
//!
//! hyper's `header_read_timeout` begins when it waits for the *next* request, so it would close idle
//! connections as soon as slow ones. The API server keeps connections open for 90 s and does not
//! replay a POST that meets a closed one, so the two need bounds of their own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

use super::ledger::{Account, Charge, Full, Merit, Phase};
use super::limits::{HANDSHAKE_BYTES, HTTP2_CONNECTION_BYTES, Limits, REQUEST_BYTES, SEND_BUFFER_BYTES, STALLED_BYTES};

/// Shared by a connection's socket, its service, its answers and its watchdog.
#[derive(Debug)]
pub struct Progress {
    account: Arc<Account>,
    header: Duration,
    idle: Duration,
    write: Duration,
    /// The longest that one request can take.
    request: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When the last answer had left, or the connection began. Nothing else that a client does makes it less idle.
    idle_since: Instant,
    requests: usize,
    /// Answers that have not left yet, and until when they must; the oldest first.
    answers: VecDeque<(u64, Instant)>,
    answers_before: u64,
    /// Of the HTTP/1.1 request whose header is being read.
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
    /// HTTP/2: many requests at a time. So only whole requests count, not bytes: who brings none in the time for which
    /// a connection may be idle is slow or idle, which is the same here.
    Multiplexed,
}

impl Progress {
    /// A connection that has just been made. It is idle, not slow: Go's client opens connections
    /// that it then does not need at once.
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
        Progress { account, header, idle, write, request: body + write, state: Mutex::new(state) }
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The TLS handshake is complete.
    pub fn established(&self) {
        self.account.promote(Merit::Unproven);
    }

    /// HTTP/1.1 is spoken from now on.
    pub fn http1(&self) {
        self.state().stage = Stage::Idle;
    }

    /// HTTP/2 is spoken from now on.
    pub fn http2(&self) {
        self.account.multiplex(HTTP2_CONNECTION_BYTES);
        self.state().stage = Stage::Multiplexed;
    }

    /// Bytes came in. On an idle connection they begin a request.
    ///
    /// # Errors
    ///
    /// Where the connection can't go on: its handshake has too many bytes, or there is no memory for a request.
    pub fn bytes_arrived(&self, count: usize) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.stage {
            Stage::Handshake { bytes } => {
                // The client's last message may come with the beginning of its first request.
                if *bytes > HANDSHAKE_BYTES {
                    return Err(io::Error::other("the handshake has too many bytes"));
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

    /// A request's header is complete. What it holds is charged from its first byte in HTTP/1.1, from here in HTTP/2.
    ///
    /// # Errors
    ///
    /// Where there is no memory for it. It is under way all the same, until it is answered.
    pub fn request_started(self: &Arc<Progress>) -> (Underway, Result<Visit, Full>) {
        let charge = {
            let mut state = self.state();
            state.requests += 1;
            if state.stage != Stage::Multiplexed {
                state.stage = Stage::Request;
            }
            state.charge.take()
        };
        self.account.active();
        let charge = charge.map_or_else(|| self.account.charge(REQUEST_BYTES), Ok);
        let visit =
            charge.map(|charge| Visit { progress: Arc::clone(self), charge: Arc::new(Mutex::new(Some(charge))) });
        let underway = Underway { progress: Arc::clone(self), _visit: visit.as_ref().ok().cloned() };
        (underway, visit)
    }

    fn request_ended(&self) {
        let mut state = self.state();
        state.requests = state.requests.saturating_sub(1);
        if state.stage == Stage::Request && state.answers.is_empty() {
            // An error of one line: a client that does not read it counts as idle.
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

    /// The end of what the connection may take for its goodbye.
    pub fn goodbye_within(&self, bound: Duration) {
        self.state().goodbye = Some(Instant::now() + bound);
    }

    /// When the connection is to be closed, as things stand.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        let own = match state.stage {
            // They have bounds of their own.
            Stage::Handshake { .. } | Stage::Request => None,
            Stage::Header { deadline } => Some(deadline),
            Stage::Idle => Some(state.idle_since + self.idle),
            Stage::Multiplexed if state.requests == 0 => Some(state.idle_since + self.idle),
            Stage::Multiplexed => Some(state.idle_since + self.idle + self.request),
        };
        let answer = state.answers.front().map(|&(_, deadline)| deadline);
        [own, answer, state.goodbye].into_iter().flatten().min()
    }

    /// Whether nothing of a request or of an answer is there.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        matches!(state.stage, Stage::Idle | Stage::Multiplexed) && state.requests == 0 && state.answers.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered, until it is dropped; and what it is charged with, unless its answer has that.
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

/// What a request brings along as an extension: its connection, and [`REQUEST_BYTES`] that it is charged with.
#[derive(Debug, Clone)]
pub struct Visit {
    progress: Arc<Progress>,
    charge: Arc<Mutex<Option<Charge>>>,
}

impl Visit {
    pub fn account(&self) -> &Arc<Account> {
        self.progress.account()
    }

    /// An answer as it is sent: it is charged, with `more` and the request's own charge, until its last byte is written
    /// or dropped.
    ///
    /// # Errors
    ///
    /// Where there is no memory for it.
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

/// An answer's bytes, with what must happen when they are gone.
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
