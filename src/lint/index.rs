//! Rules by what they name, so that a lint need not look at each rule for each other one.

use std::collections::{BTreeSet, HashMap};

use super::Place;
use super::literal::{Start, starts};
use crate::engine::boundaries;

/// The rules of a file, and which of them name what.
pub struct Index<'c> {
    pub rules: &'c [Place<'c>],
    /// What each rule's pattern is sure to start with.
    pub starts: Vec<Vec<Start>>,
    sources: HashMap<&'c str, Vec<usize>>,
    targets: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

impl<'c> Index<'c> {
    pub fn new(rules: &'c [Place<'c>]) -> Self {
        let mut index =
            Self { rules, starts: Vec::new(), sources: HashMap::new(), targets: HashMap::new(), patterns: Vec::new() };
        for (number, place) in rules.iter().enumerate() {
            for (source, _) in place.from() {
                index.sources.entry(source.canonical()).or_default().push(number);
            }
            if let Some(target) = place.target() {
                index.targets.entry(target.canonical().to_owned()).or_default().push(number);
            }
            let pattern = place.pattern().map(|(pattern, _)| pattern);
            index.starts.push(pattern.map(starts).unwrap_or_default());
            index.patterns.extend(pattern.map(|_| number));
        }
        index
    }

    /// Rules whose `to` is this canonical name.
    pub fn at(&self, target: &str) -> &[usize] {
        self.targets.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// Rules with a pattern, and those of which a `from` is the name or above it, in file order.
    pub fn taking(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let sources = boundaries(name).filter_map(|above| self.sources.get(above)).flatten();
        sources.chain(&self.patterns).copied().collect::<BTreeSet<_>>().into_iter()
    }

    /// Rules with a pattern, and those whose `to` is the name or above it, in file order.
    pub fn above(&self, name: &str) -> impl Iterator<Item = usize> + use<> {
        let targets = boundaries(name).filter_map(|above| self.targets.get(above)).flatten();
        targets.chain(&self.patterns).copied().collect::<BTreeSet<_>>().into_iter()
    }
}
