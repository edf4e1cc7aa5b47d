//! Counters that are apart for dry runs.

use prometheus::{IntCounter, IntCounterVec};

/// The values of the label, by position.
pub(super) const DRY_RUN: [&str; 2] = ["false", "true"];

/// A counter for real requests and one for dry runs.
#[derive(Debug, Clone)]
pub(super) struct ByDryRun([IntCounter; 2]);

impl ByDryRun {
    /// Creates the series of a family whose last label is `dry_run`. `labels` are the values of the others.
    pub fn new(family: &IntCounterVec, labels: &[&str]) -> Self {
        Self(DRY_RUN.map(|dry_run| family.with_label_values(&[labels, &[dry_run]].concat())))
    }

    /// Removes the series.
    pub fn remove(family: &IntCounterVec, labels: &[&str]) {
        for dry_run in DRY_RUN {
            // The only error is that there is no such series.
            let _ = family.remove_label_values(&[labels, &[dry_run]].concat());
        }
    }

    pub fn add(&self, dry_run: bool, number: u64) {
        self.0[usize::from(dry_run)].inc_by(number);
    }
}
