//! One admission: body in, AdmissionReview out, with what metrics and logs say of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::Body;

use super::body;
use super::http::Refusal;
use super::limits::{Budget, Limits};
use super::log;
use super::metrics::{Metrics, RuleCounters};
use crate::engine::{Answer, Options, Policy, Unreadable};

/// The function that answers: [`crate::engine::answer`]. Tests bring others, such as one that panics.
pub type AnswerFn = for<'a> fn(&'a Policy, Options, &'a [u8]) -> Result<Answer<'a>, Unreadable>;

/// A policy and the name of the text it was made from.
#[derive(Debug)]
pub struct NamedPolicy {
    /// The rules.
    pub policy: Policy,
    /// The first 16 hexadecimal digits of the SHA-256 of the rules' text.
    pub hash: String,
}

/// The policy that decides now, with its counters looked up once.
#[derive(Debug)]
struct Active {
    policy: Policy,
    counters: RuleCounters,
}

/// What all admissions share.
#[derive(Debug)]
pub struct Admission {
    answer: AnswerFn,
    options: Options,
    active: ArcSwap<Active>,
    metrics: Arc<Metrics>,
    limits: Limits,
    requests: Arc<Budget>,
    held_bytes: Arc<Budget>,
}

impl Admission {
    /// Admissions that are answered by `answer` after `rules`.
    pub fn new(
        answer: AnswerFn,
        rules: NamedPolicy,
        options: Options,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Arc<Admission> {
        let counters =
            metrics.rules_loaded(rules.policy.rules().iter().map(|rule| rule.name.as_str()), rules.hash, None);
        Arc::new(Admission {
            answer,
            options,
            active: ArcSwap::from_pointee(Active { policy: rules.policy, counters }),
            metrics,
            requests: Budget::new(limits.requests),
            held_bytes: Budget::new(limits.held_body_bytes),
            limits,
        })
    }

    /// From here on `rules` decide. Admissions that have begun end as they began.
    pub fn set_rules(&self, rules: NamedPolicy) {
        let before = self.active.load();
        let counters = self.metrics.rules_loaded(
            rules.policy.rules().iter().map(|rule| rule.name.as_str()),
            rules.hash,
            Some(&before.counters),
        );
        self.active.store(Arc::new(Active { policy: rules.policy, counters }));
    }

    /// The bounds of a request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many admissions are under way.
    pub fn in_flight(&self) -> usize {
        self.requests.used()
    }

    /// Reads the body and answers it. What is refused is counted.
    pub async fn answer(&self, body: &mut Body) -> Result<Vec<u8>, Refusal> {
        let started = Instant::now();
        let Some(_request) = self.requests.take(1) else {
            return Err(self.refused(Refusal::TooManyRequests { limit: self.limits.requests }));
        };
        let answer = match body::read(body, &self.limits, &self.held_bytes).await {
            Ok(held) => self.answer_bytes(&held.bytes),
            Err(refusal) => Err(refusal),
        };
        self.metrics.duration(started.elapsed());
        answer.map_err(|refusal| self.refused(refusal))
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) -> Refusal {
        self.metrics.request_rejected();
        tracing::debug!(status = refusal.status().as_u16(), reason = refusal.to_string().as_str(), "request refused");
        refusal
    }

    fn answer_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        // Nothing of `self` is left half-changed by a panic: counters are atomic, the policy is read only.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let active = self.active.load();
            let answer = (self.answer)(&active.policy, self.options, bytes)?;
            self.metrics.admission(&active.counters, &answer.summary);
            log::admission(&answer.summary);
            Ok(answer.body)
        }));
        match answer {
            Ok(answer) => answer.map_err(|error: Unreadable| Refusal::Unreadable(error.to_string())),
            Err(_) => Err(Refusal::Panicked),
        }
    }
}
