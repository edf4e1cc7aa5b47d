//! What a decision depends on, and how it is made of that.

use std::ops::ControlFlow::{self, Break, Continue};

use super::answer::Options;
use super::bounds::MAX_REFERENCE_BYTES;
use super::decision::Decision;
use super::image::ImageRef;
use super::policy::{Policy, Previous, Question, Search};
use super::reason::Reason;
use super::rule::{Mode, Rewritten};

/// What is known of the world outside when a request is answered. It is collected elsewhere and does not change while it is
/// used. Nothing is known yet: every cache counts as up.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Facts {}

impl Facts {
    pub const NONE: &'static Self = &Self {};
}

/// All that a decision depends on beside what is asked.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    pub policy: &'c Policy,
    pub facts: &'c Facts,
    pub options: Options,
}

impl<'c> Context<'c> {
    /// Rules alone: without facts, and with the default options.
    pub fn of(policy: &'c Policy) -> Self {
        Self { policy, facts: Facts::NONE, options: Options::default() }
    }

    pub fn decide(self, question: Question) -> Decision<'c> {
        match self.before_rules(&question) {
            Continue(image) => self.route(&image, question.namespace),
            Break(decision) => decision,
        }
    }

    /// Decides what needs no rule; else the image that the rules are to decide about.
    fn before_rules<'q>(self, question: &Question<'q>) -> ControlFlow<Decision<'c>, ImageRef<'q>> {
        let Question { image: written, namespace, pull_never, previous } = *question;
        let keep = |reason| Break(Decision::keep(reason));
        if matches!(written, "" | "auto") {
            return keep(Reason::Placeholder);
        }
        if previous.is_some_and(|previous| previous.image == written) {
            return keep(Reason::Unchanged);
        }
        if written.len() > MAX_REFERENCE_BYTES {
            return keep(Reason::Invalid);
        }
        let Ok(image) = ImageRef::parse(written) else { return keep(Reason::Invalid) };
        if let Some(Previous { image: previous, immutable: true }) = previous
            && let Some(decision) = self.restore(&image, previous, namespace)
        {
            return Break(decision);
        }
        if pull_never { keep(Reason::PullNever) } else { Continue(image) }
    }

    fn route(self, image: &ImageRef, namespace: &str) -> Decision<'c> {
        if self.policy.is_cached(image.canonical()) {
            return Decision::keep(Reason::AlreadyCached);
        }
        let keep = |reason, rule| Decision::Keep { reason, rule: Some(rule) };
        let (rule, rewritten) = match self.policy.search(image, namespace) {
            Search::Match { rule, rewritten } => (rule, rewritten),
            Search::Excepted { rule } => return keep(Reason::Excepted, rule),
            Search::OutsideNamespace { rule } => return keep(Reason::NamespaceExcluded, rule),
            Search::None => return Decision::keep(Reason::NoRule),
        };
        let result = [&rewritten.name, image.suffix()].concat();
        if !self.is_valid_result(&result, namespace) {
            keep(Reason::ResultInvalid, rule)
        } else if rule.mode == Mode::Observe {
            keep(Reason::Observed, rule)
        } else {
            Decision::Rewrite { rule, result }
        }
    }

    /// Short enough for every client, on a host that it names, and unchanged when it is decided again.
    fn is_valid_result(self, result: &str, namespace: &str) -> bool {
        ImageRef::parse(result).is_ok_and(|image| {
            image.written_name_bytes() <= MAX_NAME_BYTES
                && image.host_is_written()
                && (self.policy.is_cached(image.canonical()) || !self.policy.search(&image, namespace).is_match())
        })
    }

    /// The old value of a place that can't be changed, if it is what the new one was rewritten to.
    ///
    /// The rules may have changed since. So neither mode nor namespaces nor exceptions count here; and where no rule gives
    /// the old value itself, one that is under some `to` and ends in the same path will do. An old value under no `to` of
    /// today counts if a rule sends the new one elsewhere and none would send the old one: then the cache has moved.
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

/// Whether the last components of a path are these; none are no evidence.
fn ends_in(path: &str, tail: &str) -> bool {
    !tail.is_empty() && path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// Host, slash and path together, as several clients limit them.
const MAX_NAME_BYTES: usize = 255;
