//! Operators that compare images, with what to set.

use maud::{Markup, html};

use super::page::{list, prose};
use crate::scan::Report;
use crate::scan::report::operators::{KNOWN, Known, Operators, POSSIBLE, POSSIBLE_FIX, POSSIBLE_WHY};
use crate::words::visible;

pub(super) fn operators(report: &Report) -> Markup {
    let Operators { known, possible } = Operators::of(report);
    html! {
        @if !known.is_empty() {
            section aria-labelledby="operators" {
                h2 #operators { (KNOWN) }
                @for Known { title, effect, settings } in &known {
                    div.cause {
                        h3 { (visible(title)) }
                        p { strong { "Effect: " } (prose(effect)) "." }
                        (list(settings.iter().map(|setting| visible(setting))))
                    }
                }
            }
        }
        @if !possible.is_empty() {
            section aria-labelledby="possible" {
                h2 #possible { (POSSIBLE) }
                div.cause {
                    p { strong { "Why: " } (prose(POSSIBLE_WHY)) "." }
                    p { strong { "Fix: " } (prose(POSSIBLE_FIX)) "." }
                    (list(possible.iter().map(|line| visible(line))))
                }
            }
        }
    }
}
