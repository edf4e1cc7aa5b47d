//! The lines about operators that compare images, which each format lays out for itself.

use crate::scan::{Comparisons, OfOperator, Report, Tally};
use crate::words::count;

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

/// The operators of a report.
pub struct Operators {
    pub known: Vec<Known>,
    /// A line for each kind of other custom resources.
    pub possible: Vec<String>,
}

impl Operators {
    pub fn of(report: &Report) -> Self {
        let Comparisons { known, possible } = report.comparisons();
        let possible = possible.into_iter().map(|(kind, tally)| format!("{kind}: {}", whereabouts(&tally)));
        Self { known: known.into_values().map(Known::new).collect(), possible: possible.collect() }
    }
}

impl Known {
    fn new(of: OfOperator) -> Self {
        let OfOperator { operator, settings, skipped } = of;
        let mut settings: Vec<String> = settings
            .iter()
            .map(|((place, value), tally)| format!("set {place} to {value} ({})", whereabouts(tally)))
            .collect();
        if skipped > 0 {
            settings.push(format!("skipped by the rules: {}", count(skipped, "image")));
        }
        let versions = operator.versions.map(|versions| format!(", {versions}")).unwrap_or_default();
        Self {
            title: format!("{} ({}{versions})", operator.name, operator.title),
            effect: format!("if its Pods are rewritten, it {}", operator.effect),
            settings,
        }
    }
}

fn whereabouts(Tally { count: places, example }: &Tally) -> String {
    format!("{}, such as {example}", count(*places, "place"))
}
