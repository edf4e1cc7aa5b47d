//! What the server knows of operators that compare images, beside the rules: which were logged, and which workloads loop.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::log;
use super::metrics::Metrics;
use super::recreation::{Creation, Noted, Recreations};
use crate::engine::{CustomOwner, Decision, OnRecreateLoop, Outcome, Summary};

/// Workloads that stand down at most. Further ones are reported alone.
const STANDING_DOWN: usize = 1024;

/// The state of one replica since the rules were loaded.
#[derive(Debug)]
pub struct OperatorWatch(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Known operators that were logged.
    logged: BTreeSet<&'static str>,
    recreations: Recreations,
}

impl OperatorWatch {
    pub fn new(replicas: NonZeroUsize) -> Self {
        Self(Mutex::new(State { logged: BTreeSet::new(), recreations: Recreations::new(replicas) }))
    }

    /// Forgets all, as after a change of the rules.
    pub fn clear(&self) {
        let mut state = self.state();
        state.logged.clear();
        state.recreations.clear();
    }

    /// Returns the number of workloads that have a loop now.
    pub fn loops(&self) -> usize {
        self.state().recreations.loops(Instant::now())
    }

    /// Counts and logs a Pod of an operator. Returns its owner if that is to stand down.
    pub fn note(
        &self,
        summary: &Summary<'_>,
        on_loop: OnRecreateLoop,
        standing_down: usize,
        metrics: &Metrics,
    ) -> Option<CustomOwner<'static>> {
        let Summary { dry_run, outcome, namespace, name, generate_name, origin, images, .. } = summary;
        let is_rewritten = *outcome == Outcome::Patched
            && images.iter().any(|image| matches!(image.decision, Decision::Rewrite { .. }));
        if let Some(operator) = origin.operator {
            metrics.operator_pod(operator.name, is_rewritten, *dry_run);
            if is_rewritten && self.state().logged.insert(operator.name) {
                log::operator(operator, namespace);
            }
        }
        let owner = origin.owner.as_ref().filter(|_| is_rewritten && !dry_run)?;
        let pod = if name.is_empty() { generate_name } else { name };
        let creation = Creation { owner, pod, images };
        let Noted { is_new_loop, is_evicting } = self.state().recreations.note(&creation, Instant::now());
        if is_evicting {
            metrics.recreation_evicted();
        }
        if !is_new_loop {
            return None;
        }
        let stands_down = on_loop == OnRecreateLoop::StandDown && standing_down < STANDING_DOWN;
        log::recreate_loop(owner, pod, origin.operator, stands_down);
        stands_down.then(|| owner.clone().into_owned())
    }

    /// The table stays consistent if a panic interrupts a change: a Pod may be missing.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
