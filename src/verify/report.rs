//! The result of a run, as documents show it.

use super::Verified;
use crate::scan::{Skipped, Unknowns};

/// The images that were asked for, and the headings.
#[derive(Debug)]
pub struct Report<'r> {
    /// The cluster, the paths or the list.
    pub subject: &'r str,
    /// The name of the rules.
    pub rules: &'r str,
    pub date: &'r str,
    pub images: &'r [Verified],
    /// The number of places whose image the rules do not send to a cache.
    pub others: usize,
    pub skipped: &'r [Skipped],
    /// Fields that look like images in objects of unknown kinds.
    pub unknowns: &'r Unknowns,
}

impl Report<'_> {
    pub fn title(&self) -> String {
        format!("Rewritten images of {}, using {}", self.subject, self.rules)
    }
}
