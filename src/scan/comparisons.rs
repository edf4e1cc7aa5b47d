//! What to set for operators that compare images.

use std::collections::BTreeMap;

use super::comparison::Comparison;
use super::{Location, Report, Verdict};
use crate::engine::{Operator, Reason};

/// The places to set instead of rewriting Pods, by operator.
#[derive(Debug, Default)]
pub struct Comparisons<'r> {
    pub known: BTreeMap<&'static str, OfOperator<'r>>,
    /// Unknown operators, by the kind of the owner: images in their Pods that are rewritten.
    pub possible: BTreeMap<&'r str, Tally<'r>>,
}

#[derive(Debug)]
pub struct OfOperator<'r> {
    pub operator: &'static Operator,
    /// By the place to set, and by the value to write there.
    pub settings: BTreeMap<(String, &'r str), Tally<'r>>,
    /// Images that are not rewritten, since the rules skip the operator.
    pub skipped: usize,
}

/// A number of images, and the first place.
#[derive(Debug)]
pub struct Tally<'r> {
    pub count: usize,
    pub example: &'r Location,
}

impl Report {
    /// Returns what to set for operators that compare images.
    pub fn comparisons(&self) -> Comparisons<'_> {
        let mut comparisons = Comparisons::default();
        for entry in &self.entries {
            let finding = &entry.finding;
            let add = |tally: &mut Tally| tally.count += entry.count;
            let new = Tally { count: entry.count, example: &finding.place };
            match (&finding.comparison, finding.value_to_set()) {
                (Some(Comparison::Known(operator)), value) => {
                    let is_skipped =
                        matches!(finding.verdict, Some(Verdict::NotRewritten { reason: Reason::OperatorManaged, .. }));
                    if value.is_none() && !is_skipped {
                        continue;
                    }
                    let known = comparisons.known.entry(operator.name).or_insert_with(|| OfOperator {
                        operator,
                        settings: BTreeMap::new(),
                        skipped: 0,
                    });
                    known.skipped += if is_skipped { entry.count } else { 0 };
                    if let Some((place, value)) = finding.place_to_set().zip(value) {
                        known.settings.entry((place, value)).and_modify(add).or_insert(new);
                    }
                }
                (Some(Comparison::Possible(kind)), Some(_)) => {
                    comparisons.possible.entry(kind).and_modify(add).or_insert(new);
                }
                (Some(Comparison::Possible(_)), None) | (None, _) => {}
            }
        }
        comparisons
    }
}
