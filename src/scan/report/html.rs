//! One HTML file that needs nothing else, to be mailed.

mod chart;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::words::{self, count, visible};
use crate::scan::{Outcome, Report, Row, Share, Sums, Verdict};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/filter.js");

/// The report as a page. It loads nothing, and its script only hides rows: without it nothing is missing.
pub fn html(report: &Report) -> String {
    let sums = report.sums();
    let title = format!("What {} pulls", visible(&report.subject));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                // Before what it is about.
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("pullthrough ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(report, &sums, &title))
                    @if !sums.groups.is_empty() {
                        section aria-labelledby="registries" {
                            h2 #registries { "Images by registry" }
                            (chart::chart(&sums))
                            (registries(&sums))
                        }
                        (namespaces(&sums))
                        (images(report, &sums))
                    }
                    (out_of_reach(&sums))
                    (unseen(report))
                    (unknown(report))
                    footer { "Made by " code { "pullthrough scan" } "." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Nothing but the style and the script that are in the page.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

const fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Rewritten => "rewritten",
        Outcome::Cached => "cached",
        Outcome::LeftAlone => "left-alone",
        Outcome::OutOfReach => "out-of-reach",
        Outcome::Undecided => "undecided",
    }
}

fn head(report: &Report, sums: &Sums, title: &str) -> Markup {
    let rules = match &report.rules {
        Some(rules) => format!("By the rules of {}. ", visible(rules)),
        None => "Without rules. ".to_owned(),
    };
    let generated = report.generated.as_deref().map(|generated| format!(" {}.", visible(generated)));
    let tile = |name: &str, number: usize| html! { div.tile { dt { (name) } dd { (number) } } };
    let failing = words::failing(report).len();
    html! {
        header {
            h1 { (title) }
            p.lead { (rules) (words::totals(sums)) "; " (words::looked_at(report)) "." (generated.unwrap_or_default()) }
        }
        dl.tiles {
            (tile("images", sums.total.images))
            (tile("registries", sums.registries()))
            (tile("places", sums.total.places))
            @for outcome in sums.total.outcomes() {
                div.tile.(class(outcome)) { dt { (outcome.title()) } dd { (sums.total.of_outcome(outcome)) } }
            }
        }
        @if failing > 0 {
            p.banner role="note" {
                (count(failing, "image")) " from what --fail-on names: " (visible(&report.fail_on.join(", ")))
            }
        }
        @for line in report.unknowns.totals() {
            p.banner role="note" { (line) "; a section below says which." }
        }
        @if !report.unseen.is_empty() {
            p.banner role="note" { (count(report.unseen.len(), "thing")) " could not be looked at; a section below says which." }
        }
    }
}

fn registries(sums: &Sums) -> Markup {
    let shares = sums.groups.iter().map(|group| (html! { code { (words::registry(group)) } }, group.share));
    shares_table(
        "Registry",
        "Numbers of images. One that is treated differently at different places counts in each column.",
        sums,
        shares,
    )
}

fn namespaces(sums: &Sums) -> Markup {
    let name = |name: Option<&str>| match name {
        Some(name) => html! { code { (visible(name)) } },
        None => html! { span.quiet { "in no namespace" } },
    };
    let shares = sums.namespaces.iter().map(|(namespace, share)| (name(*namespace), *share));
    html! {
        @if sums.namespaces.iter().any(|(name, _)| name.is_some()) {
            section aria-labelledby="namespaces" {
                h2 #namespaces { "Namespaces" }
                (shares_table("Namespace", "Numbers of images, for the teams concerned.", sums, shares))
            }
        }
    }
}

fn shares_table(of: &str, caption: &str, sums: &Sums, shares: impl Iterator<Item = (Markup, Share)>) -> Markup {
    let outcomes: Vec<Outcome> = sums.total.outcomes().collect();
    let cells = |share: &Share| {
        html! {
            td.number role="cell" data-label="images" { (share.images) }
            @for (outcome, count) in outcomes.iter().map(|outcome| (outcome, share.of_outcome(*outcome))) {
                td.number.zero[count == 0] role="cell" data-label=(outcome.title()) { (count) }
            }
            td.number role="cell" data-label="places" { (share.places) }
        }
    };
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { (of) }
                    th.number role="columnheader" scope="col" { "images" }
                    @for outcome in &outcomes { th.number role="columnheader" scope="col" { (outcome.title()) } }
                    th.number role="columnheader" scope="col" { "places" }
                }
            }
            tbody role="rowgroup" {
                @for (name, share) in shares { tr role="row" { th role="rowheader" scope="row" { (name) } (cells(&share)) } }
            }
            tfoot role="rowgroup" {
                tr role="row" { th role="rowheader" scope="row" { "total" } (cells(&sums.total)) }
            }
        }
    }
}

fn images(report: &Report, sums: &Sums) -> Markup {
    let forbidden = report.forbidden();
    html! {
        section aria-labelledby="images" {
            h2 #images { "Images" }
            div.filter role="search" hidden {
                label.label for="text" { "Show rows with this text" }
                input #text type="search" placeholder="image, namespace, rule, reason …" autocomplete="off";
                label.label for="outcome" { "Show rows with this outcome" }
                select #outcome {
                    option value="" { "all" }
                    @for outcome in sums.total.outcomes() { option value=(class(outcome)) { (outcome.title()) } }
                }
                output for="text outcome" {}
            }
            table.images role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "image" }
                        th role="columnheader" scope="col" { "what the rules do" }
                        th.number role="columnheader" scope="col" { "places" }
                        th role="columnheader" scope="col" { "where" }
                    }
                }
                @for group in &sums.groups {
                    tbody role="rowgroup" {
                        tr.group role="row" {
                            th role="rowheader" scope="rowgroup" colspan="4" {
                                code { (words::registry(group)) } " "
                                span.quiet { (count(group.share.images, "image")) " at " (count(group.share.places, "place")) }
                            }
                        }
                        @for row in &group.rows { (image(row, row.finding.forbidden_by(&forbidden).is_some())) }
                    }
                }
            }
        }
    }
}

fn image(row: &Row, is_failing: bool) -> Markup {
    html! {
        tr.failing[is_failing] role="row" data-outcome=(class(row.outcome)) {
            th role="rowheader" scope="row" { code { (words::image(&row.finding.image)) } }
            td role="cell" { (verdict(row)) }
            td.number role="cell" data-label="places" { (row.count) }
            td role="cell" { (whereabouts(row)) }
        }
    }
}

fn verdict(row: &Row) -> Markup {
    html! {
        span.outcome.(class(row.outcome)) {
            (row.outcome.title())
            @if let (Outcome::OutOfReach, Some(why)) = (row.outcome, row.finding.out_of_reach) { ": " (why.title()) }
        }
        @match row.verdict() {
            Some(Verdict::Rewrite { result, rule }) => {
                code { "→ " (visible(result)) } " " span.quiet { "(rule " (visible(rule)) ")" }
            },
            Some(Verdict::Keep { reason, rule }) => {
                span.quiet { (prose(&words::reason(*reason, rule.as_deref()))) }
            },
            None => {},
        }
    }
}

/// Sentences in which what stands between backticks is code.
fn prose(text: &str) -> Markup {
    let text = visible(text);
    let parts = text.split('`').enumerate();
    html! { @for (index, part) in parts { @if index % 2 == 1 { code { (part) } } @else { (part) } } }
}

fn whereabouts(row: &Row) -> Markup {
    let more = row.count - row.places.len();
    html! {
        details {
            summary { (words::uses(row.uses())) }
            ul {
                @for (namespace, count) in &row.namespaces { li { "namespace " code { (visible(namespace)) } ": " (count) } }
                @for place in &row.places { li { (visible(&place.to_string())) } }
                @if more > 0 { li { "and " (more) " more" } }
            }
        }
    }
}

fn out_of_reach(sums: &Sums) -> Markup {
    let out_of_reach = sums.out_of_reach();
    html! {
        @if !out_of_reach.is_empty() {
            section aria-labelledby="reach" {
                h2 #reach { "Out of the webhook's reach" }
                @for (why, rows) in &out_of_reach {
                    div.reach {
                        h3 { (why.title()) }
                        p { strong { "Why: " } (why.why()) "." }
                        p { strong { "What reaches them: " } (prose(why.reached_by())) "." }
                        ul { @for image in words::images(rows) { li { code { (words::image(image)) } } } }
                    }
                }
            }
        }
    }
}

fn headings(headings: &[&str]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" {
                @for heading in headings {
                    th role="columnheader" scope="col" { (heading) }
                }
            }
        }
    }
}

fn unseen(report: &Report) -> Markup {
    html! {
        @if !report.unseen.is_empty() {
            section aria-labelledby="unseen" {
                h2 #unseen { "Could not be looked at" }
                table role="table" {
                    (headings(&["what", "why", "what would help"]))
                    tbody role="rowgroup" {
                        @for unseen in &report.unseen {
                            tr role="row" {
                                th role="rowheader" scope="row" { code { (visible(&unseen.what)) } }
                                td role="cell" { (prose(&unseen.why)) }
                                td role="cell" { (prose(&unseen.cure)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn unknown(report: &Report) -> Markup {
    let (shown, more) = report.unknowns.shown();
    html! {
        @if !report.unknowns.is_empty() {
            section aria-labelledby="unknown" {
                h2 #unknown { "Not understood" }
                table role="table" {
                    (headings(&["what", "fields", "where", "entry of manifests in the rules file, or what to do"]))
                    tbody role="rowgroup" {
                        @for (subject, unknown) in &shown {
                            tr role="row" {
                                th role="rowheader" scope="row" { code { (visible(&subject.to_string())) } }
                                td role="cell" { (unknown.size(subject)) }
                                td role="cell" { (visible(&unknown.whereabouts())) }
                                td role="cell" { code { (visible(&words::cure(subject, unknown).1)) } }
                            }
                        }
                    }
                }
                @if let Some(line) = words::more(more) { p { (line) "." } }
            }
        }
    }
}
