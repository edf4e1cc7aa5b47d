//! Scans a cluster or a tree of manifests for the images that it pulls.
//!
//! A [`Report`] has the findings; [`report`] formats them.

mod bucket;
mod comparison;
mod comparisons;
pub mod files;
mod finding;
mod pull_access;
pub mod report;
mod rollouts;
mod sums;
mod unknown;

use std::collections::{BTreeMap, HashMap};

pub use bucket::Bucket;
pub use comparison::Comparison;
pub use comparisons::{Comparisons, OfOperator, Tally};
pub use finding::{FoundImage, FoundWorkload, Location, NotCovered, Use, Verdict};
pub use pull_access::PullAccess;
pub use rollouts::{Rollout, RolloutCounts};
pub use sums::{Group, Row, Share, Sums};
pub use unknown::{Subject, Unknown, Unknowns, declaration_of};

use crate::engine::Prefix;
use crate::manifest::Contents;

/// The images that a scan found, and what it skipped.
///
/// Its size depends on the number of images, not on the number of Pods. If rules have a `rollout` below 100%, it also depends on
/// the number of workloads.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was scanned, for headings: the API server's address, or the paths as given.
    pub subject: String,
    /// The user's heading, from `--title`.
    pub title: Option<String>,
    /// The name of the rules, for headings. `None` without rules.
    pub rules: Option<String>,
    /// The hash of the rules, as in the metric `pullthrough_rules_info`.
    pub rules_hash: Option<String>,
    /// The date of the scan, for headings. `None` where the same input must give the same bytes.
    pub generated: Option<String>,
    pub entries: Vec<Entry>,
    /// What the scan skipped: a file that is not YAML, a list that was denied.
    pub skipped: Vec<Skipped>,
    /// The number of files or objects that were read.
    pub looked_at: usize,
    /// The number of objects and other documents in the files.
    pub contents: Option<Contents>,
    /// The rules with a `rollout` below 100%.
    pub rollouts: Vec<Rollout>,
    /// Fields that look like images in objects of unknown kinds.
    pub unknowns: Unknowns,
    /// Registries of `--fail-on`, in canonical form.
    pub fail_on: Vec<String>,
    /// The number of places to keep for each entry.
    places_kept: usize,
    /// The indices in `entries` of each image.
    by_image: HashMap<String, Vec<usize>>,
}

/// All places with the same image, use and verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The first finding.
    pub finding: FoundImage,
    pub count: usize,
    /// The first places, up to the report's limit.
    pub places: Vec<Location>,
    /// The number of places in each namespace. Places outside namespaces are not included.
    pub namespaces: BTreeMap<String, usize>,
}

/// Something that a scan skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// A file with its line, a kind, a namespace.
    pub what: String,
    pub why: String,
    pub fix: String,
    /// Reading it failed. Otherwise a scan does not support it, as for a template.
    pub is_failure: bool,
}

/// How a skipped part affects the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It has no effect: the entry is not part of the folder.
    Aside,
    /// It was read and not understood: a template, or no Kubernetes object. It fails a gate, unless the gate allows it.
    Unknown,
    /// It is a part of what the user named. It fails a gate.
    Part,
    /// The user named it. The scan fails.
    Named,
}

impl Report {
    pub fn new(subject: String, rules: Option<String>, fail_on: Vec<String>, places_kept: usize) -> Self {
        Self { subject, rules, fail_on, places_kept, ..Self::default() }
    }

    pub fn add(&mut self, finding: FoundImage) {
        self.rollouts.iter_mut().for_each(|rollout| rollout.add(&finding));
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

    /// Returns the images that are pulled from a registry, or a path of one, of `--fail-on`.
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
    fn new(finding: FoundImage, places_kept: usize) -> Self {
        let mut entry = Self { finding, count: 0, places: Vec::new(), namespaces: BTreeMap::new() };
        entry.add(entry.finding.place.clone(), places_kept);
        entry
    }

    /// Returns whether the finding differs from the entry at most in its place.
    fn has_all_of(&self, other: &FoundImage) -> bool {
        let FoundImage {
            image,
            registry: _,
            repository: _,
            place: _,
            in_use,
            verdict,
            not_covered,
            comparison,
            pull_access: _,
            workload: _,
        } = &self.finding;
        (image, in_use, verdict, not_covered) == (&other.image, &other.in_use, &other.verdict, &other.not_covered)
            && *comparison == other.comparison
            && (comparison.is_none() || self.finding.place_to_set() == other.place_to_set())
    }

    fn add(&mut self, place: Location, places_kept: usize) {
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
