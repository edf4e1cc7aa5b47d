//! Whose turn it is to use a processor.
//!
//! The runtime polls tasks in the order in which something came for them, so a client with a thousand connections gets a
//! thousand times as much of a processor as one with a single connection. Where many connections are busy, each poll of a
//! task therefore waits for its turn ([`InTurn`]): addresses take turns, and of one address the connection that was served
//! longest ago is next. So a client that sends without a pause waits for itself, and the others do not wait for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::ledger::Account;

/// So many turns at a time.
#[derive(Debug)]
pub struct Turns {
    crowd: Crowd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: Waiting<oneshot::Sender<Turn>>,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// None once it was passed on.
    turns: Option<Arc<Turns>>,
}

/// What turns need to know of a connection.
#[derive(Debug, Default)]
pub struct Standing {
    /// When it had its last turn, counted in turns.
    served: Arc<AtomicU64>,
    /// When it was last seen, counted in rounds of the [`Crowd`].
    seen: AtomicU64,
}

impl Turns {
    /// `at_once` turns at a time.
    pub fn new(at_once: usize) -> Arc<Turns> {
        let state = State { free: at_once, waiting: Waiting::default() };
        Arc::new(Turns { crowd: Crowd::default(), state: Mutex::new(state) })
    }

    /// Waits for a turn.
    pub async fn take(self: Arc<Turns>, account: Arc<Account>) -> Turn {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                state.waiting.push(account.address(), account.key(), &account.standing().served, sender);
                Some(receiver)
            }
        };
        match waiting {
            None => {
                let turn = Turn { turns: Some(self) };
                // For the other tasks that could run to come here too. Otherwise the one that happens to run first would
                // always be the next.
                yield_now().await;
                turn
            }
            // A sender is used before it is dropped: there is a turn for as long as somebody waits for one.
            Some(turn) => turn.await.unwrap_or_else(|_| Turn { turns: Some(self) }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        loop {
            let mut state = turns.state();
            let Some(next) = state.waiting.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(Turn { turns: Some(Arc::clone(&turns)) }) {
                Ok(()) => return,
                // Its request is gone, so it is the turn of another.
                Err(mut unused) => unused.turns = None,
            }
        }
    }
}

/// A task of a connection, each poll of which takes a turn where many connections are busy.
pub struct InTurn<F> {
    task: Pin<Box<F>>,
    account: Arc<Account>,
    turns: Arc<Turns>,
    taking: Option<Pin<Box<dyn Future<Output = Turn> + Send>>>,
}

impl<F> InTurn<F> {
    pub fn new(task: F, account: Arc<Account>, turns: Arc<Turns>) -> InTurn<F> {
        InTurn { task: Box::pin(task), account, turns, taking: None }
    }
}

impl<F: Future> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let InTurn { task, account, turns, taking } = &mut *self;
        // One that must end makes room, so it does not wait.
        let waits = taking.is_some() || (turns.crowd.has_formed(account.standing()) && !account.is_closing());
        let _turn = if waits {
            let take = || Box::pin(Arc::clone(turns).take(Arc::clone(account))) as Pin<Box<_>>;
            let turn = ready!(taking.get_or_insert_with(take).as_mut().poll(cx));
            *taking = None;
            Some(turn)
        } else {
            None
        };
        task.as_mut().poll(cx)
    }
}

/// Whether many connections are busy: how many are among those of the last polls.
#[derive(Debug, Default)]
struct Crowd {
    polls: AtomicU64,
    connections: AtomicUsize,
    connections_before: AtomicUsize,
}

/// Polls of a round.
const ROUND: u64 = 64;

/// More connections than this in a round are many. API servers are few, and use some connections each.
const MANY: usize = 16;

impl Crowd {
    /// Counts a poll of a connection. Counts that race are a little wrong, which does not matter.
    fn has_formed(&self, standing: &Standing) -> bool {
        let polls = self.polls.fetch_add(1, Ordering::Relaxed);
        if polls.is_multiple_of(ROUND) {
            self.connections_before.store(self.connections.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        let round = polls / ROUND + 1;
        if standing.seen.swap(round, Ordering::Relaxed) != round {
            self.connections.fetch_add(1, Ordering::Relaxed);
        }
        self.connections_before.load(Ordering::Relaxed).max(self.connections.load(Ordering::Relaxed)) > MANY
    }
}

/// Waiters by address and connection.
#[derive(Debug)]
struct Waiting<T> {
    addresses: HashMap<IpAddr, OfAddress<T>>,
    /// In which addresses take turns.
    order: VecDeque<IpAddr>,
    turns: u64,
    arrivals: u64,
}

#[derive(Debug)]
struct OfAddress<T> {
    connections: HashMap<usize, OfConnection<T>>,
    /// By when they were served, and then by when they came.
    order: BTreeSet<(u64, u64, usize)>,
}

#[derive(Debug)]
struct OfConnection<T> {
    served: Arc<AtomicU64>,
    waiters: VecDeque<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting { addresses: HashMap::new(), order: VecDeque::new(), turns: 0, arrivals: 0 }
    }
}

impl<T> Waiting<T> {
    fn push(&mut self, address: IpAddr, connection: usize, served: &Arc<AtomicU64>, waiter: T) {
        let of_address = self.addresses.entry(address).or_insert_with(|| {
            self.order.push_back(address);
            OfAddress { connections: HashMap::new(), order: BTreeSet::new() }
        });
        let OfAddress { connections, order } = of_address;
        self.arrivals += 1;
        let of_connection = connections.entry(connection).or_insert_with(|| {
            // One that is new was never served, so it goes first, for its handshake not to wait for all that others do.
            order.insert((served.load(Ordering::Relaxed), self.arrivals, connection));
            OfConnection { served: Arc::clone(served), waiters: VecDeque::new() }
        });
        of_connection.waiters.push_back(waiter);
    }

    fn next(&mut self) -> Option<T> {
        let address = self.order.pop_front()?;
        let of_address = self.addresses.get_mut(&address)?;
        let (.., connection) = of_address.order.pop_first()?;
        let of_connection = of_address.connections.get_mut(&connection)?;
        let waiter = of_connection.waiters.pop_front();
        self.turns += 1;
        of_connection.served.store(self.turns, Ordering::Relaxed);
        if of_connection.waiters.is_empty() {
            of_address.connections.remove(&connection);
        } else {
            of_address.order.insert((self.turns, self.arrivals, connection));
        }
        if of_address.connections.is_empty() {
            self.addresses.remove(&address);
        } else {
            self.order.push_back(address);
        }
        waiter
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn addresses_take_turns_and_of_their_connections_the_one_that_waited_longest() {
        let mut waiting = Waiting::default();
        let served: Vec<Arc<AtomicU64>> = (0..5).map(|_| Arc::default()).collect();
        let push = |waiting: &mut Waiting<u32>, address, connection: usize, request| {
            waiting.push(Ipv4Addr::new(10, 0, 0, address).into(), connection, &served[connection], request);
        };
        for (address, connection, request) in [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 4), (2, 3, 5), (2, 3, 6)] {
            push(&mut waiting, address, connection, request);
        }
        let order: Vec<u32> = std::iter::from_fn(|| waiting.next()).collect();
        assert_eq!(order, [1, 5, 4, 6, 2, 3]);
        // Connection 1 was served last, so 2 goes before it, though it comes later; 4 is new.
        push(&mut waiting, 1, 4, 9);
        push(&mut waiting, 1, 1, 7);
        push(&mut waiting, 1, 2, 8);
        let order: Vec<u32> = std::iter::from_fn(|| waiting.next()).collect();
        assert_eq!(order, [9, 8, 7]);
        assert!(waiting.addresses.is_empty() && waiting.order.is_empty());
    }

    #[test]
    fn a_crowd_is_many_connections_and_not_many_polls() {
        let crowd = Crowd::default();
        let standings: Vec<Standing> = (0..100).map(|_| Standing::default()).collect();
        let polls = |connections: usize, count: usize| {
            (0..count).filter(|index| crowd.has_formed(&standings[index % connections])).count()
        };
        assert_eq!(polls(MANY, 1000), 0);
        assert!(polls(100, 1000) > 900);
        polls(1, 2 * ROUND as usize);
        assert_eq!(polls(MANY, 1000), 0);
    }
}
