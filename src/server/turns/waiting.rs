//! The queue of tasks that wait for turns.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Waiters by address and connection.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Addresses that wait, and those that have used more than a fair share so far.
    addresses: HashMap<IpAddr, OfAddress<T>>,
    /// Waiting addresses, by used time and then by arrival.
    order: BTreeSet<(Duration, u64, IpAddr)>,
    /// Time that each address that waits without pause has used.
    fair: Duration,
    turns: u64,
    arrivals: u64,
}

#[derive(Debug)]
struct OfAddress<T> {
    connections: HashMap<usize, OfConnection<T>>,
    /// By the last turn and then by arrival.
    order: BTreeSet<(u64, u64, usize)>,
    /// Used time, including that of others while it did not wait.
    used: Duration,
    arrived: u64,
}

#[derive(Debug)]
struct OfConnection<T> {
    served: Arc<AtomicU64>,
    place: (u64, u64, usize),
    waiters: VecDeque<T>,
}

/// Addresses that don't wait are kept up to this number before unneeded ones are removed.
const REMEMBERED: usize = 64;

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting { addresses: HashMap::new(), order: BTreeSet::new(), fair: Duration::ZERO, turns: 0, arrivals: 0 }
    }
}

impl<T> OfAddress<T> {
    fn place(&self, address: IpAddr) -> (Duration, u64, IpAddr) {
        (self.used, self.arrived, address)
    }
}

impl<T> Waiting<T> {
    pub fn push(&mut self, address: IpAddr, connection: usize, served: &Arc<AtomicU64>, waiter: T) {
        self.arrivals += 1;
        let of_address = self.addresses.entry(address).or_insert_with(|| OfAddress {
            connections: HashMap::new(),
            order: BTreeSet::new(),
            used: self.fair,
            arrived: 0,
        });
        if of_address.connections.is_empty() {
            of_address.used = of_address.used.max(self.fair);
            of_address.arrived = self.arrivals;
            self.order.insert(of_address.place(address));
        }
        let OfAddress { connections, order, .. } = of_address;
        let of_connection = connections.entry(connection).or_insert_with(|| {
            // A new connection was never served and goes first, so that its handshake does not wait for others.
            let place = (served.load(Ordering::Relaxed), self.arrivals, connection);
            order.insert(place);
            OfConnection { served: Arc::clone(served), place, waiters: VecDeque::new() }
        });
        of_connection.waiters.push_back(waiter);
    }

    pub fn next(&mut self) -> Option<T> {
        let (used, _, address) = *self.order.first()?;
        self.fair = used;
        let of_address = self.addresses.get_mut(&address)?;
        let (.., connection) = of_address.order.pop_first()?;
        let of_connection = of_address.connections.get_mut(&connection)?;
        let waiter = of_connection.waiters.pop_front();
        self.turns += 1;
        of_connection.served.store(self.turns, Ordering::Relaxed);
        if of_connection.waiters.is_empty() {
            self.forget(address, connection);
        } else {
            of_connection.place = (self.turns, self.arrivals, connection);
            of_address.order.insert(of_connection.place);
        }
        waiter
    }

    /// Adds the time that a turn took.
    pub fn used(&mut self, address: IpAddr, time: Duration) {
        let Some(of_address) = self.addresses.get_mut(&address) else { return };
        let waits = self.order.remove(&of_address.place(address));
        of_address.used += time;
        if waits {
            self.order.insert(of_address.place(address));
        }
        if self.addresses.len() > 2 * self.order.len() + REMEMBERED {
            self.addresses.retain(|_, other| !other.connections.is_empty() || other.used > self.fair);
        }
    }

    /// Removes and returns the waiters of a connection.
    pub fn remove(&mut self, address: IpAddr, connection: usize) -> VecDeque<T> {
        let of_address = self.addresses.get_mut(&address);
        let of_connection = of_address.and_then(|of_address| {
            let of_connection = of_address.connections.get_mut(&connection)?;
            of_address.order.remove(&of_connection.place);
            Some(std::mem::take(&mut of_connection.waiters))
        });
        self.forget(address, connection);
        of_connection.unwrap_or_default()
    }

    fn forget(&mut self, address: IpAddr, connection: usize) {
        let Some(of_address) = self.addresses.get_mut(&address) else { return };
        of_address.connections.remove(&connection);
        if of_address.connections.is_empty() {
            self.order.remove(&of_address.place(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TURN: Duration = Duration::from_millis(1);

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    struct Clients {
        waiting: Waiting<(u8, u32)>,
        served: Vec<Arc<AtomicU64>>,
    }

    impl Clients {
        fn new() -> Clients {
            Clients { waiting: Waiting::default(), served: (0..5).map(|_| Arc::default()).collect() }
        }

        fn push(&mut self, from: u8, connection: usize, request: u32) {
            self.waiting.push(address(from), connection, &self.served[connection], (from, request));
        }

        /// Returns all waiters in order, if a turn of the first address takes so long, and one of the others [`TURN`].
        fn order(&mut self, first: Duration) -> Vec<u32> {
            let next = || {
                let (from, request) = self.waiting.next()?;
                self.waiting.used(address(from), if from == 1 { first } else { TURN });
                Some(request)
            };
            std::iter::from_fn(next).collect()
        }
    }

    #[test]
    fn addresses_take_turns_and_of_their_connections_the_one_that_waited_longest() {
        let mut clients = Clients::new();
        for (from, connection, request) in [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 4), (2, 3, 5), (2, 3, 6)] {
            clients.push(from, connection, request);
        }
        assert_eq!(clients.order(TURN), [1, 5, 4, 6, 2, 3]);
        // Connection 1 was served last, so 2 goes before it, though it arrived later. 4 is new.
        clients.push(1, 4, 9);
        clients.push(1, 1, 7);
        clients.push(1, 2, 8);
        assert_eq!(clients.order(TURN), [9, 8, 7]);
        assert!(clients.waiting.order.is_empty());
    }

    #[test]
    fn an_address_whose_turns_take_longer_has_fewer_even_if_it_pauses() {
        let mut clients = Clients::new();
        let push = |clients: &mut Clients| {
            for (from, connection, request) in [(1, 1, 1), (1, 1, 2), (2, 2, 3), (2, 2, 4), (2, 2, 5), (2, 2, 6)] {
                clients.push(from, connection, request);
            }
        };
        push(&mut clients);
        assert_eq!(clients.order(3 * TURN), [1, 3, 4, 5, 2, 6]);
        // The first has used 6 ms, the second 4. Of two with the same time, the first to arrive is next.
        push(&mut clients);
        assert_eq!(clients.order(3 * TURN), [3, 4, 1, 5, 6, 2]);
    }

    #[test]
    fn those_that_are_dismissed_wait_no_more_and_nobody_is_remembered_for_ever() {
        let mut clients = Clients::new();
        clients.push(1, 1, 1);
        clients.push(1, 1, 2);
        clients.push(1, 2, 3);
        clients.push(2, 3, 4);
        assert_eq!(clients.waiting.remove(address(1), 1), [(1, 1), (1, 2)]);
        assert_eq!(clients.waiting.remove(address(2), 3), [(2, 4)]);
        assert_eq!(clients.order(TURN), [3]);
        for last in 3..=255 {
            clients.push(last, 3, 5);
            assert_eq!(clients.order(TURN), [5]);
            clients.push(1, 1, 6);
            assert_eq!(clients.order(TURN), [6]);
        }
        assert!(clients.waiting.addresses.len() <= 2 * REMEMBERED, "{}", clients.waiting.addresses.len());
    }
}
