//! One self-contained HTML file, for mail.

mod causes;
mod chart;
mod outcomes;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use self::causes::{not_covered, reasons, skipped};
use self::outcomes::{Percents, outcomes};
use super::words;
use crate::scan::{Bucket, Report, Row, Share, Sums, Verdict};
use crate::words::{count, visible};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/filter.js");

/// Formats the report as a page. It loads nothing. Its script only filters rows: without it, the page is complete.
pub fn html(report: &Report) -> String {
    let sums = report.sums();
    let title = visible(&words::title(report));
    let content = html! {
        (head(report, &sums, &title))
        @if !sums.groups.is_empty() {
            (outcomes(&sums))
            (reasons(&sums))
            (not_covered(&sums))
            section aria-labelledby="registries" {
                h2 #registries { "Images by registry" }
                (chart::chart(&sums))
            }
            (namespaces(&sums))
            (images(report, &sums))
        }
        (skipped(report, "failed", "Failed to read", |skipped| skipped.is_failure))
        (skipped(report, "skipped", "Skipped", |skipped| !skipped.is_failure))
        (unknown(report))
    };
    page(&title, "pullthrough scan", &content)
}

/// Returns a page that loads nothing, with the style and the script of reports.
pub fn page(title: &str, command: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                // A policy applies only to what follows it.
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
                    (content)
                    footer { "Created by " code { (command) } " " (env!("CARGO_PKG_VERSION")) "." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Returns a policy that allows the style and the script of the page alone.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

const fn class(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Rewritten => "rewritten",
        Bucket::Observed => "observed",
        Bucket::Cached => "cached",
        Bucket::NotRewritten => "not-rewritten",
        Bucket::NotCovered => "not-covered",
        Bucket::Undecided => "undecided",
    }
}

fn head(report: &Report, sums: &Sums, title: &str) -> Markup {
    let rules = match &report.rules {
        Some(rules) => html! { code { (visible(rules)) } },
        None => html! { "none" },
    };
    let percents = Percents::new(sums.total);
    let failing = words::failing(report).len();
    let failed = report.skipped.iter().filter(|skipped| skipped.is_failure).count();
    let skipped = report.skipped.len() - failed;
    html! {
        header {
            h1 { (title) }
            dl.facts {
                div { dt { "Source" } dd { code { (visible(&report.subject)) } } }
                @if let Some(generated) = &report.generated { div { dt { "Date" } dd { (visible(generated)) } } }
                div {
                    dt { "Rules" }
                    dd { (rules) @if let Some(hash) = &report.rules_hash { " (hash " code { (visible(hash)) } ")" } }
                }
                div { dt { "Scanned" } dd { (words::looked_at(report)) } }
            }
        }
        @if failing > 0 {
            p.banner.bad role="note" {
                (count(failing, "image")) " from a registry of --fail-on: " (visible(&report.fail_on.join(", "))) ". "
            }
        }
        @if failed > 0 {
            p.banner.bad role="note" { (count(failed, "item")) " failed to read. " a href="#failed" { "Show the list" } }
        }
        @if skipped > 0 {
            p.banner.warning role="note" { (count(skipped, "item")) " skipped. " a href="#skipped" { "Show the list" } }
        }
        @for line in report.unknowns.totals() {
            p.banner.warning role="note" { (line) ". " a href="#unknown" { "Show the list" } }
        }
        dl.tiles {
            @if report.rules.is_some() && sums.total.places > 0 {
                (tile("cached", "coverage now", &percents.of(&[Bucket::Cached])))
                (tile("rewritten", "coverage with the rules", &percents.of(&[Bucket::Cached, Bucket::Rewritten])))
            }
            (tile("", "images", &sums.total.images.to_string()))
            (tile("", "registries", &sums.registries().to_string()))
            (tile("", "places", &sums.total.places.to_string()))
        }
    }
}

pub fn tile(class: &str, name: &str, number: &str) -> Markup {
    html! { div class=(format!("tile {class}").trim_end()) { dt { (name) } dd { (number) } } }
}

fn namespaces(sums: &Sums) -> Markup {
    let name = |name: Option<&str>| match name {
        Some(name) => html! { code { (visible(name)) } },
        None => html! { span.quiet { "no namespace" } },
    };
    let buckets: Vec<Bucket> = sums.total.buckets().collect();
    let images = sums.namespaces.iter().map(|(_, share)| share.images).sum::<usize>();
    let cells = |share: &Share| {
        html! {
            td.number role="cell" data-label="images" { (share.images) }
            @for (bucket, count) in buckets.iter().map(|bucket| (bucket, share.of_bucket(*bucket))) {
                td.number.zero[count == 0] role="cell" data-label=(bucket.title()) { (count) }
            }
            td.number role="cell" data-label="places" { (share.places) }
        }
    };
    html! {
        @if sums.namespaces.iter().any(|(name, _)| name.is_some()) {
            section aria-labelledby="namespaces" {
                h2 #namespaces { "Images by namespace" }
                table role="table" {
                    thead role="rowgroup" {
                        tr role="row" {
                            th role="columnheader" scope="col" { "namespace" }
                            th.number role="columnheader" scope="col" { "images" }
                            @for bucket in &buckets { th.number role="columnheader" scope="col" { (bucket.title()) } }
                            th.number role="columnheader" scope="col" { "places" }
                        }
                    }
                    tbody role="rowgroup" {
                        @for (namespace, share) in &sums.namespaces {
                            tr role="row" { th role="rowheader" scope="row" { (name(*namespace)) } (cells(share)) }
                        }
                    }
                    tfoot role="rowgroup" {
                        tr role="row" { th role="rowheader" scope="row" { "total" } (cells(&sums.total)) }
                    }
                }
                @if images > sums.total.images {
                    p.note {
                        "Images add up to " (images - sums.total.images)
                        " more than the total: an image in several namespaces counts in each."
                    }
                }
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
                label.label for="bucket" { "Show rows with this outcome" }
                select #bucket {
                    option value="" { "all" }
                    @for bucket in sums.total.buckets() { option value=(class(bucket)) { (bucket.title()) } }
                }
                output for="text bucket" {}
            }
            table.images role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "image" }
                        th role="columnheader" scope="col" { "outcome" }
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
        tr.failing[is_failing] role="row" data-bucket=(class(row.bucket)) {
            th role="rowheader" scope="row" { code { (words::image(&row.finding.image)) } }
            td role="cell" { (verdict(row)) }
            td.number role="cell" data-label="places" { (row.count) }
            td role="cell" { (whereabouts(row)) }
        }
    }
}

fn verdict(row: &Row) -> Markup {
    html! {
        span.bucket.(class(row.bucket)) {
            (row.bucket.title())
            @if let (Bucket::NotCovered, Some(why)) = (row.bucket, row.finding.not_covered) { ": " (why.title()) }
        }
        @match row.verdict() {
            Some(Verdict::Rewrite { result, rule }) => {
                code { "→ " (visible(result)) } " " span.quiet { "(rule " (visible(rule)) ")" }
            },
            Some(Verdict::NotRewritten { rule, would_be: Some(name), .. }) => {
                code { "→ " (visible(name)) }
                @if let Some(rule) = rule { " " span.quiet { "(rule " (visible(rule)) ")" } }
            },
            Some(Verdict::NotRewritten { reason, rule, would_be: None }) => {
                span.quiet { (prose(&words::reason(*reason, rule.as_deref()))) }
            },
            None => {},
        }
    }
}

/// Formats text between backticks as code.
pub fn prose(text: &str) -> Markup {
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

pub fn headings(headings: &[&str]) -> Markup {
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

fn unknown(report: &Report) -> Markup {
    let (shown, more) = report.unknowns.shown();
    html! {
        @if !report.unknowns.is_empty() {
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
