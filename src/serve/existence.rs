//! Looks images up in caches: one request an image, however many admissions wait for it, and answers that live shortly.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::caches::{CacheClient, MakeClient};
use crate::engine::{Cache, ImageRef, Prefix, Product};
use crate::registry::{Outcome, Reference, Repository};
use crate::server::existence::{Existence, Question};
use crate::server::metrics::{Looked, Metrics};

/// How long an answer is used, whatever it is: a push to the cache is seen after this time.
const LIFE: Duration = Duration::from_secs(30);
/// The time for a look-up. It goes on after the deadline of the request that asked first: later requests use its answer.
const LOOK_UP: Duration = Duration::from_secs(10);
/// The most answers that are kept, of a few hundred bytes each.
const ANSWERS: usize = 10_000;
/// The most look-ups at a time.
const LOOK_UPS: usize = 64;
/// The most caches that are asked. A rule with a pattern can name many hosts.
const CACHES: usize = 256;

/// Look-ups, with the answers that are still used.
#[derive(Debug)]
pub struct LookUps {
    make_client: Arc<dyn MakeClient>,
    /// The caches of the loaded rules.
    caches: watch::Receiver<Arc<[Cache]>>,
    metrics: Arc<Metrics>,
    slots: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<String, Answer>,
    /// By their prefix, with the entry in `caches` that they are made for.
    clients: HashMap<String, (Cache, Arc<CacheClient>)>,
}

/// Whether a cache has an image; `None` while it is asked.
#[derive(Debug)]
struct Answer {
    has: watch::Receiver<Option<bool>>,
    until: Instant,
}

impl LookUps {
    pub fn new(make_client: Arc<dyn MakeClient>, caches: watch::Receiver<Arc<[Cache]>>, metrics: Arc<Metrics>) -> Self {
        Self { make_client, caches, metrics, slots: Arc::new(Semaphore::new(LOOK_UPS)), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where the answer comes; `None` if the image is not looked up.
    fn look_up(self: &Arc<Self>, image: &str) -> Option<watch::Receiver<Option<bool>>> {
        let mut known = self.known();
        let now = Instant::now();
        if let Some(answer) = known.answers.get(image).filter(|answer| answer.until > now) {
            return Some(answer.has.clone());
        }
        if known.answers.len() >= ANSWERS {
            known.answers.retain(|_, answer| answer.until > now);
        }
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok().filter(|_| known.answers.len() < ANSWERS)?;
        let (repository, reference, client) = self.address(&mut known, image)?;
        let (sender, has) = watch::channel(None);
        known.answers.insert(image.to_owned(), Answer { has: has.clone(), until: now + LIFE });
        drop(known);
        let look_ups = Arc::clone(self);
        tokio::spawn(async move {
            let looked = timeout(LOOK_UP, ask(&client, &repository, &reference)).await.unwrap_or(Looked::Failed);
            drop(slot);
            look_ups.metrics.looked_up(looked);
            // All requests that waited may have ended.
            let _ = sender.send(Some(looked != Looked::Missing));
        });
        Some(has)
    }

    fn address(&self, known: &mut Known, image: &str) -> Option<(Repository, Reference, Arc<CacheClient>)> {
        let image = ImageRef::parse(image).ok()?;
        let caches = self.caches.borrow();
        let cache = match Cache::of(&caches, image.canonical()) {
            Some(cache) => cache.clone(),
            None => {
                let prefix = Prefix::parse(image.registry()?).ok()?;
                Cache { prefix, product: Product::default(), ca_file: None, health: None }
            }
        };
        let name = cache.prefix.canonical().to_owned();
        let client = match known.clients.get(&name).filter(|(of, _)| *of == cache) {
            Some((_, client)) => Arc::clone(client),
            None if known.clients.len() >= CACHES && !known.clients.contains_key(&name) => return None,
            None => {
                let client = Arc::new(CacheClient::new(cache.clone(), Arc::clone(&self.make_client)));
                known.clients.insert(name, (cache, Arc::clone(&client)));
                client
            }
        };
        Some((Repository::of(&image)?, Reference::of(&image), client))
    }
}

impl Existence for LookUps {
    fn missing(self: Arc<Self>, questions: Vec<Question>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send>> {
        Box::pin(async move {
            let start = Instant::now();
            // All are looked up at the same time.
            let asked: Vec<_> =
                questions.into_iter().map(|question| (self.look_up(&question.image), question)).collect();
            let mut missing = Vec::new();
            for (has, Question { image, deadline }) in asked {
                let Some(mut has) = has else {
                    self.metrics.looked_up(Looked::Skipped);
                    continue;
                };
                match timeout_at(start + deadline, has.wait_for(Option::is_some)).await {
                    Ok(Ok(has)) if *has == Some(false) => missing.push(image),
                    Ok(_) => {}
                    Err(_) => self.metrics.looked_up(Looked::Late),
                }
            }
            missing
        })
    }
}

/// Asks by HEAD, as a node asks first.
async fn ask(client: &Arc<CacheClient>, repository: &Repository, reference: &Reference) -> Looked {
    let client = Arc::clone(client);
    let Ok(Ok(client)) = tokio::task::spawn_blocking(move || client.get()).await else { return Looked::Failed };
    match client.head(repository, reference).await.outcome {
        Outcome::Served(_) => Looked::Found,
        Outcome::Missing => Looked::Missing,
        Outcome::Denied(_) => Looked::Denied,
        Outcome::RateLimited | Outcome::Unreachable(_) | Outcome::Invalid(_) | Outcome::Other => Looked::Failed,
    }
}
