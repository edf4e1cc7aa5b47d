//! Decides about an image from the rules, the facts and the options.

use std::ops::ControlFlow::{self, Break, Continue};

use super::bounds::MAX_REFERENCE_BYTES;
use super::decision::Decision;
use super::image::ImageRef;
use super::policy::{Policy, Previous, Question, Search};
use super::reason::Reason;
use super::rule::{Mode, Rewritten};

/// Facts about caches at the time of a request. They are collected elsewhere, and do not change while they are used. There
/// are none yet: every cache counts as up.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Facts {}

impl Facts {
    pub const NONE: &'static Self = &Self {};
}

/// Options of the operator for answers, beside the rules.
#[derive(Debug, Clone, Copy)]
pub struct AnswerOptions {
    /// Whether `kubectl` shows warnings about images that are rewritten.
    pub warnings: bool,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self { warnings: true }
    }
}

/// All that a decision depends on, beside the question.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    pub policy: &'c Policy,
    pub facts: &'c Facts,
    pub options: AnswerOptions,
}

impl<'c> Context<'c> {
    /// Returns a context of rules alone, with the default options and without facts.
    pub fn of(policy: &'c Policy) -> Self {
        Self { policy, facts: Facts::NONE, options: AnswerOptions::default() }
    }

    /// Decides about one image.
    pub fn decide(self, question: Question) -> Decision<'c> {
        match self.before_rules(&question) {
            Continue(image) => self.route(&image, question.namespace),
            Break(decision) => decision,
        }
    }

    /// Decides without the rules if possible; otherwise returns the parsed image.
    fn before_rules<'q>(self, question: &Question<'q>) -> ControlFlow<Decision<'c>, ImageRef<'q>> {
        let Question { image: written, namespace, pull_never, previous } = *question;
        let not_rewritten = |reason| Break(Decision::not_rewritten(reason));
        if is_placeholder(written) {
            return not_rewritten(Reason::Placeholder);
        }
        if previous.is_some_and(|previous| previous.image == written) {
            return not_rewritten(Reason::Unchanged);
        }
        if written.len() > MAX_REFERENCE_BYTES {
            return not_rewritten(Reason::Invalid);
        }
        let Ok(image) = ImageRef::parse(written) else { return not_rewritten(Reason::Invalid) };
        if let Some(Previous { image: previous, immutable: true }) = previous
            && let Some(decision) = self.restore(&image, previous, namespace)
        {
            return Break(decision);
        }
        if pull_never { not_rewritten(Reason::PullNever) } else { Continue(image) }
    }

    fn route(self, image: &ImageRef, namespace: &str) -> Decision<'c> {
        if self.policy.is_cached(image.canonical()) {
            return Decision::not_rewritten(Reason::AlreadyCached);
        }
        let not_rewritten = |reason, rule| Decision::NotRewritten { reason, rule: Some(rule), would_be: None };
        let (rule, rewritten) = match self.policy.search(image, namespace) {
            Search::Match { rule, rewritten } => (rule, rewritten),
            Search::Excepted { rule } => return not_rewritten(Reason::Excepted, rule),
            Search::OutsideNamespace { rule } => return not_rewritten(Reason::NamespaceExcluded, rule),
            Search::None => return Decision::not_rewritten(Reason::NoRule),
        };
        let result = [&rewritten.name, image.suffix()].concat();
        if !self.is_valid_result(&result, namespace) {
            not_rewritten(Reason::ResultInvalid, rule)
        } else if rule.mode == Mode::Observe {
            Decision::NotRewritten { reason: Reason::Observed, rule: Some(rule), would_be: Some(result) }
        } else {
            Decision::Rewrite { rule, result }
        }
    }

    /// Returns whether a result is short enough for every client, names its host, and is unchanged when decided again.
    fn is_valid_result(self, result: &str, namespace: &str) -> bool {
        ImageRef::parse(result).is_ok_and(|image| {
            image.written_name_bytes() <= MAX_NAME_BYTES
                && image.host_is_written()
                && (self.policy.is_cached(image.canonical()) || !self.policy.search(&image, namespace).is_match())
        })
    }

    /// Returns the old value of an immutable place, if the new value was rewritten to it.
    ///
    /// The rules may have changed since. So mode, namespaces and exceptions are ignored. If no rule gives the old value, an
    /// old value under some `to` with the same end of the path is enough. An old value under no current `to` counts if a
    /// rule rewrites the new value and none the old one: then the cache has moved.
    fn restore(self, image: &ImageRef, previous: &str, namespace: &str) -> Option<Decision<'c>> {
        let old = ImageRef::parse(previous).ok().filter(|old| old.suffix() == image.suffix())?;
        let (mut given_by_a_rule, mut same_path) = (false, ends_in(old.repository(), image.repository()));
        for found in self.policy.candidates(image.canonical()).filter_map(|rule| rule.matcher.find(image)) {
            let Rewritten { name, tail } = found.rewritten();
            given_by_a_rule |= previous.strip_suffix(old.suffix()) == Some(&name);
            same_path |= ends_in(old.repository(), tail);
        }
        let moved = || {
            old.host_is_written()
                && matches!(self.policy.search(image, namespace), Search::Match { rule, .. } if rule.mode == Mode::Enforce)
                && !self.policy.search(&old, namespace).is_match()
        };
        let restored = given_by_a_rule || (same_path && (self.policy.is_cached(old.canonical()) || moved()));
        restored.then(|| Decision::Restore { result: previous.to_owned() })
    }
}

impl Policy {
    /// Decides without facts, as if every cache were up.
    pub fn decide(&self, question: Question) -> Decision<'_> {
        Context::of(self).decide(question)
    }
}

/// Returns whether another component sets the image: it is empty, or Istio's `auto`.
pub fn is_placeholder(image: &str) -> bool {
    matches!(image, "" | "auto")
}

/// Returns whether a path ends in these components; an empty tail never counts.
fn ends_in(path: &str, tail: &str) -> bool {
    !tail.is_empty() && path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// Bytes of host, slash and path together, the limit of several clients.
const MAX_NAME_BYTES: usize = 255;
