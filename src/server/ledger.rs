//! Who holds how much memory: each connection, and each address of clients.
//!
//! Shares count only when memory is full: until then one address may use all of it. When it is full, the address that
//! holds the most gives way first (max-min fairness), and of its connections the least useful one. A newcomer is never
//! turned away for the sake of a connection that holds more. An amount is given back when its bytes are gone, and not
//! before.

mod state;

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::state::{Clock, Entry, FOR_THE_SERVER, Fit, Held, MOMENT, Room, Signals, State, URGENT};
pub use self::state::{Phase, Purpose};
use super::metrics::{Metrics, Shed};
use super::turns::Standing;

/// What all clients of an endpoint may hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections, with all that an idle one holds.
    pub connection_bytes: usize,
    /// Headers, bodies, and answers until they are written.
    pub request_bytes: usize,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Merit {
    /// Nothing has come by it.
    Silent,
    /// Its TLS handshake has begun.
    Handshake,
    /// It has brought no request that was answered.
    Unproven,
    Proven,
}

impl Merit {
    const ALL: [Merit; 4] = [Merit::Silent, Merit::Handshake, Merit::Unproven, Merit::Proven];
}

/// Everything that an endpoint's connections hold.
#[derive(Debug)]
pub struct Ledger {
    bounds: Bounds,
    began: Instant,
    state: Mutex<State>,
    /// A connection has closed, or a large body was answered.
    freed: Notify,
    metrics: Arc<Metrics>,
}

/// Of one endpoint, as metrics report it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub connections: usize,
    pub connection_bytes: usize,
    pub request_bytes: usize,
}

/// The memory for requests is full, and this connection would hold the largest share of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A bound may be exceeded by one part in this many while connections that were told to close still hold theirs.
const SLACK: usize = 8;

impl Ledger {
    /// Nothing is held yet.
    pub fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Arc<Ledger> {
        Arc::new(Ledger { bounds, began: Instant::now(), state: Mutex::default(), freed: Notify::new(), metrics })
    }

    /// What is held now.
    pub fn usage(&self) -> Usage {
        let Held { connections, connection_bytes, request_bytes } = self.state().total;
        Usage { connections, connection_bytes, request_bytes }
    }

    /// What may be held.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Opens the account of a connection that was just accepted, which holds `bytes` from now on. Closes others to make
    /// room, and waits for them where they take time.
    pub async fn open(self: &Arc<Ledger>, address: IpAddr, bytes: usize) -> Arc<Account> {
        let address = address.to_canonical();
        let came = Instant::now();
        loop {
            let freed = self.freed.notified();
            if let Some(account) = self.try_open(address, bytes, came.elapsed() >= URGENT) {
                return account;
            }
            // Or others become idle.
            let _ = timeout(MOMENT / 4, freed).await;
        }
    }

    fn try_open(self: &Arc<Ledger>, address: IpAddr, bytes: usize, urgent: bool) -> Option<Arc<Account>> {
        let mut state = self.state();
        let shed = state.make_room_for_connection(address, bytes, self.bounds.connection_bytes, self.clock(), urgent);
        if !with_slack(state.total.connection_bytes, bytes, self.bounds.connection_bytes) {
            drop(state);
            self.close(shed, Shed::Connection);
            return None;
        }
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
        drop(state);
        self.close(shed, Shed::Connection);
        let ledger = Arc::clone(self);
        Some(Arc::new(Account { ledger, address, key, signals, standing: Standing::default() }))
    }

    fn clock(&self) -> Clock {
        Clock { began: self.began, now: Instant::now() }
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

/// What one connection holds. It is closed when the last charge of it is gone.
#[derive(Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    address: IpAddr,
    key: usize,
    signals: Arc<Signals>,
    standing: Standing,
}

impl Account {
    /// The client's address, an IPv4 address as such.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Distinguishes the accounts that are open at one time.
    pub fn key(&self) -> usize {
        self.key
    }

    /// Its place among those that take turns.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Takes `bytes` of the memory for requests.
    ///
    /// # Errors
    ///
    /// Where it is full, and no other connection holds more of it.
    pub fn charge(self: &Arc<Account>, bytes: usize) -> Result<Charge, Full> {
        let mut charge = Charge { account: Arc::clone(self), bytes: 0, phase: Phase::Partial };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Notes that a connection has come so far.
    pub fn promote(&self, merit: Merit) {
        let mut state = self.ledger.state();
        let entry = &mut state.entries[self.key];
        entry.merit = entry.merit.max(merit);
    }

    /// Notes that the connection has many requests at a time, and holds `more_bytes` for that.
    pub fn multiplex(&self, more_bytes: usize) {
        let mut state = self.ledger.state();
        let (bound, clock) = (self.ledger.bounds.connection_bytes, self.ledger.clock());
        let shed = state.make_room_for_connection(self.address, more_bytes, bound, clock, true);
        state.add(self.key, Held { connections: 0, connection_bytes: more_bytes, request_bytes: 0 });
        state.entries[self.key].is_multiplexed = true;
        drop(state);
        self.ledger.close(shed, Shed::Connection);
    }

    /// Notes that a request has begun.
    pub fn active(&self) {
        self.ledger.state().entries[self.key].active = Instant::now();
    }

    /// Notes that an answer has left.
    pub fn answered(&self) {
        let now = Instant::now();
        let mut state = self.ledger.state();
        let entry = &mut state.entries[self.key];
        entry.merit = Merit::Proven;
        entry.active = now;
        entry.holding_since = now;
    }

    /// Notes that it is for the server to go on, as it is at first.
    pub fn waits_for_server(&self) {
        self.signals.idle_since.store(FOR_THE_SERVER, Ordering::Relaxed);
    }

    /// Notes that it is for the client to go on.
    pub fn waits_for_client(&self) {
        let now = self.ledger.began.elapsed().as_micros() as u64;
        self.signals.idle_since.store(now, Ordering::Relaxed);
    }

    /// Whether the connection must end, to make room for others. Registers for being woken.
    pub fn must_close(&self, waker: &Waker) -> bool {
        // In this order, or a wake-up in between would be lost.
        self.signals.waker.register(waker);
        self.is_closing()
    }

    /// Has the connection end.
    pub fn close(&self) {
        let mut state = self.ledger.state();
        state.tell_to_close(self.key);
        drop(state);
        self.signals.waker.wake();
    }

    /// Has the connection end because memory is full.
    pub fn shed(&self) {
        self.close();
        self.ledger.metrics.shed(Shed::Connection);
    }

    /// Whether it was told to end.
    pub fn is_closing(&self) -> bool {
        self.signals.told.load(Ordering::Relaxed)
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

/// Bytes of a request or of its answer, given back on drop.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
    phase: Phase,
}

impl Charge {
    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    ///
    /// As [`Account::charge`]; nothing more is taken then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        match self.try_grow(bytes, Purpose::Request) {
            Fit::Now => Ok(()),
            Fit::Later | Fit::Never => Err(Full),
        }
    }

    /// Takes `bytes` more. Where there is room later it waits, as its [`Purpose`] says.
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

    /// Makes it `bytes`.
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

    /// Notes how far it has come.
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

    /// Takes another charge of the same connection over.
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

/// The least bound of the memory for requests with which one can hold so many bytes.
pub fn bound_for(request_bytes: usize) -> usize {
    request_bytes.div_ceil(SLACK - 1) * SLACK
}

fn with_slack(used: usize, more: usize, bound: usize) -> bool {
    used.saturating_add(more) <= bound + bound / SLACK
}

#[cfg(test)]
mod tests;
