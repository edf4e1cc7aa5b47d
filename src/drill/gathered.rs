//! Parts of an inventory that are gathered on demand: a judge asks for them, and they are looked up between its rounds.
//!
//! So one walk over an image serves judging and gathering, and each distinct part is looked up once.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::holdings::Part;

/// The parts of one kind, by what identifies them.
#[derive(Debug)]
pub(super) struct Gathered<K, V>(Mutex<Inner<K, V>>);

#[derive(Debug)]
struct Inner<K, V> {
    found: HashMap<K, Part<V>>,
    wanted: HashSet<K>,
}

impl<K, V> Default for Gathered<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Inner { found: HashMap::new(), wanted: HashSet::new() }))
    }
}

impl<K: Clone + Eq + Hash + Send + 'static, V: Clone + Send + 'static> Gathered<K, V> {
    /// Returns a part. One that is not gathered yet is unknown, and will be.
    pub(super) fn get(&self, key: K) -> Part<V> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.found.get(&key) {
            Some(part) => part.clone(),
            None => {
                inner.wanted.insert(key);
                Part::Unknown("not looked up".to_owned())
            }
        }
    }

    /// Looks up what is wanted, at most `at_once` parts at a time. Calls `on_part` with the number of parts that are done and left.
    /// Returns the number of parts.
    pub(super) async fn gather<F: Future<Output = Part<V>> + Send + 'static>(
        &self,
        at_once: usize,
        look: impl Fn(K) -> F,
        on_part: &dyn Fn(usize, usize),
    ) -> usize {
        let wanted = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).wanted);
        let (all, gate) = (wanted.len(), Arc::new(Semaphore::new(at_once)));
        let mut tasks = JoinSet::new();
        let mut keys = HashMap::new();
        for key in wanted {
            let (look, gate) = (look(key.clone()), Arc::clone(&gate));
            let task = tasks.spawn(async move {
                let _permit = gate.acquire().await;
                look.await
            });
            keys.insert(task.id(), key);
        }
        let mut done = 0;
        while let Some(ended) = tasks.join_next_with_id().await {
            let (id, part) =
                ended.unwrap_or_else(|error| (error.id(), Part::Unknown("looking it up failed".to_owned())));
            if let Some(key) = keys.remove(&id) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).found.insert(key, part);
            }
            done += 1;
            on_part(done, all - done);
        }
        all
    }
}
