//! Checks `failover` and `whenCacheDown` of rules: against the `from` of all rules, and against `health` of the caches.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::checker::Checker;
use super::places::Places;
use super::problem::Problem;
use crate::{Cache, Matcher, Prefix, Rule, WhenCacheDown, boundaries};

/// One of the names that a rule gives: its `to`, or a failover.
struct Target {
    written: String,
    /// In canonical form, with a different text for each group.
    sample: String,
    /// The start of each canonical name under it.
    start: String,
    has_groups: bool,
}

impl Checker {
    /// Checks the rules of a file, each of which is valid by itself.
    pub(super) fn failovers(&mut self, rules: &[Rule], caches: &[Cache]) {
        let places = std::mem::take(&mut self.places);
        let mut sources: HashMap<&str, &str> = HashMap::new();
        for rule in rules {
            for source in rule.matcher.sources().into_iter().flat_map(|from| from.iter()) {
                sources.entry(source.canonical()).or_insert(&rule.name);
            }
        }
        let health = Health::new(caches);
        for (rule, place) in rules.iter().zip(&places) {
            let targets = targets(rule);
            self.names(&targets, place, &sources);
            self.states(rule, &targets, place, &health);
        }
        self.places = places;
    }

    /// Adds failovers that can't be used: an upstream, and duplicates.
    fn names(&mut self, targets: &[Target], place: &Places, sources: &HashMap<&str, &str>) {
        let mut known = HashSet::new();
        for (at, target) in targets.iter().enumerate() {
            let is_new = known.insert(target.sample.as_str());
            // The first is `to`.
            let Some(span) = at.checked_sub(1).and_then(|at| place.failover.get(at)) else { continue };
            if !is_new {
                let is_to = targets.first().is_some_and(|to| to.sample == target.sample);
                let (message, fix) = if is_to {
                    (
                        format!("the failover `{}` is the `to` of the rule", target.written),
                        "name another cache, or remove it",
                    )
                } else {
                    (format!("duplicate failover `{}`", target.written), "remove one of them")
                };
                self.at(span, message, fix.to_owned());
                continue;
            }
            let above =
                boundaries(&target.sample).take_while(|above| !target.has_groups || above.len() < target.start.len());
            if let Some((source, rule)) = above.filter_map(|above| sources.get_key_value(above)).next() {
                self.at(
                    span,
                    format!("the failover `{}` is under `{source}`, which rule `{rule}` rewrites", target.written),
                    "name a cache; to pull from the upstream while caches are down, write `whenCacheDown: upstream`"
                        .to_owned(),
                );
            }
        }
    }

    /// Adds what would never act, since a cache whose health is unknown counts as up.
    fn states(&mut self, rule: &Rule, targets: &[Target], place: &Places, health: &Health) {
        let Some((last, before)) = targets.split_last() else { return };
        let never_down = |targets: &[&Target]| {
            targets.iter().find(|target| !health.may_be_known(target)).map(|target| target.written.clone())
        };
        let fix = |name: &str| {
            format!(
                "add `health: {{}}` to the entry of `caches` for it, such as `{{prefix: {}, health: {{}}}}`",
                host(name)
            )
        };
        if let (Some(name), Some(first)) = (never_down(&before.iter().collect::<Vec<_>>()), place.failover.first()) {
            let after = targets.iter().position(|target| target.written == name).unwrap_or_default();
            let span = place.failover.get(after).unwrap_or(first);
            self.at(
                span,
                format!("the failover is never used: the health of `{name}` before it is not known"),
                fix(&name),
            );
        } else if let Some(span) =
            place.when_cache_down.as_ref().filter(|_| rule.when_cache_down == WhenCacheDown::Upstream)
            && let Some(name) = never_down(&before.iter().chain([last]).collect::<Vec<_>>())
        {
            let message = format!("`whenCacheDown: upstream` never acts: the health of `{name}` is not known");
            self.at(span, message, fix(&name));
        }
    }

    fn at(&mut self, span: &Range<usize>, message: String, fix: String) {
        self.problems.push(Problem { message, fix: Some(fix), span: span.clone() });
    }
}

fn host(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// Returns `to` and the failovers of a rule.
fn targets(rule: &Rule) -> Vec<Target> {
    match &rule.matcher {
        Matcher::From { from: _, to, failover } => [to]
            .into_iter()
            .chain(failover)
            .map(|to| Target {
                written: to.written().to_owned(),
                sample: to.canonical().to_owned(),
                start: to.canonical().to_owned(),
                has_groups: false,
            })
            .collect(),
        Matcher::Pattern { pattern: _, to, failover } => [to]
            .into_iter()
            .chain(failover)
            .map(|to| {
                let sample = to.with_groups(|group| format!("x{group}"));
                let sample = Prefix::parse(&sample).map_or(sample, |prefix| prefix.canonical().to_owned());
                let start = to.literal_start().to_owned();
                Target { written: to.written().to_owned(), has_groups: start != sample, sample, start }
            })
            .collect(),
    }
}

/// The caches by their prefixes, and whether each is probed.
struct Health<'c> {
    probed: HashMap<&'c str, bool>,
    /// The prefixes that are probed.
    sorted: Vec<&'c str>,
}

impl<'c> Health<'c> {
    fn new(caches: &'c [Cache]) -> Self {
        let probed: HashMap<&str, bool> =
            caches.iter().map(|cache| (cache.prefix.canonical(), cache.health.is_some())).collect();
        let mut sorted: Vec<&str> = probed.iter().filter(|(_, probed)| **probed).map(|(prefix, _)| *prefix).collect();
        sorted.sort_unstable();
        Self { probed, sorted }
    }

    /// Returns whether the state of some image under a target may be known.
    fn may_be_known(&self, target: &Target) -> bool {
        let above = boundaries(&target.sample).rev().find_map(|above| self.probed.get(above)).copied();
        let start = if target.has_groups { target.start.clone() } else { format!("{}/", target.start) };
        let first = self.sorted.partition_point(|prefix| *prefix < start.as_str());
        above.unwrap_or(false) || self.sorted.get(first).is_some_and(|prefix| prefix.starts_with(&start))
    }
}
