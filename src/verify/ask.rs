//! Requests to registries, of which each gets a limited number at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::products::{Model, Step};
use crate::registry::{Answer, Client, Descriptor, Head, Manifest, Outcome, Platform, Reference, Repository};

/// How many images a host is asked for at a time, by all clients of a run.
pub(super) struct Gates {
    concurrency: usize,
    /// By host.
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Gates {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { concurrency, gates: Mutex::default() }
    }

    fn gate(&self, repository: &Repository) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates.entry(repository.host().to_owned());
        Arc::clone(gate.or_insert_with(|| Arc::new(Semaphore::new(self.concurrency))))
    }
}

/// A client that waits for the gates.
pub(super) struct Ask<'a> {
    pub(super) client: &'a Client,
    pub(super) gates: &'a Gates,
}

impl Ask<'_> {
    pub(super) async fn ping(&self, repository: &Repository) -> Answer<()> {
        self.client.ping(repository).await
    }

    pub(super) async fn head(&self, repository: &Repository, reference: &Reference) -> Answer<Head> {
        let gate = self.gates.gate(repository);
        let _permit = permit(&gate).await;
        self.client.head(repository, reference).await
    }

    pub(super) async fn manifest(&self, repository: &Repository, reference: &Reference) -> Answer<Manifest> {
        let gate = self.gates.gate(repository);
        let _permit = permit(&gate).await;
        self.client.manifest(repository, reference).await
    }

    pub(super) async fn platform(&self, repository: &Repository, config: &Descriptor) -> Answer<Platform> {
        let gate = self.gates.gate(repository);
        let _permit = permit(&gate).await;
        self.client.platform(repository, config).await
    }

    /// Asks a cache for an image as a node does: HEAD of a tag, then GET of its digest; or GET of the tag, where the model says so.
    pub(super) async fn pull(&self, model: &Model, repository: &Repository, reference: &Reference) -> Answer<Manifest> {
        let is_head_first = model.order.value.steps.first() == Some(&Step::HeadTag);
        if matches!(reference, Reference::Digest(_)) || !is_head_first {
            return self.manifest(repository, reference).await;
        }
        let head = self.head(repository, reference).await;
        let requests = head.trace.requests;
        let by_digest = match &head.outcome {
            Outcome::Unreachable(unreachable) => {
                return Answer { outcome: Outcome::Unreachable(unreachable.clone()), trace: head.trace };
            }
            Outcome::RateLimited => return Answer { outcome: Outcome::RateLimited, trace: head.trace },
            Outcome::Served(Head { digest: Some(digest), .. }) => Some(Reference::Digest(digest.clone())),
            // Responses to HEAD have no errors in a body.
            _ => None,
        };
        let mut answer = self.manifest(repository, by_digest.as_ref().unwrap_or(reference)).await;
        answer.trace.requests += requests;
        answer
    }
}

async fn permit(gate: &Semaphore) -> Option<SemaphorePermit<'_>> {
    gate.acquire().await.ok()
}
