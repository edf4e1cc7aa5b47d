//! Rules by the names in them, so that a lint need not compare each rule with each other one.

use std::collections::{BTreeSet, HashMap};

use super::PlacedRule;
use super::literal::{Start, starts};
use crate::engine::boundaries;

/// The rules of a file, indexed by the names in them.
pub struct Index<'c> {
    pub rules: &'c [PlacedRule<'c>],
    /// The possible starts of the names that each rule's pattern matches.
    pub starts: Vec<Vec<Start>>,
    sources: HashMap<&'c str, Vec<usize>>,
    targets: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

impl<'c> Index<'c> {
    pub fn new(rules: &'c [PlacedRule<'c>]) -> Self {
        let mut index =
            Self { rules, starts: Vec::new(), sources: HashMap::new(), targets: HashMap::new(), patterns: Vec::new() };
        for (number, place) in rules.iter().enumerate() {
            for (source, _) in place.from() {
                index.sources.entry(source.canonical()).or_default().push(number);
            }
            for target in place.targets() {
                index.targets.entry(target.prefix.canonical().to_owned()).or_default().push(number);
            }
            let pattern = place.pattern().map(|(pattern, _)| pattern);
            index.starts.push(pattern.map(starts).unwrap_or_default());
            index.patterns.extend(pattern.map(|_| number));
        }
        index
    }

    /// Returns the rules that have this canonical name as `to` or failover.
    pub fn at(&self, target: &str) -> &[usize] {
        self.targets.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the rules with a pattern, and those with a `from` at or above the name, in file order.
    pub fn taking(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let sources = boundaries(name).filter_map(|above| self.sources.get(above)).flatten();
        sources.chain(&self.patterns).copied().collect::<BTreeSet<_>>().into_iter()
    }

    /// Returns the rules with a pattern, and those with a `to` or failover at or above the name, in file order.
    pub fn above(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let targets = boundaries(name).filter_map(|above| self.targets.get(above)).flatten();
        targets.chain(&self.patterns).copied().collect::<BTreeSet<_>>().into_iter()
    }
}
