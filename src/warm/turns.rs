//! One request at a time for each blob of a registry.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Mutex;

use crate::registry::Digest;

/// distribution serves a blob that is requested for two repositories at once to both, and stores it for one.
#[derive(Debug, Default)]
pub struct Turns(RefCell<HashMap<(String, Digest), Turn>>);

type Turn = Rc<Mutex<()>>;

impl Turns {
    /// Awaits `work` while no other work is done for the same blob of the same host.
    pub async fn of<T>(&self, host: &str, digest: &Digest, work: impl Future<Output = T>) -> T {
        let key = (host.to_owned(), digest.clone());
        let turn = Rc::clone(self.0.borrow_mut().entry(key.clone()).or_default());
        let held = turn.lock().await;
        let done = work.await;
        drop(held);
        // The map has one, and this is the other: no task waits.
        if Rc::strong_count(&turn) == 2 {
            self.0.borrow_mut().remove(&key);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn work_for_one_blob_does_not_overlap_and_leaves_nothing() {
        let (turns, running) = (Turns::default(), Cell::new(0));
        let work = async |host: &'static str| {
            let one = async {
                running.set(running.get() + 1);
                tokio::task::yield_now().await;
                let seen = running.get();
                running.set(seen - 1);
                seen
            };
            turns.of(host, &Digest::of(b"1"), one).await
        };
        assert_eq!(tokio::join!(work("a"), work("a"), work("a")), (1, 1, 1));
        assert_eq!(tokio::join!(work("a"), work("b")).1, 2);
        assert!(turns.0.borrow().is_empty());
    }
}
