//! Images by the cause that they are not rewritten, or that they were not read, with the fix.

use maud::{Markup, html};

use super::prose;
use crate::scan::report::words;
use crate::scan::{Report, Row, Skipped, Sums};
use crate::words::count;

/// A list with more lines than these shows the first ones.
const MAX_LINES: usize = 8;
const FIRST_LINES: usize = 6;

/// Why the rules leave images unchanged.
pub(super) fn reasons(sums: &Sums) -> Markup {
    let reasons = sums.not_rewritten();
    html! {
        @if !reasons.is_empty() {
            section aria-labelledby="reasons" {
                h2 #reasons { "Why images are not rewritten" }
                @for (reason, rows) in &reasons {
                    (group(&html! { code { (reason.as_str()) } }, reason.describe(), words::reason_fix(*reason), rows))
                }
            }
        }
    }
}

pub(super) fn not_covered(sums: &Sums) -> Markup {
    let not_covered = sums.not_covered();
    html! {
        @if !not_covered.is_empty() {
            section aria-labelledby="not-covered" {
                h2 #not-covered { "Not covered by the webhook" }
                @for (why, rows) in &not_covered {
                    (group(&html! { (why.title()) }, why.why(), why.reached_by(), rows))
                }
            }
        }
    }
}

/// Images with one cause, and its fix.
fn group(title: &Markup, why: &str, fix: &str, rows: &[&Row]) -> Markup {
    let images = words::images(rows);
    let places = rows.iter().map(|row| row.count).sum();
    html! {
        div.cause {
            h3 {
                (title) " "
                span.quiet { (count(images.len(), "image")) " at " (count(places, "place")) }
            }
            p { strong { "Why: " } (prose(why)) "." }
            p { strong { "Fix: " } (prose(fix)) "." }
            (list(images.into_iter().map(words::image)))
        }
    }
}

/// The first lines, and the others behind a click.
fn list(lines: impl Iterator<Item = String>) -> Markup {
    let lines: Vec<String> = lines.collect();
    let (first, more) = lines.split_at(lines.len().min(if lines.len() > MAX_LINES { FIRST_LINES } else { MAX_LINES }));
    html! {
        ul { @for line in first { li { code { (line) } } } }
        @if !more.is_empty() {
            details {
                summary { (more.len()) " more" }
                ul { @for line in more { li { code { (line) } } } }
            }
        }
    }
}

pub(super) fn skipped(report: &Report, id: &str, title: &str, is_shown: fn(&Skipped) -> bool) -> Markup {
    let mut groups = words::skipped(&report.skipped);
    groups.retain(|(_, skipped)| is_shown(skipped));
    html! {
        @if !groups.is_empty() {
            section aria-labelledby=(id) {
                h2 #(id) { (title) }
                @for (names, skipped) in &groups {
                    div.cause {
                        p { strong { "Why: " } (prose(&skipped.why)) "." }
                        p { strong { "Fix: " } (prose(&skipped.fix)) "." }
                        (list(names.iter().map(|name| words::image(name))))
                    }
                }
            }
        }
    }
}
