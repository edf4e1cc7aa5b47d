//! Whose turn it is to use a processor.
//!
//! Where many requests are complete at one time, addresses take turns, and connections of one address take turns among
//! themselves. So a client that sends a thousand waits for itself, and not the others for it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::ledger::Account;

/// So many turns at a time.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: RoundRobin<IpAddr, RoundRobin<usize, VecDeque<oneshot::Sender<Turn>>>>,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// None once it was passed on.
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// `at_once` turns at a time.
    pub fn new(at_once: usize) -> Arc<Turns> {
        let waiting = RoundRobin::default();
        Arc::new(Turns { at_once, state: Mutex::new(State { free: at_once, waiting }) })
    }

    /// Waits for a turn. With `crowded` it lets the other tasks that could run come here too, before it is used: without
    /// that, the one that happens to run first would always be the next.
    pub async fn take(self: &Arc<Turns>, account: &Account, crowded: bool) -> Turn {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                state.waiting.of(account.address()).of(account.key()).push_back(sender);
                Some(receiver)
            }
        };
        match waiting {
            None => {
                let turn = Turn { turns: Some(Arc::clone(self)) };
                if crowded {
                    yield_now().await;
                }
                turn
            }
            // A sender is used before it is dropped: there is a turn for as long as somebody waits for one.
            Some(turn) => turn.await.unwrap_or_else(|_| Turn { turns: Some(Arc::clone(self)) }),
        }
    }

    /// How many turns there are at a time.
    pub fn at_once(&self) -> usize {
        self.at_once
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

/// Something that waiters are taken from, one at a time.
trait Queue: Default {
    type Item;

    fn next(&mut self) -> Option<Self::Item>;

    fn is_empty(&self) -> bool;
}

impl<T> Queue for VecDeque<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn is_empty(&self) -> bool {
        VecDeque::is_empty(self)
    }
}

/// Queues by a key, which take turns.
#[derive(Debug)]
struct RoundRobin<K, Q> {
    queues: HashMap<K, Q>,
    order: VecDeque<K>,
}

impl<K, Q> Default for RoundRobin<K, Q> {
    fn default() -> Self {
        RoundRobin { queues: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + std::hash::Hash, Q: Queue> RoundRobin<K, Q> {
    fn of(&mut self, key: K) -> &mut Q {
        self.queues.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Q::default()
        })
    }
}

impl<K: Copy + Eq + std::hash::Hash, Q: Queue> Queue for RoundRobin<K, Q> {
    type Item = Q::Item;

    fn next(&mut self) -> Option<Q::Item> {
        let key = self.order.pop_front()?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.next();
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key);
        }
        item
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_their_connections_take_turns() {
        let mut waiting: RoundRobin<char, RoundRobin<usize, VecDeque<u32>>> = RoundRobin::default();
        for (address, connection, request) in
            [('a', 1, 1), ('a', 1, 2), ('a', 1, 3), ('a', 2, 4), ('b', 3, 5), ('b', 3, 6)]
        {
            waiting.of(address).of(connection).push_back(request);
        }
        let order: Vec<u32> = std::iter::from_fn(|| waiting.next()).collect();
        assert_eq!(order, [1, 5, 4, 6, 2, 3]);
        assert!(Queue::is_empty(&waiting));
    }
}
