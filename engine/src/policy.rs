//! The rules as one value that decides about images.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::bounds::MAX_REFERENCE_BYTES;
use super::decision::{Decision, Reason};
use super::image::ImageRef;
use super::rule::{Fit, Matcher, Mode, Rewritten, Rule};

/// Checked rules, indexed so that a decision costs the same for one `from` as for thousands.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    settings: Settings,
    prefixes: HashMap<String, PrefixUse>,
    /// Bytes of the longest of them.
    longest_prefix: usize,
    /// Rules with a pattern, in file order.
    pattern_rules: Vec<usize>,
}

/// What a rules file says beside its rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether a Pod's or namespace's label may switch rewriting off.
    pub allow_opt_out: bool,
    /// Whether a Pod gets an annotation with its references as written.
    pub record_originals: bool,
    pub when_not_understood: WhenNotUnderstood,
}

/// What becomes of a Pod that can't be understood, on CREATE, and on UPDATE where an image may have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenNotUnderstood {
    /// It is admitted unchanged.
    #[default]
    Allow,
    /// It is denied: the only denial there is.
    Deny,
}

/// What a canonical prefix is to the rules.
#[derive(Debug, Default)]
struct PrefixUse {
    is_target: bool,
    /// The rules that have it in `from`, in file order.
    sources: Vec<usize>,
}

/// One image and what of its surroundings counts.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    pub image: &'q str,
    pub namespace: &'q str,
    /// `imagePullPolicy: Never`.
    pub pull_never: bool,
    /// What stood at the same place before an update.
    pub previous: Option<Previous<'q>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Previous<'q> {
    pub image: &'q str,
    /// The API server refuses another image at this place.
    pub immutable: bool,
}

/// What of a Pod counts for all its images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PodState {
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// It is the API server's shadow of a static Pod.
    pub mirror: bool,
    /// Its label says that it is not to be rewritten.
    pub opted_out: bool,
}

/// How far a rule came.
#[derive(Debug)]
pub struct Tried<'p> {
    pub rule: &'p Rule,
    pub fit: Fit<'p, ()>,
}

impl Policy {
    pub fn new(rules: Vec<Rule>, settings: Settings) -> Self {
        let mut prefixes: HashMap<String, PrefixUse> = HashMap::new();
        let mut pattern_rules = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match &rule.matcher {
                Matcher::From { from, to } => {
                    prefixes.entry(to.canonical().to_owned()).or_default().is_target = true;
                    for source in from.iter() {
                        prefixes.entry(source.canonical().to_owned()).or_default().sources.push(index);
                    }
                }
                Matcher::Pattern { .. } => pattern_rules.push(index),
            }
        }
        let longest_prefix = prefixes.keys().map(String::len).max().unwrap_or_default();
        Self { rules, settings, prefixes, longest_prefix, pattern_rules }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Why nothing of a Pod is rewritten.
    pub fn keeps_all(&self, state: PodState) -> Option<Reason> {
        let PodState { deleting, mirror, opted_out } = state;
        match () {
            () if deleting => Some(Reason::Deleting),
            () if mirror => Some(Reason::MirrorPod),
            () if opted_out && self.settings.allow_opt_out => Some(Reason::OptedOut),
            () => None,
        }
    }

    pub fn decide(&self, question: Question) -> Decision<'_> {
        match self.before_rules(&question) {
            Ok(image) => self.route(&image, question.namespace),
            Err(decision) => decision,
        }
    }

    /// Every rule that was tried for an image, up to the one that ended the search; none where the decision fell before.
    pub fn tried<'p>(&'p self, image: &ImageRef, namespace: &str) -> Vec<Tried<'p>> {
        let mut tried = Vec::new();
        if self.is_cached(image.canonical()) {
            return tried;
        }
        for rule in &self.rules {
            let fit = rule.fit(image, namespace);
            let is_last = matches!(fit, Fit::Excepted { .. } | Fit::Match(_));
            tried.push(Tried { rule, fit: fit.map(drop) });
            if is_last {
                break;
            }
        }
        tried
    }

    /// All that is decided without asking what the rules make of the image.
    fn before_rules<'q>(&self, question: &Question<'q>) -> Result<ImageRef<'q>, Decision<'_>> {
        if matches!(question.image, "" | "auto") {
            return Err(Decision::keep(Reason::Placeholder));
        }
        if question.previous.is_some_and(|previous| previous.image == question.image) {
            return Err(Decision::keep(Reason::Unchanged));
        }
        if question.image.len() > MAX_REFERENCE_BYTES {
            return Err(Decision::keep(Reason::Invalid));
        }
        let image = ImageRef::parse(question.image).map_err(|_| Decision::keep(Reason::Invalid))?;
        if let Some(Previous { image: previous, immutable: true }) = question.previous
            && let Some(decision) = self.restore(&image, previous, question.namespace)
        {
            return Err(decision);
        }
        if question.pull_never { Err(Decision::keep(Reason::PullNever)) } else { Ok(image) }
    }

    fn route(&self, image: &ImageRef, namespace: &str) -> Decision<'_> {
        if self.is_cached(image.canonical()) {
            return Decision::keep(Reason::AlreadyCached);
        }
        let (rule, rewritten) = match self.search(image, namespace) {
            Ok(found) => found,
            Err(decision) => return decision,
        };
        let result = [&rewritten.name, image.suffix()].concat();
        let reason = if !self.is_valid_result(&result, namespace) {
            Reason::ResultInvalid
        } else if rule.mode == Mode::Observe {
            Reason::Observed
        } else {
            return Decision::Rewrite { rule, result };
        };
        Decision::Keep { reason, rule: Some(rule) }
    }

    /// Whether a canonical name is under some rule's `to`.
    fn is_cached(&self, name: &str) -> bool {
        self.uses_above(name).any(|used| used.is_target)
            || self.pattern_rules.iter().any(|&index| self.rules[index].matcher.is_above(name))
    }

    /// What the prefixes at and above a canonical name are to the rules.
    fn uses_above(&self, name: &str) -> impl Iterator<Item = &PrefixUse> {
        let above = boundaries(name).take_while(|prefix| prefix.len() <= self.longest_prefix);
        above.filter_map(|prefix| self.prefixes.get(prefix))
    }

    /// The rules that may match a canonical name, in file order.
    fn candidates(&self, name: &str) -> impl Iterator<Item = &Rule> {
        let sources = self.uses_above(name).flat_map(|used| &used.sources);
        let mut candidates: SmallVec<[usize; 8]> = sources.chain(&self.pattern_rules).copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().map(|index| &self.rules[index])
    }

    /// The first rule in file order that matches, or why there is none.
    fn search<'n>(&self, image: &'n ImageRef, namespace: &str) -> Result<(&Rule, Rewritten<'n>), Decision<'_>> {
        let mut outside_namespace = None;
        for rule in self.candidates(image.canonical()) {
            match rule.fit(image, namespace) {
                Fit::NoMatch => {}
                Fit::NotInNamespace => outside_namespace = outside_namespace.or(Some(rule)),
                Fit::Excepted { .. } => return Err(Decision::Keep { reason: Reason::Excepted, rule: Some(rule) }),
                Fit::Match(rewritten) => return Ok((rule, rewritten)),
            }
        }
        Err(match outside_namespace {
            Some(rule) => Decision::Keep { reason: Reason::NamespaceExcluded, rule: Some(rule) },
            None => Decision::keep(Reason::NoRule),
        })
    }

    /// Short enough for every client, on a host that it names, and left alone when it comes round again.
    fn is_valid_result(&self, result: &str, namespace: &str) -> bool {
        ImageRef::parse(result).is_ok_and(|image| {
            image.written_name_bytes() <= MAX_NAME_BYTES
                && image.host_is_written()
                && (self.is_cached(image.canonical()) || self.search(&image, namespace).is_err())
        })
    }

    /// The old value of a place that can't be changed, if it is what the new one was rewritten to.
    ///
    /// The rules may have changed since. So neither mode nor namespaces nor exceptions count here; and where no rule gives
    /// the old value itself, one that is under some `to` and ends in the same path will do. An old value under no `to` of
    /// today counts if a rule sends the new one elsewhere and none would send the old one: then the cache has moved.
    fn restore(&self, image: &ImageRef, previous: &str, namespace: &str) -> Option<Decision<'_>> {
        let old = ImageRef::parse(previous).ok().filter(|old| old.suffix() == image.suffix())?;
        let (mut given_by_a_rule, mut same_path) = (false, ends_in(old.repository(), image.repository()));
        for found in self.candidates(image.canonical()).filter_map(|rule| rule.matcher.find(image)) {
            let Rewritten { name, tail } = found.rewritten();
            given_by_a_rule |= previous.strip_suffix(old.suffix()) == Some(&name);
            same_path |= ends_in(old.repository(), tail);
        }
        let moved = || {
            old.host_is_written()
                && self.search(image, namespace).is_ok_and(|(rule, _)| rule.mode == Mode::Enforce)
                && self.search(&old, namespace).is_err()
        };
        let restored = given_by_a_rule || (same_path && (self.is_cached(old.canonical()) || moved()));
        restored.then(|| Decision::Restore { result: previous.to_owned() })
    }
}

/// Whether the last components of a path are these; none are no evidence.
fn ends_in(path: &str, tail: &str) -> bool {
    !tail.is_empty() && path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// Host, slash and path together, as several clients limit them.
const MAX_NAME_BYTES: usize = 255;

/// A name's prefixes that end where a component ends, the whole last.
pub fn boundaries(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.match_indices('/').map(|(slash, _)| &name[..slash]).chain(std::iter::once(name))
}
