//! The rules, indexed for decisions about images.

use smallvec::SmallVec;

use super::cache::Cache;
use super::hashing::ByName;
use super::image::ImageRef;
use super::operators::Operators;
use super::percent::Percent;
use super::prefix::{boundaries, prefix_of_start};
use super::reason::Reason;
use super::rule::{Fit, Found, Matcher, Rule};
use super::siblings::Siblings;

/// Checked rules, indexed so that a decision takes the same time for one `from` as for thousands.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    settings: Settings,
    prefixes: ByName<PrefixUse>,
    /// Bytes of the longest of them.
    longest_prefix: usize,
    /// How the rules use names of any host: those with a pattern whose host is not known.
    anywhere: PrefixUse,
    pub(super) siblings: Siblings,
    has_rollouts: bool,
}

/// The settings of a rules file, beside its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether a Pod's or namespace's label may disable rewriting.
    pub allow_opt_out: bool,
    /// Whether a Pod gets an annotation with its references as written.
    pub record_originals: bool,
    pub when_not_understood: WhenNotUnderstood,
    /// What is known of the registries in `to` and `failover`.
    pub caches: Vec<Cache>,
    pub operators: Operators,
}

/// The answer for a Pod that can't be understood, on CREATE, and on UPDATE if an image may have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenNotUnderstood {
    /// The Pod is admitted unchanged.
    #[default]
    Allow,
    /// The Pod is denied. No other request is ever denied.
    Deny,
}

/// How the rules use a canonical prefix, and the names below it.
#[derive(Debug, Default)]
struct PrefixUse {
    /// Whether it is the `to` or a failover of a rule with `from`.
    is_target: bool,
    /// The rules that have it in `from`, and those with a pattern that may match names below it, in file order.
    sources: Vec<usize>,
    /// The rules with a pattern that may give names below it, in file order.
    templates: Vec<usize>,
}

impl PrefixUse {
    /// Adds a rule to a list, once.
    fn add(rules: &mut Vec<usize>, rule: usize) {
        if rules.last() != Some(&rule) {
            rules.push(rule);
        }
    }
}

/// One image, and the context that a decision needs.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    pub image: &'q str,
    pub namespace: &'q str,
    /// `imagePullPolicy: Never`.
    pub pull_never: bool,
    /// The image at the same place before an update.
    pub previous: Option<Previous<'q>>,
    /// The percentage from which roll-outs include the Pod's workload. `None` if the workload is not known.
    pub included_from: Option<Percent>,
}

/// An image before an update.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'q> {
    pub image: &'q str,
    /// Whether the API server rejects another image at this place.
    pub immutable: bool,
}

/// The state of a Pod that applies to all its images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PodState {
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// It is a mirror Pod: it represents a static Pod in the API server.
    pub mirror: bool,
    /// Its label disables rewriting.
    pub opted_out: bool,
    /// An operator that compares images creates it, or its workload stands down.
    pub operator_managed: bool,
}

/// The result of a search among the rules.
pub(super) enum Search<'p, 'n> {
    None,
    /// A rule matches, but not in this namespace, and no other does.
    OutsideNamespace {
        rule: &'p Rule,
    },
    Excepted {
        rule: &'p Rule,
    },
    Match {
        rule: &'p Rule,
        found: Found<'p, 'n>,
    },
}

impl Search<'_, '_> {
    pub fn is_match(&self) -> bool {
        matches!(self, Self::Match { .. })
    }
}

/// A rule, and how far it matched an image.
#[derive(Debug)]
pub struct Tried<'p> {
    pub rule: &'p Rule,
    pub fit: Fit<'p, ()>,
}

impl Policy {
    /// Indexes rules.
    pub fn new(rules: Vec<Rule>, settings: Settings) -> Self {
        let mut prefixes: ByName<PrefixUse> = ByName::default();
        let mut anywhere = PrefixUse::default();
        for (index, rule) in rules.iter().enumerate() {
            match &rule.matcher {
                Matcher::From { from, to, failover } => {
                    for target in [to].into_iter().chain(failover) {
                        prefixes.entry(target.canonical().into()).or_default().is_target = true;
                    }
                    for source in from.iter() {
                        PrefixUse::add(&mut prefixes.entry(source.canonical().into()).or_default().sources, index);
                    }
                }
                Matcher::Pattern { pattern, to, failover } => {
                    let mut with = |start: &str, add: &dyn Fn(&mut PrefixUse)| match prefix_of_start(start) {
                        Some(prefix) => add(prefixes.entry(prefix.into()).or_default()),
                        None => add(&mut anywhere),
                    };
                    let starts = match pattern.starts() {
                        [] => vec![""],
                        starts => starts.iter().map(|start| start.text.as_str()).collect(),
                    };
                    for start in starts {
                        with(start, &|used| PrefixUse::add(&mut used.sources, index));
                    }
                    for template in [to].into_iter().chain(failover) {
                        with(template.literal_start(), &|used| PrefixUse::add(&mut used.templates, index));
                    }
                }
            }
        }
        let longest_prefix = prefixes.keys().map(|name| name.len()).max().unwrap_or_default();
        let siblings = Siblings::new(&rules);
        let has_rollouts = !rules.iter().all(Rule::is_rolled_out);
        Self { rules, settings, prefixes, longest_prefix, anywhere, siblings, has_rollouts }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns whether a decision may depend on the workload of a Pod.
    pub fn has_rollouts(&self) -> bool {
        self.has_rollouts
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns why no image of a Pod is rewritten; `None` if the rules decide about each.
    pub fn reason_for_all(&self, state: PodState) -> Option<Reason> {
        let PodState { deleting, mirror, opted_out, operator_managed } = state;
        match () {
            () if deleting => Some(Reason::Deleting),
            () if mirror => Some(Reason::MirrorPod),
            () if opted_out && self.settings.allow_opt_out => Some(Reason::OptedOut),
            () if operator_managed => Some(Reason::OperatorManaged),
            () => None,
        }
    }

    /// Returns every rule that is tried for an image, up to the one that ends the search; none if the rules do not decide.
    pub fn tried<'p>(&'p self, image: &ImageRef, namespace: &str) -> Vec<Tried<'p>> {
        let mut tried: Vec<Tried> = Vec::new();
        if self.is_cached(image.canonical()) {
            return tried;
        }
        // Rules that are not candidates do not match.
        let no_match = |rule| Tried { rule, fit: Fit::NoMatch };
        let search = self.walk(image, namespace, |index, fit| {
            tried.extend(self.rules[tried.len()..index].iter().map(no_match));
            tried.push(Tried { rule: &self.rules[index], fit });
        });
        if let Search::None | Search::OutsideNamespace { .. } = search {
            tried.extend(self.rules[tried.len()..].iter().map(no_match));
        }
        tried
    }

    /// Tries the rules in file order, and reports the index and fit of each candidate to the observer.
    pub(super) fn walk<'p, 'n>(
        &'p self,
        image: &'n ImageRef,
        namespace: &str,
        mut observe: impl FnMut(usize, Fit<'p, ()>),
    ) -> Search<'p, 'n> {
        let mut outside_namespace = None;
        for index in self.candidate_indexes(image.canonical()) {
            let rule = &self.rules[index];
            let fit = rule.fit(image, namespace);
            observe(index, fit.without_result());
            match fit {
                Fit::NoMatch => {}
                Fit::NotInNamespace => outside_namespace = outside_namespace.or(Some(rule)),
                Fit::Excepted { .. } => return Search::Excepted { rule },
                Fit::Match(found) => return Search::Match { rule, found },
            }
        }
        match outside_namespace {
            Some(rule) => Search::OutsideNamespace { rule },
            None => Search::None,
        }
    }

    /// Tries the rules in file order.
    pub(super) fn search<'n>(&self, image: &'n ImageRef, namespace: &str) -> Search<'_, 'n> {
        self.walk(image, namespace, |_, _| {})
    }

    /// Returns whether a canonical name is under the `to` or a failover of some rule.
    pub(super) fn is_cached(&self, name: &str) -> bool {
        self.uses_above(name)
            .any(|used| used.is_target || used.templates.iter().any(|&index| self.rules[index].matcher.is_above(name)))
    }

    /// Returns how the rules use names of any host, and the prefixes at and above a canonical name.
    fn uses_above(&self, name: &str) -> impl Iterator<Item = &PrefixUse> {
        let above = boundaries(name).take_while(|prefix| prefix.len() <= self.longest_prefix);
        std::iter::once(&self.anywhere).chain(above.filter_map(|prefix| self.prefixes.get(prefix)))
    }

    /// Returns the rules that may match a canonical name, in file order.
    pub(super) fn candidates(&self, name: &str) -> impl Iterator<Item = &Rule> {
        self.candidate_indexes(name).into_iter().map(|index| &self.rules[index])
    }

    fn candidate_indexes(&self, name: &str) -> SmallVec<[usize; 8]> {
        let mut candidates: SmallVec<[usize; 8]> =
            self.uses_above(name).flat_map(|used| &used.sources).copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}
