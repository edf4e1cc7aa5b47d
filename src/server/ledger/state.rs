//! What is held, and who gives way when it is too much.

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
    /// What of `total` belongs to connections that were told to close.
    pub(super) leaving: Held,
    /// How many charges have all that their bodies need.
    pub(super) whole: usize,
    /// How many charges are those of bodies that are being answered.
    pub(super) at_work: usize,
}

/// What memory for requests is claimed for. It says how much of it must stay free, and for what the claim can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What comes in small parts: headers, small bodies, answers. It does not wait.
    Request,
    /// A large body. It waits for those that need no more, except in HTTP/2, and leaves room for their answers.
    Body,
    /// To answer a large body. It waits for those that are being answered.
    Work,
}

impl Purpose {
    /// What must stay free of `bound`, where the claimant would hold so many bytes.
    fn left_free(self, bound: usize, bytes: usize) -> usize {
        match self {
            // Others may hold theirs for some time after they were told to close.
            Purpose::Request if bytes <= LITTLE_BYTES => 0,
            Purpose::Request | Purpose::Work => bound / SLACK,
            Purpose::Body => 3 * (bound / SLACK),
        }
    }
}

/// Amounts by their kind.
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
    /// When it last brought or got something useful; at first, when it was accepted.
    pub(super) active: Instant,
    /// Since when it has held bytes of requests without one of its answers leaving.
    pub(super) holding_since: Instant,
    /// Its requests share a window, so one whose body is not read on would stop the others.
    pub(super) is_multiplexed: bool,
    /// How many of its requests are being answered on other threads. To close it would free nothing yet.
    pub(super) at_work: usize,
    pub(super) signals: Arc<Signals>,
}

/// What the ledger and a connection's task tell each other.
#[derive(Debug)]
pub(super) struct Signals {
    /// The task must end.
    pub(super) told: AtomicBool,
    pub(super) waker: AtomicWaker,
    /// Since when it has been for the client to go on, in microseconds of the ledger; or [`FOR_THE_SERVER`].
    pub(super) idle_since: AtomicU64,
}

/// The connection was accepted, or something came by it, and its task had no turn since.
pub(super) const FOR_THE_SERVER: u64 = u64::MAX;

impl Default for Signals {
    fn default() -> Self {
        Self { told: AtomicBool::new(false), waker: AtomicWaker::new(), idle_since: AtomicU64::new(FOR_THE_SERVER) }
    }
}

/// What a connection with some ordinary requests holds at most.
const LITTLE_BYTES: usize = 1024 * 1024;

/// Room is made for more than what is asked, so that a flood does not search all connections for each of its own.
const BATCH: usize = 32;

/// The most connections that are closed at one time to make room.
const BATCH_CONNECTIONS: usize = 64;

/// A client that has just been given something answers within this time, unless it is far away or slow.
pub(super) const MOMENT: Duration = Duration::from_millis(20);

/// A newcomer waits no longer for others to become idle.
pub(super) const URGENT: Duration = Duration::from_millis(100);

/// A connection that brings no request for so long is less useful than one that is on its way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection gives way to another. Within a class, the one whose client has been idle the longest is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Has brought nothing useful for longer than [`PATIENCE`].
    Stale(Merit),
    /// Has come as far as most others. So a flood of one kind is at its own expense, whichever kind it is, and those that
    /// were proven by one request do not stay for ever at the expense of newcomers.
    OfTheMost,
}

impl Entry {
    fn is_stale(&self, clock: Clock) -> bool {
        self.merit != Merit::Proven && clock.now.duration_since(self.active) >= PATIENCE && self.has_been_idle(clock)
    }

    fn has_been_idle(&self, clock: Clock) -> bool {
        self.signals.idle_since.load(Ordering::Relaxed) <= clock.before(MOMENT)
    }
}

/// Those that can give way. Where it is not urgent, those are not among them that wait for the server, or whose clients were
/// not idle for a [`MOMENT`]: there may be none then, such as after a burst of new ones.
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

/// The time of a ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) began: Instant,
    pub(super) now: Instant,
}

impl Clock {
    fn before(self, time: Duration) -> u64 {
        self.now.duration_since(self.began).saturating_sub(time).as_micros() as u64
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
        if entry.signals.told.load(Ordering::Relaxed) {
            self.leaving.add(held);
        } else {
            self.addresses.entry(entry.address).or_default().add(held);
        }
    }

    pub(super) fn subtract(&mut self, key: usize, held: Held) {
        let entry = &mut self.entries[key];
        entry.held.subtract(held);
        self.total.subtract(held);
        if entry.signals.told.load(Ordering::Relaxed) {
            self.leaving.subtract(held);
        } else if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.subtract(held);
        }
        self.forget_if_empty(self.entries[key].address);
    }

    /// What leaves counts no more for its address, so that one that is being freed is not taken for the heaviest.
    pub(super) fn tell_to_close(&mut self, key: usize) -> Option<Arc<Signals>> {
        let entry = self.entries.get(key)?;
        if entry.signals.told.swap(true, Ordering::Relaxed) {
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

    /// The connections to close for a newcomer: of the address that has the most, itself included.
    pub(super) fn make_room_for_connection(
        &mut self,
        address: IpAddr,
        bytes: usize,
        bound: usize,
        clock: Clock,
        urgent: bool,
    ) -> Vec<Arc<Signals>> {
        let mut shed = Vec::new();
        while self.total.connection_bytes - self.leaving.connection_bytes + bytes > bound {
            let of_address: Vec<_> =
                self.of_the_heaviest(address, bytes, |held| held.connection_bytes, |_, _| true).collect();
            let mut candidates = classify(&of_address, clock, urgent);
            if candidates.is_empty() {
                break;
            }
            let count = (candidates.len() / BATCH).clamp(1, BATCH_CONNECTIONS);
            candidates.select_nth_unstable(count - 1);
            shed.extend(candidates[..count].iter().filter_map(|&(.., key)| self.tell_to_close(key)));
        }
        shed
    }

    /// Room for a request: closes connections of the address that holds the most, first the one that has held the most
    /// for the longest time. There is none where that is the claimant. A claim that can wait closes none of its own address.
    pub(super) fn make_room_for_request(&mut self, key: usize, bytes: usize, bound: usize, purpose: Purpose) -> Room {
        let mut shed = Vec::new();
        let claimant = &self.entries[key];
        if claimant.signals.told.load(Ordering::Relaxed) {
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
        // Where there is none, for some more than is asked.
        let mut wanted = bound;
        while self.request_bytes_that_stay() + bytes > wanted {
            wanted = bound - bound / BATCH;
            let weight = |other: usize, entry: &Entry| {
                let bytes = entry.held.request_bytes + if other == key { bytes } else { 0 };
                // At first, one that was useful before may be waiting for the server.
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

    /// The connections that can be closed, of the address that has the most if the claimant's has `more`; of two with as
    /// much, the claimant's. None where that is the claimant's and has no such connection.
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
            .filter(|&(key, entry)| can_be_closed(key, entry) && !entry.signals.told.load(Ordering::Relaxed))
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

/// What was done to make room, and whether there is.
pub(super) struct Room {
    pub(super) shed: Vec<Arc<Signals>>,
    pub(super) fit: Fit,
}

/// How far a charge is from being given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// More may be needed, or a client must read something first.
    Partial,
    /// No more is needed for the body.
    Whole,
    /// The body is being answered, on another thread.
    AtWork,
}

/// Whether there is room for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Now,
    /// When what is under way has ended.
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
