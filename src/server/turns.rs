//! Schedules the use of processors by turns.
//!
//! The runtime polls tasks in the order of their events. A client with a thousand connections gets a thousand times the
//! processor time of a client with one. If many connections are busy, each poll of a task therefore waits for its turn
//! ([`InTurn`]). Next is the address that has used the least time (start-time fair queueing), and of its connections the one
//! served longest ago. A client that sends without pause then delays itself, not others.

mod waiting;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::yield_now;

use self::waiting::Waiting;
use super::ledger::Account;
use super::standing::Standing;

/// A scheduler that grants a fixed number of turns at a time.
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

/// A turn, which lasts until it is dropped.
#[derive(Debug)]
pub struct Turn {
    /// `None` after it was passed on.
    turns: Option<Arc<Turns>>,
    /// The user of the turn, and its start.
    user: Option<(IpAddr, Instant)>,
}

impl Turns {
    /// Creates a scheduler with `at_once` turns at a time.
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
        let mut turn = match waiting {
            None => {
                let turn = Turn { turns: Some(self), user: None };
                // Lets other runnable tasks join the queue first. Otherwise the task that happens to run first would always be next.
                yield_now().await;
                turn
            }
            // Dismissed: it does not count as one of the turns at a time.
            Some(turn) => turn.await.unwrap_or(Turn { turns: None, user: None }),
        };
        turn.user = Some((account.address(), Instant::now()));
        turn
    }

    /// Releases all waiters of a connection that closes.
    fn dismiss(&self, account: &Account) {
        let waiters = self.state().waiting.remove(account.address(), account.key());
        drop(waiters);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        if let Some((address, since)) = self.user {
            turns.state().waiting.used(address, since.elapsed());
        }
        loop {
            let mut state = turns.state();
            let Some(next) = state.waiting.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match next.send(Turn { turns: Some(Arc::clone(&turns)), user: None }) {
                Ok(()) => return,
                // Its task was dropped, so another gets the turn.
                Err(mut unused) => unused.turns = None,
            }
        }
    }
}

/// A task of a connection. If many connections are busy, each of its polls takes a turn.
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
        // A connection that must close releases memory, so it does not wait.
        let waits = !account.is_closing() && (taking.is_some() || turns.crowd.has_formed(account.standing()));
        let _turn = if waits {
            let take = || Box::pin(Arc::clone(turns).take(Arc::clone(account))) as Pin<Box<_>>;
            let taking = taking.get_or_insert_with(|| {
                account.waits_for_server();
                take()
            });
            let turn = ready!(taking.as_mut().poll(cx));
            Some(turn)
        } else {
            None
        };
        *taking = None;
        let result = task.as_mut().poll(cx);
        account.waits_for_client();
        if result.is_ready() && account.is_closing() {
            turns.dismiss(account);
        }
        result
    }
}

/// Estimates whether many connections are busy, from the number of connections in the last polls.
#[derive(Debug, Default)]
struct Crowd {
    polls: AtomicU64,
    connections: AtomicUsize,
    connections_before: AtomicUsize,
}

/// Polls in a round.
const ROUND: u64 = 64;

/// More connections than this in a round count as many. API servers are few and use some connections each.
const MANY: usize = 16;

impl Crowd {
    /// Counts a poll of a connection. Races make the count slightly wrong, which is harmless.
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

#[cfg(test)]
mod tests {
    use super::*;

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
