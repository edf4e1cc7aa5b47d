//! One admission: body in, AdmissionReview out, with what metrics and logs say of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use tokio::sync::oneshot;

use super::body;
use super::http::Refusal;
use super::ledger::{Phase, Purpose};
use super::limits::{LARGE_BODY_BYTES, Limits};
use super::log;
use super::metrics::{Metrics, RuleCounters, Shed};
use super::progress::Visit;
use super::turns::Turns;
use crate::engine::{self, Answer, Context, Facts, Options, Policy, Unreadable};

/// The function that answers: [`crate::engine::answer`]. Tests bring others, such as one that panics.
pub type AnswerFn = for<'a> fn(Context<'a>, &'a [u8]) -> Result<Answer<'a>, Unreadable>;

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
    in_flight: AtomicUsize,
    large: Large,
}

/// Where large bodies are read, for the others not to wait for them.
#[derive(Debug)]
struct Large {
    turns: Arc<Turns>,
    threads: rayon::ThreadPool,
}

/// Added to the niceness of the threads that read large bodies. Where there is one processor only, the rest of the
/// program still gets most of it.
const LARGE_NICENESS: i32 = 10;

impl Large {
    /// All processors but one.
    fn start(processors: usize) -> io::Result<Large> {
        let threads = (processors - 1).max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|_| "large-reviews".to_owned())
            .start_handler(|_| {
                // Of this thread alone, on Linux. Without it large bodies are read all the same.
                let _ = rustix::process::nice(LARGE_NICENESS);
            })
            .build();
        Ok(Large { turns: Turns::new(threads), threads: pool.map_err(io::Error::other)? })
    }
}

impl Admission {
    /// Admissions that are answered by `answer` after `rules`.
    ///
    /// # Errors
    ///
    /// Where the system gives no threads.
    pub fn new(
        answer: AnswerFn,
        rules: NamedPolicy,
        options: Options,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> io::Result<Arc<Admission>> {
        let counters =
            metrics.rules_loaded(rules.policy.rules().iter().map(|rule| rule.name.as_str()), rules.hash, None);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Admission {
            answer,
            options,
            active: ArcSwap::from_pointee(Active { policy: rules.policy, counters }),
            metrics,
            limits,
            in_flight: AtomicUsize::new(0),
            large: Large::start(processors)?,
        }))
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
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Reads the body and answers it. What is refused is counted.
    pub async fn answer(self: &Arc<Admission>, body: &mut Body, visit: &Visit) -> Result<Bytes, Refusal> {
        let started = Instant::now();
        let _in_flight = InFlight::new(&self.in_flight);
        let answer = self.read_and_answer(body, visit).await;
        self.metrics.duration(started.elapsed());
        answer.map_err(|refusal| self.refused(refusal))
    }

    async fn read_and_answer(self: &Arc<Admission>, body: &mut Body, visit: &Visit) -> Result<Bytes, Refusal> {
        let mut charge = visit.account().charge(0)?;
        let bytes = body::read(body, &self.limits, &mut charge).await?;
        if bytes.len() <= LARGE_BODY_BYTES {
            return Ok(visit.answer(self.answer_bytes(&bytes)?, charge)?);
        }
        charge.set_phase(Phase::Whole);
        let turn = Arc::clone(&self.large.turns).take(Arc::clone(visit.account())).await;
        charge.grow_in_turn(engine::memory_bytes(&bytes), Purpose::Work).await?;
        charge.set_phase(Phase::AtWork);
        let (sender, receiver) = oneshot::channel();
        let (admission, visit) = (Arc::clone(self), visit.clone());
        self.large.threads.spawn(move || {
            let answer = admission.answer_bytes(&bytes);
            drop(bytes);
            // What is not needed any more is given back before the next one has its turn.
            let answer = answer.and_then(|answer| Ok(visit.answer(answer, charge)?));
            drop(turn);
            // The client may be gone.
            let _ = sender.send(answer);
        });
        receiver.await.unwrap_or(Err(Refusal::Panicked))
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) -> Refusal {
        self.metrics.request_rejected();
        if refusal == Refusal::OutOfMemory {
            self.metrics.shed(Shed::Request);
        }
        tracing::debug!(status = refusal.status().as_u16(), reason = refusal.to_string().as_str(), "request refused");
        refusal
    }

    fn answer_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        // Nothing of `self` is left half-changed by a panic: counters are atomic, the policy is read only.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let active = self.active.load();
            let context = Context { policy: &active.policy, facts: Facts::NONE, options: self.options };
            let answer = (self.answer)(context, bytes)?;
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

/// Counts one admission for as long as it lives.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
