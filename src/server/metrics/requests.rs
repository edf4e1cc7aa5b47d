//! Admission requests, by resource, operation, outcome and dry run.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

use super::by_dry_run::DRY_RUN;
use crate::engine::{Operation, Outcome, PodKind, Resource, Summary};

/// Rejected requests are not read, so their resource, operation and dry run are unknown.
const REJECTED_LABELS: [&str; 4] = ["unknown", "unknown", "rejected_request", "false"];

const OPERATIONS: usize = Operation::Other as usize + 1;
const OUTCOMES: usize = Outcome::Denied as usize + 1;
const WITHOUT_TEMPLATE: usize = 4;
const RESOURCES: usize = WITHOUT_TEMPLATE + PodKind::ALL.len();

/// A counter for each kind of admission. It is looked up by its labels once, and then by position.
#[derive(Debug)]
pub(super) struct Requests {
    family: IntCounterVec,
    answered: [[[[OnceLock<IntCounter>; 2]; OUTCOMES]; OPERATIONS]; RESOURCES],
    rejected: IntCounter,
}

impl Requests {
    /// The labels of the family.
    pub const LABELS: [&str; 4] = ["resource", "operation", "outcome", "dry_run"];

    pub fn new(family: IntCounterVec) -> Self {
        let rejected = family.with_label_values(&REJECTED_LABELS);
        Self { family, answered: Default::default(), rejected }
    }

    /// Counts an answered admission.
    pub fn answered(&self, summary: &Summary<'_>) {
        let Summary { resource, operation, outcome, dry_run, .. } = *summary;
        let counters = &self.answered[position(resource)][operation as usize][outcome as usize];
        let dry_run = usize::from(dry_run);
        let new = || {
            let labels = [resource.as_str(), operation.as_str(), outcome.as_str(), DRY_RUN[dry_run]];
            self.family.with_label_values(&labels)
        };
        counters[dry_run].get_or_init(new).inc();
    }

    /// Counts a request that was rejected with an HTTP error.
    pub fn rejected(&self) {
        self.rejected.inc();
    }
}

fn position(resource: Resource) -> usize {
    match resource {
        Resource::Pods => 0,
        Resource::PodsEphemeralContainers => 1,
        Resource::PodsOther => 2,
        Resource::Other => 3,
        Resource::Templates(kind) => WITHOUT_TEMPLATE + PodKind::ALL.iter().take_while(|known| *known != kind).count(),
    }
}
