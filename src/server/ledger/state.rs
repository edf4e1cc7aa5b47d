//! What is held, and who gives way when it is too much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub(super) closing: Arc<Closing>,
}

/// Tells a connection's task that it must end.
#[derive(Debug, Default)]
pub(super) struct Closing {
    pub(super) told: AtomicBool,
    pub(super) waker: AtomicWaker,
}

/// What a connection with some ordinary requests holds at most.
const LITTLE_BYTES: usize = 1024 * 1024;

/// Room is made for more than what is asked, so that a flood does not search all connections for each of its own.
const BATCH: usize = 32;

/// The most connections that are closed at one time to make room.
const BATCH_CONNECTIONS: usize = 64;

/// A handshake takes some round trips. One that is younger is not less useful than an idle connection.
const HANDSHAKE: Duration = Duration::from_secs(1);

impl Entry {
    fn merit_at(&self, now: Instant) -> Merit {
        match self.merit {
            Merit::Handshake if now.duration_since(self.active) < HANDSHAKE => Merit::Unproven,
            merit => merit,
        }
    }
}

impl State {
    pub(super) fn add(&mut self, key: usize, held: Held) {
        let entry = &mut self.entries[key];
        if entry.held.request_bytes == 0 && held.request_bytes > 0 {
            entry.holding_since = Instant::now();
        }
        entry.held.add(held);
        self.total.add(held);
        if entry.closing.told.load(Ordering::Relaxed) {
            self.leaving.add(held);
        } else {
            self.addresses.entry(entry.address).or_default().add(held);
        }
    }

    pub(super) fn subtract(&mut self, key: usize, held: Held) {
        let entry = &mut self.entries[key];
        entry.held.subtract(held);
        self.total.subtract(held);
        if entry.closing.told.load(Ordering::Relaxed) {
            self.leaving.subtract(held);
        } else if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.subtract(held);
        }
        self.forget_if_empty(self.entries[key].address);
    }

    /// What leaves counts no more for its address, so that one that is being freed is not taken for the heaviest.
    pub(super) fn tell_to_close(&mut self, key: usize) -> Option<Arc<Closing>> {
        let entry = self.entries.get(key)?;
        if entry.closing.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        self.leaving.add(entry.held);
        if let Some(address) = self.addresses.get_mut(&entry.address) {
            address.subtract(entry.held);
        }
        let (address, closing) = (entry.address, Arc::clone(&entry.closing));
        self.forget_if_empty(address);
        Some(closing)
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
    ) -> Vec<Arc<Closing>> {
        let mut shed = Vec::new();
        let now = Instant::now();
        while self.total.connection_bytes - self.leaving.connection_bytes + bytes > bound {
            let mut candidates: Vec<(Merit, Instant, usize)> = self
                .of_the_heaviest(address, bytes, |held| held.connection_bytes)
                .map(|(key, entry)| (entry.merit_at(now), entry.active, key))
                .collect();
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
    /// for the longest time. There is none where that is the claimant.
    pub(super) fn make_room_for_request(&mut self, key: usize, bytes: usize, bound: usize) -> Room {
        let mut shed = Vec::new();
        let claimant = &self.entries[key];
        if claimant.closing.told.load(Ordering::Relaxed) {
            return Room { shed, fits: false };
        }
        // A part is left to those that hold little: others may hold theirs for some time after they were told to close.
        let bound = if claimant.held.request_bytes + bytes > LITTLE_BYTES { bound - bound / SLACK } else { bound };
        if self.request_bytes_that_stay() + bytes <= bound {
            return Room { shed, fits: with_slack(self.total.request_bytes, bytes, bound) };
        }
        let address = claimant.address;
        let now = Instant::now();
        while self.request_bytes_that_stay() + bytes > bound - bound / BATCH {
            let weight = |other: usize, entry: &Entry| {
                let bytes = entry.held.request_bytes + if other == key { bytes } else { 0 };
                bytes as u128 * (now.duration_since(entry.holding_since).as_micros() + 1000)
            };
            let worst = self
                .of_the_heaviest(address, bytes, |held| held.request_bytes)
                .max_by_key(|(other, entry)| weight(*other, entry))
                .map(|(worst, _)| worst);
            match worst {
                Some(worst) if worst != key => shed.extend(self.tell_to_close(worst)),
                _ => break,
            }
        }
        let fits =
            self.request_bytes_that_stay() + bytes <= bound && with_slack(self.total.request_bytes, bytes, bound);
        Room { shed, fits }
    }

    /// The connections that stay, of the address that has the most if the claimant's has `more`; of two with as much, the
    /// claimant's.
    fn of_the_heaviest(
        &self,
        claimant: IpAddr,
        more: usize,
        amount: impl Fn(&Held) -> usize,
    ) -> impl Iterator<Item = (usize, &Entry)> {
        let weight = |address: IpAddr, held: &Held| {
            let is_claimant = address == claimant;
            (amount(held) + if is_claimant { more } else { 0 }, is_claimant)
        };
        let heaviest =
            self.addresses.iter().max_by_key(|&(&address, held)| weight(address, held)).map(|(&address, _)| address);
        self.entries
            .iter()
            .filter(move |(_, entry)| Some(entry.address) == heaviest && !entry.closing.told.load(Ordering::Relaxed))
    }

    fn request_bytes_that_stay(&self) -> usize {
        self.total.request_bytes - self.leaving.request_bytes
    }
}

/// What was done to make room, and whether there is.
pub(super) struct Room {
    pub(super) shed: Vec<Arc<Closing>>,
    pub(super) fits: bool,
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
