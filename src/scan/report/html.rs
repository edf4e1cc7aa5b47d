//! One self-contained HTML file, for mail.

mod causes;
mod chart;
pub mod gaps;
mod operators;
mod outcomes;
pub mod page;

use maud::{Markup, html};

use self::causes::{not_covered, reasons};
use self::operators::operators;
use self::outcomes::{Percents, outcomes};
use self::page::{filter, list, page, prose, tile};
use super::words;
use crate::scan::{Bucket, Report, Row, Share, Sums, Verdict};
use crate::words::{count, visible};

/// Formats the report as a page. It loads nothing. Its script only filters rows: without it, the page is complete.
pub fn html(report: &Report) -> String {
    let sums = report.sums();
    let title = visible(&words::title(report));
    let content = html! {
        (head(report, &sums, &title))
        @if !sums.groups.is_empty() {
            (outcomes(&sums))
            (rollouts(report))
            (reasons(&sums))
            (not_covered(&sums))
            (operators(report))
            section aria-labelledby="registries" {
                h2 #registries { "Images by registry" }
                (chart::chart(&sums))
            }
            (namespaces(&sums))
            (images(report, &sums))
        }
        (gaps::sections(&report.skipped, &report.unknowns))
    };
    page(&title, "pullthrough scan", &content)
}

const fn class(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Rewritten => "rewritten",
        Bucket::Observed => "observed",
        Bucket::NotRolledOut => "not-rolled-out",
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
        (gaps::banners(&report.skipped, &report.unknowns))
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

fn rollouts(report: &Report) -> Markup {
    let lines = words::rollouts(report);
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="rollouts" {
                h2 #rollouts { "Roll-out of rules" }
                (list(lines.iter().map(|line| visible(line))))
            }
        }
    }
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
            (filter(
                "image, namespace, rule, reason …",
                "outcome",
                sums.total.buckets().map(|bucket| (class(bucket), bucket.title())),
            ))
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
