//! Counts the workloads that the `rollout` of each rule includes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{FoundImage, FoundWorkload, Location, Verdict};
use crate::engine::{Percent, Policy};

/// A rule whose `rollout` is below 100%, and the workloads with images for which it decides.
///
/// It holds a few bytes for each workload.
#[derive(Debug, Clone)]
pub struct Rollout {
    pub rule: String,
    pub percent: Percent,
    /// By a hash of what names it.
    workloads: HashMap<u64, Membership>,
}

/// Whether a roll-out includes a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Included,
    NotIncluded,
    /// The place does not tell which workloads its Pods are: a CronJob, a custom resource, values of a chart.
    Unknown,
}

/// The numbers of workloads with images for which a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutCounts {
    pub included: usize,
    /// The included ones, and those that are not.
    pub known: usize,
    /// Objects that do not tell which workloads their Pods are.
    pub unknown: usize,
}

impl Rollout {
    /// Returns the rules with a `rollout` below 100%, in their order.
    pub fn of(policy: &Policy) -> Vec<Self> {
        let partial = policy.rules().iter().filter(|rule| !rule.is_rolled_out());
        partial.map(|rule| Self { rule: rule.name.clone(), percent: rule.rollout, workloads: HashMap::new() }).collect()
    }

    pub fn counts(&self) -> RolloutCounts {
        let of = |membership| self.workloads.values().filter(|of| **of == membership).count();
        let (included, unknown) = (of(Membership::Included), of(Membership::Unknown));
        RolloutCounts { included, known: self.workloads.len() - unknown, unknown }
    }

    /// Counts the workload of an image, unless the rule does not decide about it. Images that nodes store have none.
    pub(super) fn add(&mut self, finding: &FoundImage) {
        let FoundImage { verdict, not_covered, workload, place, .. } = finding;
        let rule = match verdict {
            Some(Verdict::Rewrite { rule, .. }) => Some(rule),
            // The rule gives the image a name, and does not use it.
            Some(Verdict::NotRewritten { rule, would_be: Some(_), .. }) => rule.as_ref(),
            Some(Verdict::NotRewritten { .. }) | None => None,
        };
        let is_of_rule = rule.is_some_and(|rule| *rule == self.rule) && not_covered.is_none();
        if !is_of_rule || matches!(place, Location::Node { .. }) {
            return;
        }
        let (hash, membership) = match workload {
            Some(FoundWorkload { name, namespace, included_from }) => {
                let is_included = *included_from <= self.percent;
                let membership = if is_included { Membership::Included } else { Membership::NotIncluded };
                (hash_of(&(name, namespace)), membership)
            }
            None => (hash_of(&(place.object(), place.file())), Membership::Unknown),
        };
        self.workloads.insert(hash, membership);
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
