//! Rules by the names in them, so that a lint need not compare each rule with each other one.

use std::collections::HashMap;

use super::{PlacedRule, Target};
use crate::engine::{Matcher, Namespaces, Template, boundaries, prefix_of_start};

/// The rules of a file, indexed by the names in them. Lists of rules are in file order.
pub struct Index<'c> {
    pub rules: &'c [PlacedRule<'c>],
    /// The `to` and the failovers of each rule.
    pub targets: Vec<Vec<Target<'c>>>,
    sources: HashMap<&'c str, Sources<'c>>,
    by_target: HashMap<String, Vec<usize>>,
    /// The rules whose `to` or failover is a template, by the components that are known of it; empty if no host is.
    by_template: HashMap<&'c str, Vec<usize>>,
    /// The rules with a pattern that matches names of one host.
    patterns: HashMap<&'c str, Vec<usize>>,
}

/// The rules with the same name in `from`.
#[derive(Default)]
struct Sources<'c> {
    all: Vec<usize>,
    /// Those that apply in namespaces without `*` alone, by each of these.
    by_namespace: HashMap<&'c str, Vec<usize>>,
    /// The others.
    wide: Vec<usize>,
}

impl<'c> Index<'c> {
    pub fn new(rules: &'c [PlacedRule<'c>]) -> Self {
        let targets: Vec<Vec<Target>> = rules.iter().map(|place| place.targets().collect()).collect();
        let mut index = Self {
            rules,
            targets,
            sources: HashMap::new(),
            by_target: HashMap::new(),
            by_template: HashMap::new(),
            patterns: HashMap::new(),
        };
        for (number, place) in rules.iter().enumerate() {
            for target in &index.targets[number] {
                index.by_target.entry(target.prefix.canonical().to_owned()).or_default().push(number);
            }
            match &place.rule.matcher {
                Matcher::From { from, .. } => {
                    for source in from.iter() {
                        index.sources.entry(source.canonical()).or_default().add(number, &place.rule.namespaces);
                    }
                }
                Matcher::Pattern { pattern, to, failover } => {
                    for start in [to].into_iter().chain(failover).map(Template::literal_start) {
                        let known = prefix_of_start(start).unwrap_or_default();
                        index.by_template.entry(known).or_default().push(number);
                    }
                    let mut hosts = pattern.starts().iter().map(|start| start.host());
                    if let Some(host) = hosts.next().flatten().filter(|host| hosts.all(|other| other == Some(*host))) {
                        index.patterns.entry(host).or_default().push(number);
                    }
                }
            }
        }
        index
    }

    /// Returns the rules that have this canonical name as `to` or failover.
    pub fn at(&self, target: &str) -> &[usize] {
        self.by_target.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the first rule that is wanted of those with a pattern for this host alone, or a `from` at or above the name.
    pub fn first_taking<T>(&self, name: &str, host: &str, is_wanted: impl Fn(usize) -> Option<T>) -> Option<T> {
        let sources = boundaries(name).filter_map(|above| self.sources.get(above)).map(|sources| &sources.all);
        first(sources.chain(self.patterns.get(host)), self.rules.len(), is_wanted)
    }

    /// Returns the first rule that is wanted of those before a rule with a `from` at or above the name. Omits those that can't
    /// apply in each of the namespaces.
    pub fn first_before<T>(
        &self,
        end: usize,
        name: &str,
        namespaces: &Namespaces,
        is_wanted: impl Fn(usize) -> Option<T>,
    ) -> Option<T> {
        let one = match namespaces {
            Namespaces::Include(globs) => globs.first(),
            Namespaces::All | Namespaces::Exclude(_) => None,
        };
        let lists = boundaries(name).filter_map(|above| self.sources.get(above)).flat_map(|sources| {
            [Some(&sources.wide), one.and_then(|glob| sources.by_namespace.get(glob.as_str()))].into_iter().flatten()
        });
        first(lists, end, is_wanted)
    }

    /// Returns the first rule that is wanted of those with a `to` or failover at or above the name, and those with a template
    /// that may give a name at or above it.
    pub fn first_above<T>(&self, name: &str, is_wanted: impl Fn(usize) -> Option<T>) -> Option<T> {
        let targets = boundaries(name).filter_map(|above| self.by_target.get(above));
        let templates = std::iter::once("").chain(boundaries(name)).filter_map(|above| self.by_template.get(above));
        first(targets.chain(templates), self.rules.len(), is_wanted)
    }
}

impl<'c> Sources<'c> {
    fn add(&mut self, number: usize, namespaces: &'c Namespaces) {
        self.all.push(number);
        match namespaces {
            Namespaces::Include(globs) if globs.iter().all(|glob| !glob.as_str().contains('*')) => {
                for glob in globs {
                    self.by_namespace.entry(glob.as_str()).or_default().push(number);
                }
            }
            _ => self.wide.push(number),
        }
    }
}

/// Returns the result for the first rule in the lists that has one, of those before `end`.
fn first<'l, T>(
    lists: impl Iterator<Item = &'l Vec<usize>>,
    mut end: usize,
    is_wanted: impl Fn(usize) -> Option<T>,
) -> Option<T> {
    let mut best = None;
    for list in lists {
        let before = list.iter().take_while(|&&number| number < end);
        if let Some((number, found)) = before.filter_map(|&number| Some((number, is_wanted(number)?))).next() {
            (end, best) = (number, Some(found));
        }
    }
    best
}
