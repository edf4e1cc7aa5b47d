//! Answers one admission request: body in, AdmissionReview out. Counts and logs it.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::Bytes;
use tokio::sync::oneshot;

use super::body::{self, RequestBody};
use super::existence::{Existence, Question};
use super::ledger::{Charge, Phase, Purpose};
use super::limits::{LARGE_BODY_BYTES, Limits};
use super::log;
use super::metrics::{Metrics, RecreateLoops, RuleCounters, Shed};
use super::operators::OperatorWatch;
use super::progress::Visit;
use super::rejection::Rejection;
use super::turns::Turns;
use crate::engine::{
    self, Answer, AnswerOptions, CacheState, Context, Decision, Facts, ImageDecision, Policy, Prefix, Summary,
    Unreadable,
};

/// The function that answers: [`crate::engine::answer`]. Tests pass others, such as one that panics.
pub type AnswerFn = for<'a> fn(Context<'a>, &'a [u8]) -> Result<Answer<'a>, Unreadable>;

/// A policy and the hash of its rules file.
#[derive(Debug)]
pub struct NamedPolicy {
    /// The checked rules.
    pub policy: Policy,
    /// The first 16 hexadecimal digits of the SHA-256 of the rules' text.
    pub hash: String,
}

/// The loaded policy with its counters.
#[derive(Debug)]
struct Active {
    policy: Policy,
    counters: RuleCounters,
    /// Whether a rule has `checkExists`.
    checks_existence: bool,
}

impl Active {
    fn new(policy: Policy, counters: RuleCounters) -> Self {
        let checks_existence = policy.rules().iter().any(|rule| rule.check_exists.is_some());
        Self { policy, counters, checks_existence }
    }
}

/// State that all admissions share.
#[derive(Debug)]
pub struct Admission {
    answer: AnswerFn,
    options: AnswerOptions,
    active: ArcSwap<Active>,
    facts: ArcSwap<Facts>,
    existence: Arc<dyn Existence>,
    operators: OperatorWatch,
    metrics: Arc<Metrics>,
    limits: Limits,
    in_flight: AtomicUsize,
    large: Large,
}

/// The threads that read large bodies, so that other requests don't wait for them.
#[derive(Debug)]
struct Large {
    turns: Arc<Turns>,
    threads: rayon::ThreadPool,
}

/// Niceness added to the threads that read large bodies. With one processor, the rest of the program still gets most of it.
const LARGE_NICENESS: i32 = 10;

impl Large {
    /// Starts a thread for each processor but one.
    fn start(processors: usize) -> io::Result<Large> {
        let threads = (processors - 1).max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|_| "large-reviews".to_owned())
            .start_handler(|_| {
                // On Linux it applies to this thread alone. If it fails, large bodies are read with normal priority.
                let _ = rustix::process::nice(LARGE_NICENESS);
            })
            .build();
        Ok(Large { turns: Turns::new(threads), threads: pool.map_err(io::Error::other)? })
    }
}

impl Admission {
    /// Creates the state for admissions that `answer` decides with `rules`, in one of this many replicas.
    ///
    /// # Errors
    ///
    /// Fails if the system can't start threads.
    pub fn new(
        answer: AnswerFn,
        rules: NamedPolicy,
        options: AnswerOptions,
        limits: Limits,
        metrics: Arc<Metrics>,
        existence: Arc<dyn Existence>,
        replicas: NonZeroUsize,
    ) -> io::Result<Arc<Admission>> {
        let counters = metrics.rules_loaded(rules.policy.rules(), rules.hash, None);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Admission {
            answer,
            options,
            active: ArcSwap::from_pointee(Active::new(rules.policy, counters)),
            facts: ArcSwap::default(),
            existence,
            operators: OperatorWatch::new(replicas),
            metrics,
            limits,
            in_flight: AtomicUsize::new(0),
            large: Large::start(processors)?,
        }))
    }

    /// Replaces the rules for new admissions. Admissions in progress keep the old ones. No workload stands down any longer.
    pub fn set_rules(&self, rules: NamedPolicy) {
        let before = self.active.load();
        let counters = self.metrics.rules_loaded(rules.policy.rules(), rules.hash, Some(&before.counters));
        self.active.store(Arc::new(Active::new(rules.policy, counters)));
        self.operators.clear();
        self.facts.rcu(|facts| Facts::clone(facts).with_standing_down(BTreeSet::new()));
    }

    /// Replaces the states of registries for new admissions.
    pub fn set_states(&self, states: impl IntoIterator<Item = (Prefix, CacheState)>) {
        let new = Facts::of_states(states);
        self.facts.rcu(|facts| new.clone().with_standing_down(facts.standing_down().clone()));
    }

    /// Returns the numbers of workloads with recreate loops.
    pub fn recreate_loops(&self) -> RecreateLoops {
        RecreateLoops { looping: self.operators.loops(), standing_down: self.facts.load().standing_down().len() }
    }

    /// Returns the limits of a request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the number of admissions in progress.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Reads the body and answers it. Counts rejected requests.
    pub async fn answer(self: &Arc<Admission>, body: &mut impl RequestBody, visit: &Visit) -> Result<Bytes, Rejection> {
        let started = Instant::now();
        let _in_flight = InFlight::new(&self.in_flight);
        let answer = self.read_and_answer(body, visit).await;
        self.metrics.duration(started.elapsed());
        answer.map_err(|rejection| self.refused(rejection))
    }

    async fn read_and_answer(
        self: &Arc<Admission>,
        body: &mut impl RequestBody,
        visit: &Visit,
    ) -> Result<Bytes, Rejection> {
        let mut charge = visit.account().charge(0)?;
        let bytes = body::read(body, &self.limits, visit, &mut charge).await?;
        let active = self.active.load_full();
        if bytes.len() > LARGE_BODY_BYTES {
            // In a box, so that the future of an ordinary request is small.
            return Box::pin(self.answer_large(active, bytes, visit, charge)).await;
        }
        let facts = if active.checks_existence {
            Box::pin(self.with_answers(self.questions(&active, &bytes))).await
        } else {
            self.facts.load_full()
        };
        Ok(visit.answer(self.answer_bytes(&active, &facts, &bytes)?, charge)?)
    }

    async fn answer_large(
        self: &Arc<Admission>,
        active: Arc<Active>,
        bytes: Bytes,
        visit: &Visit,
        mut charge: Charge,
    ) -> Result<Bytes, Rejection> {
        charge.set_phase(Phase::Whole);
        let turn = Arc::clone(&self.large.turns).take(Arc::clone(visit.account())).await;
        charge.grow_in_turn(engine::memory_bytes(&bytes), Purpose::Work).await?;
        charge.set_phase(Phase::AtWork);
        let facts = if active.checks_existence {
            let (admission, active, bytes) = (Arc::clone(self), Arc::clone(&active), bytes.clone());
            let questions = self.in_large_thread(move || admission.questions(&active, &bytes)).await?;
            self.with_answers(questions).await
        } else {
            self.facts.load_full()
        };
        let (admission, visit) = (Arc::clone(self), visit.clone());
        self.in_large_thread(move || {
            let answer = admission.answer_bytes(&active, &facts, &bytes);
            drop(bytes);
            // Memory is released before the next body has its turn.
            let answer = answer.and_then(|answer| Ok(visit.answer(answer, charge)?));
            drop(turn);
            answer
        })
        .await?
    }

    /// Runs work on a large body in a thread for such bodies.
    async fn in_large_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let (sender, receiver) = oneshot::channel();
        self.large.threads.spawn(move || {
            // The client may have disconnected.
            let _ = sender.send(work());
        });
        receiver.await.map_err(|_| Rejection::Panicked)
    }

    /// Returns the images that a decision depends on if their caches do not have them. A dry run asks no cache.
    fn questions(&self, active: &Active, bytes: &[u8]) -> Vec<Question> {
        let facts = self.facts.load();
        let context = Context { policy: &active.policy, facts: &facts, options: self.options };
        // What goes wrong here goes wrong again in the answer, and is reported there.
        let answer = catch_unwind(AssertUnwindSafe(|| (self.answer)(context, bytes)));
        let Ok(Ok(Answer { summary, .. })) = answer else { return Vec::new() };
        if summary.dry_run {
            return Vec::new();
        }
        let question = |image: &ImageDecision| match &image.decision {
            Decision::Rewrite { rule, result, .. } => {
                Some(Question { image: result.clone(), deadline: rule.check_exists?.deadline })
            }
            Decision::Restore { .. } | Decision::NotRewritten { .. } => None,
        };
        summary.images.iter().filter_map(question).collect()
    }

    async fn with_answers(&self, questions: Vec<Question>) -> Arc<Facts> {
        let facts = self.facts.load_full();
        if questions.is_empty() {
            return facts;
        }
        let missing = Arc::clone(&self.existence).missing(questions).await;
        if missing.is_empty() { facts } else { Arc::new(Facts::clone(&facts).with_missing(missing)) }
    }

    /// Counts the Pods of operators that compare images. If a workload is to stand down, the facts say so from now on.
    fn note_operator(&self, active: &Active, summary: &Summary<'_>) {
        let on_loop = active.policy.settings().operators.on_recreate_loop;
        let standing_down = self.facts.load().standing_down().len();
        if let Some(owner) = self.operators.note(summary, on_loop, standing_down, &self.metrics) {
            self.facts.rcu(|facts| {
                let owners = facts.standing_down().iter().cloned().chain([owner.clone()]);
                Facts::clone(facts).with_standing_down(owners.collect())
            });
        }
    }

    /// Counts and logs a rejected request.
    pub fn refused(&self, rejection: Rejection) -> Rejection {
        self.metrics.request_rejected();
        if rejection == Rejection::OutOfMemory {
            self.metrics.shed(Shed::Request);
        }
        tracing::debug!(
            status = rejection.status().as_u16(),
            reason = rejection.to_string().as_str(),
            "request rejected"
        );
        rejection
    }

    fn answer_bytes(&self, active: &Active, facts: &Facts, bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
        // A panic leaves `self` consistent: counters are atomic, and the policy is read-only.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let context = Context { policy: &active.policy, facts, options: self.options };
            let answer = (self.answer)(context, bytes)?;
            self.metrics.admission(&active.counters, &answer.summary);
            log::admission(&answer.summary);
            self.note_operator(active, &answer.summary);
            Ok(answer.body)
        }));
        match answer {
            Ok(answer) => answer.map_err(|error: Unreadable| Rejection::Unreadable(error.to_string())),
            Err(_) => Err(Rejection::Panicked),
        }
    }
}

/// Counts one admission until it is dropped.
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
