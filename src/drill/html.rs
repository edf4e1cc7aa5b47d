//! A page for the people who own the outage: workloads at risk first.

use maud::{Markup, html};

use super::plan::{Drilled, DrilledImage};
use super::table::totals;
use super::unjudged::Unjudged;
use super::verdict::{Evidence, Verdict};
use crate::scan::report::html::gaps;
use crate::scan::report::html::page::{filter, headings, page, prose, tile};
use crate::scan::{Skipped, Unknowns};
use crate::words::visible;

/// The drill, and the headings.
#[derive(Debug)]
pub struct Report<'r> {
    /// The cluster, the paths or the list.
    pub subject: &'r str,
    pub rules: &'r str,
    pub date: &'r str,
    /// The duration of the outage.
    pub outage: &'r str,
    pub workloads: &'r [Drilled],
    pub unjudged: &'r Unjudged,
    pub skipped: &'r [Skipped],
    /// Fields that look like images in objects of unknown kinds.
    pub unknowns: &'r Unknowns,
}

const TITLE: &str = "Workloads without their upstreams";

/// Formats the report as a page. It loads nothing. Its script only filters rows: without it, the page is complete.
pub fn html(report: &Report) -> String {
    let content = html! {
        (head(report))
        @if !report.workloads.is_empty() { (workloads(report.workloads)) }
        (unjudged(report.unjudged))
        (gaps::sections(report.skipped, report.unknowns))
    };
    page(TITLE, "pullthrough drill", &content)
}

/// The classes of the style have colours, by what they are for in a scan.
const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::No => "not-covered",
        Verdict::Unknown => "not-rewritten",
        Verdict::Yes => "cached",
    }
}

const fn title(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::No => "would not start",
        Verdict::Unknown => "unknown",
        Verdict::Yes => "would start",
    }
}

fn head(report: &Report) -> Markup {
    let Report { subject, rules, date, outage, workloads, unjudged: _, skipped, unknowns } = report;
    let of = |verdict| workloads.iter().filter(|one| one.verdict == verdict).count();
    html! {
        header {
            h1 { (TITLE) }
            dl.facts {
                div { dt { "Source" } dd { code { (visible(subject)) } } }
                div { dt { "Date" } dd { (visible(date)) } }
                div { dt { "Rules" } dd { code { (visible(rules)) } } }
                div { dt { "Outage" } dd { (outage) " from now" } }
            }
        }
        @if of(Verdict::No) > 0 { p.banner.bad role="note" { (totals(workloads)) "." } }
        @else if of(Verdict::Unknown) > 0 { p.banner.warning role="note" { (totals(workloads)) "." } }
        (gaps::banners(skipped, unknowns))
        dl.tiles {
            @for verdict in Verdict::ALL { (tile(class(verdict), title(verdict), &of(verdict).to_string())) }
        }
    }
}

fn workloads(workloads: &[Drilled]) -> Markup {
    html! {
        section aria-labelledby="workloads" {
            h2 #workloads { "Workloads, at risk first" }
            (filter(
                "image, registry, evidence …",
                "verdict",
                Verdict::ALL.iter().map(|verdict| (class(*verdict), title(*verdict))),
            ))
            table.images role="table" {
                (headings(&["image", "verdict and evidence", "fix"]))
                @for one in workloads {
                    tbody role="rowgroup" {
                        tr.group role="row" {
                            th role="rowheader" scope="rowgroup" colspan="3" {
                                code { (visible(&name(one))) } " "
                                span.quiet { (title(one.verdict)) }
                            }
                        }
                        @for image in worst_first(&one.images) { (row(image)) }
                    }
                }
            }
        }
    }
}

fn name(one: &Drilled) -> String {
    one.workload.place.object().unwrap_or_else(|| one.workload.place.to_string())
}

fn worst_first(images: &[DrilledImage]) -> Vec<&DrilledImage> {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| image.verdict);
    images
}

fn row(one: &DrilledImage) -> Markup {
    let pulled = one.image.pulled();
    let fixes =
        one.evidence.iter().filter_map(|evidence| evidence.fix.as_deref()).filter(|_| one.verdict != Verdict::Yes);
    html! {
        tr role="row" data-bucket=(class(one.verdict)) {
            th role="rowheader" scope="row" {
                code { (visible(pulled)) }
                @if pulled != one.image.written { " " span.quiet { "for " code { (visible(&one.image.written)) } } }
            }
            td role="cell" {
                span.bucket.(class(one.verdict)) { (title(one.verdict)) }
                @for Evidence { source, text, .. } in &one.evidence { div.quiet { (source.as_str()) ": " (prose(text)) } }
            }
            td role="cell" { @for fix in fixes { div { (prose(fix)) } } }
        }
    }
}

fn unjudged(unjudged: &Unjudged) -> Markup {
    html! {
        @if !unjudged.is_empty() {
            section aria-labelledby="unjudged" {
                h2 #unjudged { "Not judged" }
                table role="table" {
                    (headings(&["images", "why"]))
                    tbody role="rowgroup" {
                        @for (why, images) in unjudged.all() {
                            tr role="row" {
                                th role="rowheader" scope="row" {
                                    @for image in images { div { code { (visible(image)) } } }
                                }
                                td role="cell" { (why.as_str()) }
                            }
                        }
                    }
                }
            }
        }
    }
}
