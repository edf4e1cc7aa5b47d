//! Decides about an image from the rules, the facts and the options.

use std::ops::ControlFlow::{self, Break, Continue};

use super::bounds::MAX_REFERENCE_BYTES;
use super::decision::Decision;
use super::facts::Facts;
use super::image::ImageRef;
use super::policy::{Policy, Previous, Question, Search};
use super::reason::Reason;
use super::rule::{Found, Mode, Namespaces, Rule, WhenCacheDown};

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
            Continue(image) => self.route(&image, &question),
            Break(decision) => decision,
        }
    }

    /// Decides without the rules if possible; otherwise returns the parsed image.
    fn before_rules<'q>(self, question: &Question<'q>) -> ControlFlow<Decision<'c>, ImageRef<'q>> {
        let Question { image: written, namespace, pull_never, previous, included_from: _ } = *question;
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
            && let Some(decision) = self.restore_immutable(&image, previous, namespace)
        {
            return Break(decision);
        }
        if pull_never { not_rewritten(Reason::PullNever) } else { Continue(image) }
    }

    fn route(self, image: &ImageRef, question: &Question) -> Decision<'c> {
        let Question { image: _, namespace, pull_never: _, previous, included_from: _ } = *question;
        let old = previous.and_then(|previous| with_suffix_of(image, previous.image));
        if let Some(old) = &old
            && self.policy.siblings.are(image.canonical(), old.canonical())
        {
            return Decision::restore(old);
        }
        if self.policy.is_cached(image.canonical()) {
            return Decision::not_rewritten(Reason::AlreadyCached);
        }
        let not_rewritten = |reason, rule| Decision::NotRewritten { reason, rule: Some(rule), would_be: None };
        let (rule, found) = match self.policy.search(image, namespace) {
            Search::Match { rule, found } => (rule, found),
            Search::Excepted { rule } => return not_rewritten(Reason::Excepted, rule),
            Search::OutsideNamespace { rule } => return not_rewritten(Reason::NamespaceExcluded, rule),
            Search::None => return Decision::not_rewritten(Reason::NoRule),
        };
        match old {
            Some(old) if rule.mode == Mode::Enforce && rule.varies() && gives(&found, &old) => Decision::restore(&old),
            _ => self.apply(rule, &found, image, question),
        }
    }

    /// Returns the decision of the rule that matches.
    fn apply(self, rule: &'c Rule, found: &Found, image: &ImageRef, question: &Question) -> Decision<'c> {
        let Question { image: _, namespace, pull_never: _, previous: _, included_from } = *question;
        let Chosen { name, failover, all_are_down } = self.choose(found);
        let result = Some([&name, image.suffix()].concat()).filter(|result| self.is_valid_result(result, namespace));
        if !rule.includes(included_from) {
            return Decision::NotRewritten { reason: Reason::NotRolledOut, rule: Some(rule), would_be: result };
        }
        let Some(result) = result else {
            return Decision::NotRewritten { reason: Reason::ResultInvalid, rule: Some(rule), would_be: None };
        };
        let reason = if rule.mode == Mode::Observe {
            Reason::Observed
        } else if rule.check_exists.is_some() && self.facts.is_missing(&result) {
            Reason::NotInCache
        } else if all_are_down
            && rule.when_cache_down == WhenCacheDown::Upstream
            && !self.facts.is_down(image.canonical())
        {
            Reason::CacheDown
        } else {
            return Decision::Rewrite { rule, result, failover };
        };
        Decision::NotRewritten { reason, rule: Some(rule), would_be: Some(result) }
    }

    /// Returns the first name whose cache is not down; that of `to` if all are down.
    fn choose(self, found: &Found) -> Chosen {
        let is_down = |name: &str| {
            self.facts.knows_states() && ImageRef::parse(name).is_ok_and(|image| self.facts.is_down(image.canonical()))
        };
        match found.names().enumerate().find(|(_, name)| !is_down(name)) {
            Some((at, name)) => Chosen { name, failover: at.checked_sub(1), all_are_down: false },
            None => Chosen { name: found.name(0), failover: None, all_are_down: true },
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
    /// old value under some `to` or `failover` with the same end of the path is enough. An old value under no current one
    /// counts if a rule rewrites the new value and none the old one: then the cache has moved.
    fn restore_immutable(self, image: &ImageRef, previous: &str, namespace: &str) -> Option<Decision<'c>> {
        let old = with_suffix_of(image, previous)?;
        let (mut given_by_a_rule, mut same_path) = (false, ends_in(old.repository(), image.repository()));
        for found in self.policy.candidates(image.canonical()).filter_map(|rule| rule.matcher.find(image)) {
            given_by_a_rule |= gives(&found, &old);
            same_path |= ends_in(old.repository(), found.tail());
        }
        let moved = || {
            old.host_is_written()
                && matches!(self.policy.search(image, namespace), Search::Match { rule, .. } if rule.mode == Mode::Enforce)
                && !self.policy.search(&old, namespace).is_match()
        };
        let restored = given_by_a_rule
            || (same_path && (self.policy.is_cached(old.canonical()) || moved()))
            || self.policy.siblings.are(image.canonical(), old.canonical());
        restored.then(|| Decision::restore(&old))
    }
}

/// The name that a rule gives to an image with the present facts.
struct Chosen {
    /// Without tag and digest.
    name: String,
    failover: Option<usize>,
    all_are_down: bool,
}

/// Returns a reference if it has the same tag and digest as another one.
fn with_suffix_of<'o>(image: &ImageRef, old: &'o str) -> Option<ImageRef<'o>> {
    ImageRef::parse(old).ok().filter(|old| old.suffix() == image.suffix())
}

/// Returns whether an image has one of the names that a rule gives. Tag and digest are not compared.
fn gives(found: &Found, image: &ImageRef) -> bool {
    found.names().any(|name| ImageRef::parse(&name).is_ok_and(|name| name.canonical() == image.canonical()))
}

/// The names that a rule may give to an image.
#[derive(Debug)]
pub struct Results<'p> {
    pub rule: &'p Rule,
    /// The position of the first namespace in which the rule matches the image.
    pub position: usize,
    pub names: Vec<String>,
}

impl Policy {
    /// Returns each result that the rules may give to an image with some facts: first that of `to`, then those of the
    /// failovers. Results that are not valid are omitted. `None` if no rule matches.
    pub fn results(&self, image: &str, namespace: &str) -> Option<Vec<String>> {
        self.results_in(image, &[namespace]).pop().map(|results| results.names)
    }

    /// Returns the [`Self::results`] of each rule that matches an image in one of some namespaces, once.
    pub fn results_in<N: AsRef<str>>(&self, image: &str, namespaces: &[N]) -> Vec<Results<'_>> {
        let mut by_rule: Vec<Results> = Vec::new();
        let Some(image) = ImageRef::parse(image).ok().filter(|image| !self.is_cached(image.canonical())) else {
            return by_rule;
        };
        let distinguish = self.candidates(image.canonical()).any(|rule| rule.namespaces != Namespaces::All);
        let tried = if distinguish { namespaces.len() } else { 1 };
        let context = Context::of(self);
        for (position, namespace) in namespaces.iter().map(N::as_ref).enumerate().take(tried) {
            let Search::Match { rule, found } = self.search(&image, namespace) else { continue };
            if by_rule.iter().all(|known| !std::ptr::eq(known.rule, rule)) {
                let names = found.names().map(|name| name + image.suffix());
                let names = names.filter(|name| context.is_valid_result(name, namespace)).collect();
                by_rule.push(Results { rule, position, names });
            }
        }
        by_rule
    }

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
