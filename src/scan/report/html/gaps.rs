//! What a run failed to read, skipped, or did not understand.

use maud::{Markup, html};

use super::page::{headings, list, prose};
use crate::scan::report::words;
use crate::scan::{Skipped, Unknowns};
use crate::words::{count, visible};

/// Returns a banner for each kind of gap, with a link to its section.
pub fn banners(skipped: &[Skipped], unknowns: &Unknowns) -> Markup {
    let failed = skipped.iter().filter(|skipped| skipped.is_failure).count();
    let skipped = skipped.len() - failed;
    html! {
        @if failed > 0 {
            p.banner.bad role="note" { (count(failed, "item")) " failed to read. " a href="#failed" { "Show the list" } }
        }
        @if skipped > 0 {
            p.banner.warning role="note" { (count(skipped, "item")) " skipped. " a href="#skipped" { "Show the list" } }
        }
        @for line in unknowns.totals() {
            p.banner.warning role="note" { (line) ". " a href="#unknown" { "Show the list" } }
        }
    }
}

/// Returns the sections that the banners link.
pub fn sections(skipped: &[Skipped], unknowns: &Unknowns) -> Markup {
    html! {
        (self::skipped(skipped, "failed", "Failed to read", |skipped| skipped.is_failure))
        (self::skipped(skipped, "skipped", "Skipped", |skipped| !skipped.is_failure))
        (unknown(unknowns))
    }
}

fn skipped(all: &[Skipped], id: &str, title: &str, is_shown: fn(&Skipped) -> bool) -> Markup {
    let mut groups = words::skipped(all);
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

fn unknown(unknowns: &Unknowns) -> Markup {
    let (shown, more) = unknowns.shown();
    html! {
        @if !unknowns.is_empty() {
            section aria-labelledby="unknown" {
                h2 #unknown { "Not understood" }
                table role="table" {
                    (headings(&["what", "fields", "where", "entry of manifests in the rules file, or fix"]))
                    tbody role="rowgroup" {
                        @for (subject, unknown) in &shown {
                            tr role="row" {
                                th role="rowheader" scope="row" { code { (visible(&subject.to_string())) } }
                                td role="cell" { (unknown.size(subject)) }
                                td role="cell" { (visible(&unknown.whereabouts())) }
                                td role="cell" { code { (visible(&words::fix(subject, unknown).1)) } }
                            }
                        }
                    }
                }
                @if let Some(line) = words::more(more) { p { (line) "." } }
            }
        }
    }
}
