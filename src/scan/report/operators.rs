//! The lines about operators that compare images, which each format lays out for itself.

use crate::scan::{Comparisons, Report, Tally};
use crate::words::{count, few};

/// A known operator.
pub struct Known {
    pub title: String,
    pub effect: String,
    /// What to write, where, and for how many places.
    pub settings: Vec<String>,
}

/// The title of the part with known operators.
pub const KNOWN: &str = "Operators that compare images";
/// The title of the part with other custom resources.
pub const POSSIBLE: &str = "May compare images";
/// What the second part means.
pub const POSSIBLE_WHY: &str =
    "Pods of these custom resources are rewritten; whether their operators compare images is not known";

/// What to do about them.
pub const POSSIBLE_FIX: &str =
    "switch one of their namespaces on first; set `operators: {onRecreateLoop: standDown}` in the rules";

/// Returns the known operators of a report.
pub fn known(report: &Report) -> Vec<Known> {
    let Comparisons { known, possible: _ } = report.comparisons();
    let known = known.into_values().map(|of| {
        let mut settings: Vec<String> = of
            .settings
            .iter()
            .map(|((place, value), tally)| format!("set {place} to {value} ({})", whereabouts(tally)))
            .collect();
        if of.skipped > 0 {
            settings.push(format!("skipped by the rules: {}", count(of.skipped, "image")));
        }
        let versions = of.operator.versions.map(|versions| format!(", {versions}")).unwrap_or_default();
        Known {
            title: format!("{} ({}{versions})", of.operator.name, of.operator.title),
            effect: format!("if its Pods are rewritten, it {}", of.operator.effect),
            settings,
        }
    });
    known.collect()
}

/// Returns a line for each kind of other custom resources.
pub fn possible(report: &Report) -> Vec<String> {
    let Comparisons { known: _, possible } = report.comparisons();
    possible.into_iter().map(|(kind, tally)| format!("{kind}: {}", whereabouts(&tally))).collect()
}

/// Returns all lines of the second part as one.
pub fn possible_line(report: &Report) -> Option<String> {
    let lines = possible(report);
    (!lines.is_empty()).then(|| few(&lines))
}

fn whereabouts(Tally { count: places, example }: &Tally) -> String {
    format!("{}, such as {example}", count(*places, "place"))
}
