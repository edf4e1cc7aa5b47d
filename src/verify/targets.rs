//! The images to ask for: what rules make of the images that a scan found.

use std::collections::HashMap;

use super::pull_use::PullUse;
use crate::engine::ImageRef;
use crate::engine::Reason;
use crate::scan::{FoundImage, Location, Use, Verdict};

/// A rewritten image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The rewritten name.
    pub image: String,
    /// The image as written. `None` if only the rewritten name is written.
    pub upstream: Option<String>,
    pub rule: Option<String>,
    pub places: Places,
    /// The pull Secrets that it is asked with; `None` if those of the cluster are not read.
    pub pull: Option<Vec<PullUse>>,
}

/// The places of an image, at least one, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    first: Location,
    others: Vec<Location>,
}

impl Places {
    pub fn first(&self) -> &Location {
        &self.first
    }

    /// Returns the number of the places but the first.
    pub fn others(&self) -> usize {
        self.others.len()
    }

    pub fn push(&mut self, place: Location) {
        self.others.push(place);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Location> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Location> for Places {
    fn from(first: Location) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// The distinct rewritten images, in the order in which they were found.
#[derive(Debug, Default)]
pub struct Targets {
    list: Vec<Target>,
    positions: HashMap<String, usize>,
    /// The number of other images.
    pub others: usize,
}

impl Targets {
    pub fn add(&mut self, finding: FoundImage) {
        let Some((image, upstream, rule)) = rewritten(&finding) else {
            self.others += 1;
            return;
        };
        let (image, upstream) = (image.to_owned(), upstream.map(str::to_owned));
        if let Some(&position) = self.positions.get(&image) {
            let target = &mut self.list[position];
            target.places.push(finding.place);
            if target.upstream.is_none() {
                (target.upstream, target.rule) = (upstream, rule);
            }
            return;
        }
        self.positions.insert(image.clone(), self.list.len());
        self.list.push(Target { image, upstream, rule, places: finding.place.into(), pull: None });
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn into_list(self) -> Vec<Target> {
        self.list
    }

    pub fn list(&self) -> &[Target] {
        &self.list
    }
}

/// Returns whether a cache is asked for the image.
pub fn is_asked(finding: &FoundImage) -> bool {
    rewritten(finding).is_some()
}

/// Returns the rewritten name, the name that it was made from, and the rule. Rules that only observe count as if they enforced.
/// Images that nodes only store are not pulled.
pub(super) fn rewritten(finding: &FoundImage) -> Option<(&str, Option<&str>, Option<String>)> {
    let FoundImage { image, verdict, in_use, not_covered, .. } = finding;
    if *in_use == Use::Held {
        return None;
    }
    let (name, upstream, rule) = match verdict.as_ref()? {
        Verdict::Rewrite { result, rule } if not_covered.is_none() => (result, Some(image), Some(rule.clone())),
        Verdict::NotRewritten { would_be: Some(name), rule, .. } if not_covered.is_none() => {
            (name, Some(image), rule.clone())
        }
        Verdict::NotRewritten { reason: Reason::AlreadyCached, .. } => (image, None, None),
        Verdict::Rewrite { .. } | Verdict::NotRewritten { .. } => return None,
    };
    ImageRef::parse(name).ok()?.registry()?;
    Some((name, upstream.map(String::as_str), rule))
}
