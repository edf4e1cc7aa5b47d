//! Images by the cause that they are not rewritten, with the fix.

use maud::{Markup, html};

use super::page::{list, prose};
use crate::scan::report::words;
use crate::scan::{Row, Sums};
use crate::words::count;

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
