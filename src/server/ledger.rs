//! Accounts for the memory that each connection and each client address holds.
//!
//! Shares count only when memory is full: until then, one address may use all of it. Then connections of the address that
//! holds the most are closed first (max-min fairness), the least useful one first. A new connection is never rejected in
//! favour of one that holds more. An amount is released when its bytes are freed, not before.

mod state;

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::state::{Entry, FOR_THE_SERVER, Fit, Held, Room, Signals, State, TICK, URGENT};
pub use self::state::{Phase, Purpose};
pub use super::bounds::{Bounds, Usage};
use super::metrics::{Metrics, Shed};
use super::standing::Standing;

/// The progress of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Merit {
    /// No bytes were received.
    Silent,
    /// The TLS handshake has started.
    Handshake,
    /// No request was answered yet.
    Unproven,
    Proven,
}

impl Merit {
    const ALL: [Merit; 4] = [Merit::Silent, Merit::Handshake, Merit::Unproven, Merit::Proven];
}

/// The accounts of all connections of an endpoint.
#[derive(Debug)]
pub struct Ledger {
    bounds: Bounds,
    began: Instant,
    state: Mutex<State>,
    /// Notified when a connection has closed or a large body was answered.
    freed: Notify,
    metrics: Arc<Metrics>,
}

/// Error: the memory for requests is full, and this connection would hold the largest share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Connections that must close may exceed a limit by one part in this many, until they release their memory.
const SLACK: usize = 8;

impl Ledger {
    /// Creates an empty ledger.
    pub fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Arc<Ledger> {
        Arc::new(Ledger { bounds, began: Instant::now(), state: Mutex::default(), freed: Notify::new(), metrics })
    }

    /// Returns the current use.
    pub fn usage(&self) -> Usage {
        let Held { connections, connection_bytes, request_bytes } = self.state().total;
        Usage { connections, connection_bytes, request_bytes }
    }

    /// Returns the limits.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Opens the account of an accepted connection, charged with `bytes`. If memory is full, closes other connections and waits
    /// until they have released theirs.
    pub async fn open(self: &Arc<Ledger>, address: IpAddr, bytes: usize) -> Arc<Account> {
        let address = address.to_canonical();
        self.when_there_is_room(address, bytes, |state| self.enter(state, address, bytes)).await
    }

    /// Calls `enter` when there is room for `bytes` of connections. If memory is full, closes other connections until there is.
    async fn when_there_is_room<T>(&self, address: IpAddr, bytes: usize, enter: impl Fn(&mut State) -> T) -> T {
        let bound = self.bounds.connection_bytes;
        let came = Instant::now();
        loop {
            {
                let mut state = self.state();
                let urgent = came.elapsed() >= URGENT;
                let (shed, fits) = state.make_room_for_connection(address, bytes, bound, self.began, urgent);
                let has_room = (fits || urgent) && with_slack(state.total.connection_bytes, bytes, bound);
                let entered = has_room.then(|| enter(&mut state));
                drop(state);
                self.close(shed, Shed::Connection);
                if let Some(entered) = entered {
                    return entered;
                }
            }
            sleep(TICK).await;
            self.state().delivered = Some(Instant::now());
        }
    }

    fn enter(self: &Arc<Ledger>, state: &mut State, address: IpAddr, bytes: usize) -> Arc<Account> {
        let now = Instant::now();
        let signals = Arc::new(Signals::default());
        let key = state.entries.insert(Entry {
            address,
            held: Held::default(),
            merit: Merit::Silent,
            active: now,
            holding_since: now,
            is_multiplexed: false,
            at_work: 0,
            signals: Arc::clone(&signals),
        });
        state.add(key, Held { connections: 1, connection_bytes: bytes, request_bytes: 0 });
        let ledger = Arc::clone(self);
        Arc::new(Account { ledger, address, key, signals, standing: Standing::default() })
    }

    fn close(&self, shed: Vec<Arc<Signals>>, kind: Shed) {
        for signals in shed {
            self.metrics.shed(kind);
            signals.waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of one connection. It is closed when its last charge is dropped.
#[derive(Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    address: IpAddr,
    key: usize,
    signals: Arc<Signals>,
    standing: Standing,
}

impl Account {
    /// The client's address. IPv4-mapped addresses are converted to IPv4.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Unique among open accounts.
    pub fn key(&self) -> usize {
        self.key
    }

    /// Its state in the scheduling of turns.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Charges `bytes` of the memory for requests.
    ///
    /// # Errors
    ///
    /// Fails if the memory is full and no other connection holds more.
    pub fn charge(self: &Arc<Account>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = Charge { account: Arc::clone(self), bytes: 0, phase: Phase::Partial };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Records the progress of the connection.
    pub fn promote(&self, merit: Merit) {
        let mut state = self.ledger.state();
        let entry = &mut state.entries[self.key];
        entry.merit = entry.merit.max(merit);
    }

    /// Records that the connection has concurrent requests, and charges `more_bytes` for that. Waits as [`Ledger::open`].
    pub async fn multiplex(&self, more_bytes: usize) {
        let enter = |state: &mut State| {
            state.add(self.key, Held { connections: 0, connection_bytes: more_bytes, request_bytes: 0 });
            state.entries[self.key].is_multiplexed = true;
        };
        self.ledger.when_there_is_room(self.address, more_bytes, enter).await;
    }

    /// Charges `more_bytes` for a connection that would be faster with them. Returns false if that would leave less than half of the
    /// memory for connections.
    pub fn widen(&self, more_bytes: usize) -> bool {
        let mut state = self.ledger.state();
        let has_room = state.total.connection_bytes + more_bytes <= self.ledger.bounds.connection_bytes / 2;
        if has_room {
            state.add(self.key, Held { connections: 0, connection_bytes: more_bytes, request_bytes: 0 });
        }
        has_room
    }

    /// Records that a request has started.
    pub fn active(&self) {
        self.ledger.state().entries[self.key].active = Instant::now();
    }

    /// Records that an answer was sent.
    pub fn answered(&self) {
        let now = Instant::now();
        let mut state = self.ledger.state();
        let entry = &mut state.entries[self.key];
        entry.merit = Merit::Proven;
        entry.active = now;
        entry.holding_since = now;
    }

    /// Records that the connection waits for the server. This is the initial state.
    pub fn waits_for_server(&self) {
        self.signals.idle_since.store(FOR_THE_SERVER, Ordering::Relaxed);
    }

    /// Records that the connection waits for the client.
    pub fn waits_for_client(&self) {
        let now = self.ledger.began.elapsed().as_micros() as u64;
        self.signals.idle_since.store(now, Ordering::Relaxed);
    }

    /// Returns whether the connection must close, and registers the waker for that.
    pub fn must_close(&self, waker: &Waker) -> bool {
        // Registers first: otherwise a wake-up in between would be lost.
        self.signals.waker.register(waker);
        self.is_closing()
    }

    /// Makes the connection close.
    pub fn close(&self) {
        let mut state = self.ledger.state();
        state.tell_to_close(self.key);
        drop(state);
        self.signals.waker.wake();
    }

    /// Makes the connection close because memory is full.
    pub fn shed(&self) {
        self.close();
        self.ledger.metrics.shed(Shed::Connection);
    }

    /// Returns whether the connection must close.
    pub fn is_closing(&self) -> bool {
        self.signals.must_close.load(Ordering::Relaxed)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        let held = state.entries[self.key].held;
        state.subtract(self.key, held);
        state.entries.remove(self.key);
        drop(state);
        self.ledger.freed.notify_waiters();
    }
}

/// A charge for bytes of a request or its answer. They are released on drop.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
    phase: Phase,
}

impl Charge {
    /// Returns the charged bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges `bytes` more.
    ///
    /// # Errors
    ///
    /// As [`Account::charge`]. On error, no more is charged.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        match self.try_grow(bytes, Purpose::Request) {
            Fit::Now => Ok(()),
            Fit::Later | Fit::Never => Err(Full),
        }
    }

    /// Charges `bytes` more. If memory is full and its [`Purpose`] allows, waits for room.
    ///
    /// # Errors
    ///
    /// As [`Charge::grow`].
    pub async fn grow_in_turn(&mut self, bytes: usize, purpose: Purpose) -> Result<(), Full> {
        let ledger = Arc::clone(&self.account.ledger);
        loop {
            let freed = ledger.freed.notified();
            match self.try_grow(bytes, purpose) {
                Fit::Now => return Ok(()),
                Fit::Later => freed.await,
                Fit::Never => return Err(Full),
            }
        }
    }

    fn try_grow(&mut self, bytes: usize, purpose: Purpose) -> Fit {
        if bytes == 0 {
            return Fit::Now;
        }
        let Account { ledger, key, .. } = &*self.account;
        let mut state = ledger.state();
        let bound = ledger.bounds.request_bytes;
        let Room { shed, fit } = state.make_room_for_request(*key, bytes, bound, purpose);
        if fit == Fit::Now {
            state.add(*key, Held { connections: 0, connection_bytes: 0, request_bytes: bytes });
            self.bytes += bytes;
        }
        drop(state);
        ledger.close(shed, Shed::Connection);
        fit
    }

    /// Sets the charge to `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Charge::grow`].
    pub fn resize(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.give_back(self.bytes - bytes);
        Ok(())
    }

    /// Records the phase of the charge.
    pub fn set_phase(&mut self, phase: Phase) {
        let Account { ledger, key, .. } = &*self.account;
        let before = std::mem::replace(&mut self.phase, phase);
        if before == phase {
            return;
        }
        ledger.state().change_phase(*key, before, phase);
        if phase == Phase::Partial {
            ledger.freed.notify_waiters();
        }
    }

    /// Merges another charge of the same connection.
    pub fn absorb(&mut self, mut other: Charge) {
        debug_assert!(Arc::ptr_eq(&self.account, &other.account));
        self.bytes += std::mem::take(&mut other.bytes);
    }

    fn give_back(&mut self, bytes: usize) {
        let Account { ledger, key, .. } = &*self.account;
        ledger.state().subtract(*key, Held { connections: 0, connection_bytes: 0, request_bytes: bytes });
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes);
        self.set_phase(Phase::Partial);
    }
}

/// Returns the smallest limit of the memory for requests that allows a request of so many bytes.
pub fn bound_for(request_bytes: usize) -> usize {
    request_bytes.div_ceil(SLACK - 1) * SLACK
}

fn with_slack(used: usize, more: usize, bound: usize) -> bool {
    used.saturating_add(more) <= bound + bound / SLACK
}

#[cfg(test)]
mod tests;
