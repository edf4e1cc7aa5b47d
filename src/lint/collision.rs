//! Images of different registries that the rules give the same name: `collision`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::index::Index;
use super::{Findings, Lint, PlacedRule};
use crate::engine::{DOCKER_HUB, Mode, Namespaces, Policy, Results, Rule, Settings, boundaries, prefix_of_start};
use crate::registries::{Upstream, are_aliases};

/// Sample paths of images below a name of a rule.
const TAILS: [&str; 4] = ["app", "team/app", "other/app", "team/group/app"];

/// Namespaces that are tried at most. Every sample is tried in each.
const MAX_NAMESPACES: usize = 16;

/// Caches within another cache that are tried at most: there may be as many as pairs of rules.
const MAX_NESTED: usize = 4096;

pub fn check(index: &Index, findings: &mut Findings) {
    let rules = index.rules;
    let enforced = rules.iter().map(|place| Rule { mode: Mode::Enforce, ..place.rule.clone() }).collect();
    let policy = Policy::new(enforced, Settings::default());
    let samples = samples(index);
    let numbers: HashMap<&str, usize> =
        rules.iter().enumerate().map(|(number, place)| (place.rule.name.as_str(), number)).collect();
    // By the first namespace, then by sample. A rule gives an image the same names in each namespace.
    let namespaces = namespaces(rules);
    let mut given: Vec<(usize, &str, usize, Vec<String>)> = Vec::new();
    for sample in &samples {
        for Results { rule, position, names } in policy.results_in(sample, &namespaces) {
            let number = numbers.get(rule.name.as_str());
            given.extend(number.map(|&number| (position, sample.as_str(), number, names)));
        }
    }
    given.sort_by_key(|(position, ..)| *position);
    let mut by_result: HashMap<String, Vec<(&str, usize)>> = HashMap::new();
    for (_, sample, number, names) in given {
        for name in names {
            by_result.entry(name).or_default().push((sample, number));
        }
    }
    let mut results: Vec<_> = by_result.into_iter().filter(|(_, sources)| sources.len() > 1).collect();
    results.sort_unstable_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
    let mut reported = HashSet::new();
    for (result, sources) in results {
        for (at, &(later, later_rule)) in sources.iter().enumerate() {
            let Some(&(earlier, earlier_rule)) = sources[..at].iter().find(|(name, _)| !are_aliases(name, later))
            else {
                continue;
            };
            let (first, second) = (span(rules[earlier_rule], earlier), span(rules[later_rule], later));
            let (place, at) =
                if first.start > second.start { (rules[earlier_rule], first) } else { (rules[later_rule], second) };
            if reported.insert(at.start) {
                findings.add(
                    Lint::Collision,
                    place,
                    at,
                    format!("`{earlier}` and `{later}` both become `{result}`"),
                    "give each its own path in the cache, or allow `collision` if the cache joins several registries there"
                        .to_owned(),
                );
            }
        }
    }
}

/// Returns the place of the `from` or the pattern that a name is from.
fn span<'c>(place: PlacedRule<'c>, name: &str) -> &'c Range<usize> {
    let source = place.sources().and_then(|from| from.position_above(name));
    let from = source.and_then(|position| place.places.sources.get(position));
    from.or_else(|| place.pattern().map(|(_, span)| span)).unwrap_or(&place.places.to)
}

/// Returns names of possible images, in canonical form.
fn samples(index: &Index) -> Vec<String> {
    let rules = index.rules;
    let mut samples = Samples::default();
    for &place in rules {
        for (source, _) in place.from() {
            samples.add(source.canonical(), "");
        }
        for (except, _) in place.except().filter(|(except, _)| place.source_above(except.canonical()).is_some()) {
            samples.below(except.canonical());
        }
        if let Some((pattern, _)) = place.pattern() {
            for start in pattern.starts() {
                if start.is_whole {
                    samples.add(&start.text, "")
                } else {
                    samples.below(prefix_of_start(&start.text).unwrap_or_default())
                }
            }
            for upstream in Upstream::ALL {
                samples.below(upstream.host());
            }
        }
    }
    for &place in rules {
        for (source, _) in place.from() {
            samples.below(source.canonical());
        }
    }
    // One cache within another: images of the outer one at the path of the inner one.
    let targets: BTreeSet<&str> = index.targets.iter().flatten().map(|target| target.prefix.canonical()).collect();
    let nested = targets.iter().copied().flat_map(|inner| {
        let outer = boundaries(inner).filter(move |outer| *outer != inner).filter(|outer| targets.contains(outer));
        outer.map(move |outer| (outer, &inner[outer.len() + 1..]))
    });
    let nested = nested.flat_map(|(outer, path)| index.at(outer).iter().map(move |&outer| (rules[outer], path)));
    let nested = nested.flat_map(|(outer, path)| outer.from().map(move |(source, _)| (source, path)));
    for (source, path) in nested.take(MAX_NESTED) {
        samples.below(&format!("{}/{path}", source.canonical()));
    }
    samples.names
}

#[derive(Default)]
struct Samples {
    names: Vec<String>,
    known: HashSet<String>,
}

impl Samples {
    fn below(&mut self, prefix: &str) {
        for tail in TAILS {
            self.add(prefix, tail);
        }
    }

    fn add(&mut self, prefix: &str, tail: &str) {
        let name = if tail.is_empty() { prefix.to_owned() } else { format!("{prefix}/{tail}") };
        let Some((host, path)) = name.split_once('/') else { return };
        // Names on Docker Hub have two components.
        let exists = !host.is_empty() && (host != DOCKER_HUB || path.matches('/').count() == 1);
        if exists && self.known.insert(name.clone()) {
            self.names.push(name);
        }
    }
}

/// Returns namespaces that the rules distinguish.
fn namespaces(rules: &[PlacedRule]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for place in rules {
        if let Namespaces::Include(globs) | Namespaces::Exclude(globs) = &place.rule.namespaces {
            names.extend(globs.iter().map(|glob| glob.as_str().replace('*', "x")));
        }
    }
    std::iter::once("default".to_owned()).chain(names).take(MAX_NAMESPACES).collect()
}
