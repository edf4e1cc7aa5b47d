//! What a cluster or a tree of manifests pulls, and from where.
//!
//! A [`Report`] is what was found; [`report`] is how it is shown.

mod finding;
mod outcome;
pub mod report;
mod sums;
mod unknown;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

pub use finding::{Finding, OutOfReach, Place, Use, Verdict};
pub use outcome::Outcome;
pub use sums::{Group, Row, Share, Sums};
pub use unknown::{Subject, Unknown, Unknowns, declaration_of};

use crate::engine::Prefix;
use crate::manifest::Contents;

/// What was found, summed up as it comes in, and what could not be looked at.
///
/// Its size depends on how many images there are, and not on how many Pods.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was scanned, for headings: the API server's address, or the files as named.
    pub subject: String,
    /// What the rules are called, if there are any.
    pub rules: Option<String>,
    /// When, for headings; nothing where the same input must give the same bytes.
    pub generated: Option<String>,
    pub entries: Vec<Entry>,
    /// What could not be looked at, and why; a file that can't be parsed, a permission that is missing.
    pub unseen: Vec<Unseen>,
    /// Files or objects that were looked at.
    pub looked_at: usize,
    /// What was in the files.
    pub contents: Option<Contents>,
    /// Fields that look like images, of kinds that are not known.
    pub unknowns: Unknowns,
    /// Registries of `--fail-on`, canonical.
    pub fail_on: Vec<String>,
    /// Places kept of each entry.
    places_kept: usize,
    /// Where in `entries` each image is.
    by_image: HashMap<String, Vec<usize>>,
}

/// All places with one image, one use, one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The first finding of them.
    pub finding: Finding,
    pub count: usize,
    /// The first places, as many as are kept.
    pub places: Vec<Place>,
    /// How many places are in each namespace; those in none are not among them.
    pub namespaces: BTreeMap<String, usize>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// A file with its line, a kind, a namespace.
    pub what: String,
    pub why: String,
    /// What would help.
    pub cure: String,
}

impl Report {
    pub fn new(subject: String, rules: Option<String>, fail_on: Vec<String>, places_kept: usize) -> Self {
        Self { subject, rules, fail_on, places_kept, ..Self::default() }
    }

    pub fn add(&mut self, finding: Finding) {
        let indices = match self.by_image.get_mut(&finding.image) {
            Some(indices) => indices,
            None => self.by_image.entry(finding.image.clone()).or_default(),
        };
        let same = |&&index: &&usize| self.entries.get(index).is_some_and(|entry| entry.has_all_of(&finding));
        match indices.iter().find(same) {
            Some(&index) => self.entries[index].add(finding.place, self.places_kept),
            None => {
                indices.push(self.entries.len());
                self.entries.push(Entry::new(finding, self.places_kept));
            }
        }
    }

    /// What is pulled from a registry, or a path of one, that `--fail-on` names.
    pub fn failing(&self) -> impl Iterator<Item = &Entry> {
        let forbidden = self.forbidden();
        self.entries.iter().filter(move |entry| entry.finding.forbidden_by(&forbidden).is_some())
    }

    fn forbidden(&self) -> Vec<Prefix> {
        self.fail_on.iter().filter_map(|prefix| Prefix::parse(prefix).ok()).collect()
    }

    pub fn sums(&self) -> Sums<'_> {
        Sums::new(self)
    }
}

impl Entry {
    fn new(finding: Finding, places_kept: usize) -> Self {
        let mut entry = Self { finding, count: 0, places: Vec::new(), namespaces: BTreeMap::new() };
        entry.add(entry.finding.place.clone(), places_kept);
        entry
    }

    /// Whether it is the same but for the place.
    fn has_all_of(&self, other: &Finding) -> bool {
        let Finding { image, registry: _, repository: _, place: _, in_use, verdict, out_of_reach } = &self.finding;
        (image, in_use, verdict, out_of_reach) == (&other.image, &other.in_use, &other.verdict, &other.out_of_reach)
    }

    fn add(&mut self, place: Place, places_kept: usize) {
        self.count += 1;
        if let Some(namespace) = place.namespace() {
            match self.namespaces.get_mut(namespace) {
                Some(count) => *count += 1,
                None => drop(self.namespaces.insert(namespace.to_owned(), 1)),
            }
        }
        if self.places.len() < places_kept {
            self.places.push(place);
        }
    }
}
