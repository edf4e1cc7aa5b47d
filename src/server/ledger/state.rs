//! The held memory, and which connections are closed when it is full.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use slab::Slab;
use tokio::time::Instant;

use super::{Merit, SLACK, with_slack};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) entries: Slab<Entry>,
    pub(super) addresses: HashMap<IpAddr, Held>,
    pub(super) total: Held,
    /// The part of `total` that belongs to connections that must close.
    pub(super) leaving: Held,
    /// Number of charges that need no more for their bodies.
    pub(super) whole: usize,
    /// Number of charges whose bodies are being answered.
    pub(super) at_work: usize,
    /// When a timer last fired. Bytes that had arrived before were delivered. Under load, the runtime delivers them late, and a
    /// connection whose bytes were not delivered only seems idle.
    pub(super) delivered: Option<Instant>,
}

/// The purpose of a claim on memory for requests. It decides how much must stay free, and for what the claim waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Headers, small bodies and answers. It does not wait.
    Request,
    /// A large body. Except in HTTP/2, it waits for bodies that need no more, and leaves room for their answers.
    Body,
    /// Work on a large body. It waits for bodies that are being answered.
    Work,
}

impl Purpose {
    /// Returns the bytes of `bound` that must stay free if the claimant would hold so many bytes.
    fn left_free(self, bound: usize, bytes: usize) -> usize {
        match self {
            // Connections that must close may hold their memory for some time.
            Purpose::Request if bytes <= LITTLE_BYTES => 0,
            Purpose::Request | Purpose::Work => bound / SLACK,
            Purpose::Body => 3 * (bound / SLACK),
        }
    }
}

/// Amounts by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) connections: usize,
    pub(super) connection_bytes: usize,
    pub(super) request_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) address: IpAddr,
    pub(super) held: Held,
    pub(super) merit: Merit,
    /// When it last had a request or an answer. Initially, when it was accepted.
    pub(super) active: Instant,
    /// Since when it has held bytes of requests without an answer being sent.
    pub(super) holding_since: Instant,
    /// Its requests share a window: a body that is not read would block the others.
    pub(super) is_multiplexed: bool,
    /// Number of its requests that other threads are answering. Closing it releases nothing yet.
    pub(super) at_work: usize,
    pub(super) signals: Arc<Signals>,
}

/// State that the ledger and a connection's task share.
#[derive(Debug)]
pub(super) struct Signals {
    /// The task must end.
    pub(super) must_close: AtomicBool,
    pub(super) waker: AtomicWaker,
    /// Since when it waits for the client, in microseconds of the ledger, or [`FOR_THE_SERVER`].
    pub(super) idle_since: AtomicU64,
}

/// The connection was accepted or received bytes, and its task had no turn since.
pub(super) const FOR_THE_SERVER: u64 = u64::MAX;

impl Default for Signals {
    fn default() -> Self {
        Self {
            must_close: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            idle_since: AtomicU64::new(FOR_THE_SERVER),
        }
    }
}

/// Most bytes that a connection with some ordinary requests holds.
const LITTLE_BYTES: usize = 1024 * 1024;

/// Room is made for more than requested, so that a flood does not search all connections for each new one.
const BATCH: usize = 32;

/// Most connections that are closed at one time to make room.
const BATCH_CONNECTIONS: usize = 64;

/// Time in which a client responds, unless it is far away or slow.
pub(super) const MOMENT: Duration = Duration::from_millis(20);

/// Time between two searches for idle connections.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Longest time that a new connection waits for others to become idle.
pub(super) const URGENT: Duration = Duration::from_millis(100);

/// A connection without a request for so long is less useful than one that makes progress.
const PATIENCE: Duration = Duration::from_secs(1);

/// Classes of connections, in the order in which they are closed. Within a class, the longest idle one is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Without a request for longer than [`PATIENCE`].
    Stale(Merit),
    /// In the same phase as most others. A flood of one kind then displaces itself, and connections with one answered request do
    /// not displace new ones for ever.
    OfTheMost,
}

impl Entry {
    fn is_stale(&self, clock: Clock) -> bool {
        self.merit != Merit::Proven
            && clock.delivered.duration_since(self.active) >= PATIENCE
            && self.has_been_idle(clock)
    }

    fn has_been_idle(&self, clock: Clock) -> bool {
        self.signals.idle_since.load(Ordering::Relaxed) <= clock.before(MOMENT)
    }
}

/// Connections that can be closed. If it is not urgent, without those that wait for the server or whose clients were not idle
/// for a [`MOMENT`]. Then there may be none, such as after a burst of new connections.
fn classify(entries: &[(usize, &Entry)], clock: Clock, urgent: bool) -> Vec<(Class, u64, usize)> {
    let (stale, others): (Vec<_>, Vec<_>) = entries.iter().copied().partition(|(_, entry)| entry.is_stale(clock));
    let mut counts = [0; Merit::ALL.len()];
    others.iter().for_each(|(_, entry)| counts[entry.merit as usize] += 1);
    let most = Merit::ALL.into_iter().max_by_key(|&merit| counts[merit as usize]);
    let of_the_most = others.into_iter().filter(|(_, entry)| Some(entry.merit) == most);
    let stale = stale.into_iter().map(|candidate| (Class::Stale(candidate.1.merit), candidate));
    stale
        .chain(of_the_most.map(|candidate| (Class::OfTheMost, candidate)))
        .filter(|(_, (_, entry))| urgent || entry.has_been_idle(clock))
        .map(|(class, (key, entry))| (class, entry.signals.idle_since.load(Ordering::Relaxed), key))
        .collect()
}

/// The clock of a ledger, which stands still between two deliveries of bytes.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    delivered: Instant,
}

impl Clock {
    fn before(self, time: Duration) -> u64 {
        self.delivered.duration_since(self.began).saturating_sub(time).as_micros() as u64
    }
}

impl State {
    pub(super) fn change_phase(&mut self, key: usize, from: Phase, to: Phase) {
        match from {
            Phase::Partial => {}
            Phase::Whole => self.whole -= 1,
            Phase::AtWork => {
                self.at_work -= 1;
                self.entries[key].at_work -= 1;
            }
        }
        match to {
            Phase::Partial => {}
            Phase::Whole => self.whole += 1,
            Phase::AtWork => {
                self.at_work += 1;
                self.entries[key].at_work += 1;
            }
        }
    }

    pub(super) fn add(&mut self, key: usize, held: Held) {
        let entry = &mut self.entries[key];
        if entry.held.request_bytes == 0 && held.request_bytes > 0 {
            entry.holding_since = Instant::now();
        }
        entry.held.add(held);
        self.total.add(held);
        if entry.signals.must_close.load(Ordering::Relaxed) {
            self.leaving.add(held);
        } else {
            self.addresses.entry(entry.address).or_default().add(held);
        }
    }

    pub(super) fn subtract(&mut self, key: usize, held: Held) {
        let entry = &mut self.entries[key];
        entry.held.subtract(held);
        self.total.subtract(held);
        if entry.signals.must_close.load(Ordering::Relaxed) {
            self.leaving.subtract(held);
        } else if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.subtract(held);
        }
        self.forget_if_empty(self.entries[key].address);
    }

    /// Closing connections no longer count for their address. Otherwise an address could be chosen for memory that is being
    /// released.
    pub(super) fn tell_to_close(&mut self, key: usize) -> Option<Arc<Signals>> {
        let entry = self.entries.get(key)?;
        if entry.signals.must_close.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.leaving.add(entry.held);
        if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.subtract(entry.held);
        }
        let (address, signals) = (entry.address, Arc::clone(&entry.signals));
        self.forget_if_empty(address);
        Some(signals)
    }

    fn forget_if_empty(&mut self, address: IpAddr) {
        if self.addresses.get(&address) == Some(&Held::default()) {
            self.addresses.remove(&address);
        }
    }

    /// Returns the connections to close for a new one, of the address with the most. That may be the new one's. There is room once
    /// they have closed, unless none can be closed yet.
    pub(super) fn make_room_for_connection(
        &mut self,
        address: IpAddr,
        bytes: usize,
        bound: usize,
        began: Instant,
        urgent: bool,
    ) -> (Vec<Arc<Signals>>, bool) {
        let clock = Clock { began, delivered: self.delivered.unwrap_or(began) };
        let mut shed = Vec::new();
        while self.total.connection_bytes - self.leaving.connection_bytes + bytes > bound {
            let of_address: Vec<_> =
                self.of_the_heaviest(address, bytes, |held| held.connection_bytes, |_, _| true).collect();
            let mut candidates = classify(&of_address, clock, urgent);
            if candidates.is_empty() {
                return (shed, false);
            }
            let count = (candidates.len() / BATCH).clamp(1, BATCH_CONNECTIONS);
            candidates.select_nth_unstable(count - 1);
            shed.extend(candidates[..count].iter().filter_map(|&(.., key)| self.tell_to_close(key)));
        }
        (shed, true)
    }

    /// Makes room for a request: closes connections of the address that holds the most. Those that have held the most for the
    /// longest time are first. Fails if that is the claimant. A claim that can wait closes no connections of its own address.
    pub(super) fn make_room_for_request(&mut self, key: usize, bytes: usize, bound: usize, purpose: Purpose) -> Room {
        let mut shed = Vec::new();
        let claimant = &self.entries[key];
        if claimant.signals.must_close.load(Ordering::Relaxed) {
            return Room { shed, fit: Fit::Never };
        }
        let bound = bound - purpose.left_free(bound, claimant.held.request_bytes + bytes);
        let can_wait = match purpose {
            Purpose::Request => false,
            Purpose::Body => self.whole + self.at_work > 0 && !claimant.is_multiplexed,
            Purpose::Work => self.at_work > 0,
        };
        let address = claimant.address;
        let now = Instant::now();
        // If there is no room, makes more than requested.
        let mut wanted = bound;
        while self.request_bytes_that_stay() + bytes > wanted {
            wanted = bound - bound / BATCH;
            let weight = |other: usize, entry: &Entry| {
                let bytes = entry.held.request_bytes + if other == key { bytes } else { 0 };
                // First, spares useful connections that may wait for the server.
                let patience = if entry.merit == Merit::Proven { PATIENCE } else { Duration::ZERO };
                let held_for = now.duration_since(entry.holding_since).saturating_sub(patience);
                bytes as u128 * (held_for.as_micros() + 1000)
            };
            let worst = self
                .of_the_heaviest(
                    address,
                    bytes,
                    |held| held.request_bytes,
                    |other, entry| other == key || (entry.held.request_bytes > 0 && entry.at_work == 0),
                )
                .max_by_key(|(other, entry)| weight(*other, entry))
                .filter(|(worst, entry)| *worst != key && !(can_wait && entry.address == address))
                .map(|(worst, _)| worst);
            match worst {
                Some(worst) => shed.extend(self.tell_to_close(worst)),
                None => break,
            }
        }
        let has_room = self.request_bytes_that_stay() + bytes <= bound;
        let fit = if has_room && with_slack(self.total.request_bytes, bytes, bound) {
            Fit::Now
        } else if can_wait || has_room && purpose != Purpose::Request {
            Fit::Later
        } else {
            Fit::Never
        };
        Room { shed, fit }
    }

    /// Returns the connections that can be closed, of the address with the most if the claimant's has `more`. Of two with the same
    /// amount, the claimant's. `None` if that is the claimant's and has no such connection.
    fn of_the_heaviest(
        &self,
        claimant: IpAddr,
        more: usize,
        amount: impl Fn(&Held) -> usize,
        can_be_closed: impl Fn(usize, &Entry) -> bool,
    ) -> impl Iterator<Item = (usize, &Entry)> {
        let candidates: Vec<(usize, &Entry)> = self
            .entries
            .iter()
            .filter(|&(key, entry)| can_be_closed(key, entry) && !entry.signals.must_close.load(Ordering::Relaxed))
            .collect();
        let weight = |address: IpAddr| {
            let is_claimant = address == claimant;
            let held = self.addresses.get(&address).map_or(0, &amount);
            (held + if is_claimant { more } else { 0 }, is_claimant)
        };
        let addresses: HashSet<IpAddr> = candidates.iter().map(|(_, entry)| entry.address).chain([claimant]).collect();
        let heaviest = addresses.into_iter().max_by_key(|&address| weight(address));
        candidates.into_iter().filter(move |(_, entry)| Some(entry.address) == heaviest)
    }

    fn request_bytes_that_stay(&self) -> usize {
        self.total.request_bytes - self.leaving.request_bytes
    }
}

/// The result of making room.
pub(super) struct Room {
    pub(super) shed: Vec<Arc<Signals>>,
    pub(super) fit: Fit,
}

/// How far a charge is from its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// More may be needed, or the client must read first.
    Partial,
    /// The body needs no more.
    Whole,
    /// Another thread is answering the body.
    AtWork,
}

/// Whether there is room for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Now,
    /// After bodies in progress have ended.
    Later,
    Never,
}

impl Held {
    fn add(&mut self, other: Held) {
        self.connections += other.connections;
        self.connection_bytes += other.connection_bytes;
        self.request_bytes += other.request_bytes;
    }

    fn subtract(&mut self, other: Held) {
        self.connections -= other.connections;
        self.connection_bytes -= other.connection_bytes;
        self.request_bytes -= other.request_bytes;
    }
}
