//! One self-contained HTML file, for mail: images that are not served first, with their causes and fixes.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::report::Report;
use super::{Finding, Proof, Verified, words};
use crate::diagnosis::{Advice, Status};
use crate::registry::Digest;
use crate::scan::report::html::gaps;
use crate::scan::report::html::page::{filter, headings, page, prose, tile};
use crate::words::{count, span, visible};

const TITLE: &str = "Rewritten images at their caches";
/// The most places of an image.
const FEW_PLACES: usize = 20;
const SERVED: &str = Status::Served.as_str();

/// Formats the report as a page. It loads nothing. Its script only filters rows: without it, the page is complete.
pub fn html(report: &Report) -> String {
    let content = html! {
        (head(report))
        @if !report.images.is_empty() {
            (caches(report.images))
            (images(report.images))
        }
        (gaps::sections(report.skipped, report.unknowns))
    };
    page(TITLE, "pullthrough verify", &content)
}

/// Returns what decides about the place of an image in the page: its status, else the comparison of its digests.
fn first(verified: &Verified) -> Option<Finding> {
    verified.findings().next()
}

/// Returns a class of the style. The classes have colours, by what they are for in a scan.
const fn class(finding: Option<Finding>) -> &'static str {
    match finding {
        None => "cached",
        Some(Finding::Missing | Finding::Denied | Finding::Unreachable | Finding::Different) => "not-covered",
        Some(Finding::RateLimited | Finding::Unknown | Finding::Stale | Finding::Trimmed | Finding::NotCompared) => {
            "not-rewritten"
        }
    }
}

const fn name(finding: Option<Finding>) -> &'static str {
    match finding {
        None => SERVED,
        Some(finding) => finding.as_str(),
    }
}

const fn title(finding: Option<Finding>) -> &'static str {
    match finding {
        None => Status::Served.title(),
        Some(finding) => finding.title(),
    }
}

/// Returns the images by what was found of them, in the order of the page.
fn groups(images: &[Verified]) -> Vec<(Option<Finding>, Vec<&Verified>)> {
    let findings = Finding::ALL.into_iter().map(Some).chain([None]);
    let of = |finding| images.iter().filter(|verified| first(verified) == finding).collect::<Vec<_>>();
    findings.map(|finding| (finding, of(finding))).filter(|(_, images)| !images.is_empty()).collect()
}

fn head(report: &Report) -> Markup {
    let Report { subject, rules, date, images, others, skipped, unknowns } = report;
    let bad = images.iter().filter(|verified| verified.diagnosis.status != Status::Served).count();
    let differing = images.iter().filter(|verified| first(verified).is_some_and(Finding::is_of_digests)).count();
    html! {
        header {
            h1 { (TITLE) }
            dl.facts {
                div { dt { "Source" } dd { code { (visible(subject)) } } }
                div { dt { "Date" } dd { (visible(date)) } }
                div { dt { "Rules" } dd { code { (visible(rules)) } } }
                @if *others > 0 {
                    div { dt { "Not checked" } dd { (count(*others, "place")) ", since no rule sends the image to a cache" } }
                }
            }
        }
        @if bad > 0 { p.banner.bad role="note" { (count(bad, "image")) " of " (images.len()) " not served." } }
        @if differing > 0 {
            p.banner.warning role="note" { (count(differing, "image")) " served, but with a digest that differs or was not compared." }
        }
        (gaps::banners(skipped, unknowns))
        dl.tiles {
            (tile("", "images", &images.len().to_string()))
            @for (finding, images) in groups(images).into_iter().rev() {
                (tile(class(finding), title(finding), &images.len().to_string()))
            }
        }
    }
}

fn caches(images: &[Verified]) -> Markup {
    let mut caches: BTreeMap<(&str, &str), Vec<&Verified>> = BTreeMap::new();
    for verified in images {
        caches.entry((verified.host(), verified.product.as_str())).or_default().push(verified);
    }
    let statuses: Vec<Status> = Status::ALL.into_iter().filter(|status| of_status(images, *status) > 0).collect();
    html! {
        section aria-labelledby="caches" {
            h2 #caches { "Images by cache" }
            table role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "cache" }
                        th role="columnheader" scope="col" { "product" }
                        th.number role="columnheader" scope="col" { "images" }
                        @for status in &statuses { th.number role="columnheader" scope="col" { (status.title()) } }
                    }
                }
                tbody role="rowgroup" {
                    @for ((host, product), images) in &caches {
                        tr role="row" {
                            th role="rowheader" scope="row" { code { (visible(host)) } }
                            td role="cell" { (product) }
                            td.number role="cell" data-label="images" { (images.len()) }
                            @for (status, number) in statuses.iter().map(|status| (status, of_status(images.iter().copied(), *status))) {
                                td.number.zero[number == 0] role="cell" data-label=(status.title()) { (number) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn of_status<'v>(images: impl IntoIterator<Item = &'v Verified>, status: Status) -> usize {
    images.into_iter().filter(|verified| verified.diagnosis.status == status).count()
}

fn images(images: &[Verified]) -> Markup {
    let groups = groups(images);
    let options = groups.iter().map(|(finding, _)| (name(*finding), title(*finding)));
    html! {
        section aria-labelledby="images" {
            h2 #images { "Images, those not served first" }
            (filter("image, cache, cause, place …", "result", options))
            table.images role="table" {
                (headings(&["image", "causes and fixes", "answers", "where"]))
                @for (finding, images) in &groups {
                    tbody role="rowgroup" {
                        tr.group role="row" {
                            th role="rowheader" scope="rowgroup" colspan="4" {
                                (title(*finding)) " " span.quiet { (count(images.len(), "image")) }
                            }
                        }
                        @for verified in images { (row(*finding, verified)) }
                    }
                }
            }
        }
    }
}

fn row(finding: Option<Finding>, verified: &Verified) -> Markup {
    let Verified { target, .. } = verified;
    html! {
        tr role="row" data-bucket=(name(finding)) {
            th role="rowheader" scope="row" {
                code { (visible(&target.image)) }
                @if let Some(upstream) = &target.upstream { " " span.quiet { "for " code { (visible(upstream)) } } }
                @if let Some(rule) = &target.rule { " " span.quiet { "(rule " (visible(rule)) ")" } }
            }
            td role="cell" {
                @for finding in verified.findings() {
                    span.bucket.(class(Some(finding))) { (finding.title()) }
                    @match &verified.seen.proof {
                        Some(proof) if finding.is_of_digests() => (comparison(proof)),
                        _ => (causes(verified)),
                    }
                }
                @if verified.findings().next().is_none() { span.bucket.(class(None)) { (title(None)) } }
            }
            td role="cell" { (answers(verified)) }
            td role="cell" { (whereabouts(verified)) }
        }
    }
}

fn causes(verified: &Verified) -> Markup {
    html! {
        @if verified.diagnosis.causes.len() > 1 { p.quiet { "One of these, which look alike from outside. The most likely is first." } }
        @for Advice { cause: _, text, fix, source } in verified.advice() {
            div.cause {
                p { strong { "Cause: " } (prose(text)) "." }
                p { strong { "Fix: " } (prose(fix)) "." }
                @if let Some(source) = source { p { strong { "Source: " } code { (source) } } }
            }
        }
    }
}

fn comparison(proof: &Proof) -> Markup {
    let (what, fix) = proof.result.words();
    html! {
        div.cause {
            p { strong { "Cause: " } (prose(proof.reason.as_deref().unwrap_or(what))) "." }
            @if proof.reason.is_none() { p { strong { "Fix: " } (prose(fix)) "." } }
            @if let Some(secs) = proof.stale_secs { p { strong { "Age: " } (span(secs)) " older than the upstream's." } }
        }
    }
}

/// What the cache and the upstream answered.
fn answers(verified: &Verified) -> Markup {
    let seen = &verified.seen;
    let proof = seen.proof.as_ref().filter(|proof| Finding::of_match(proof.result).is_some());
    let digest = |digest: &Option<Digest>| digest.as_ref().map(|digest| visible(digest.as_str()));
    let digests = proof.map(|proof| [("cache", digest(&seen.digest)), ("upstream", digest(&proof.upstream_digest))]);
    html! {
        div { "cache: " (visible(&seen.cache.in_words())) }
        @if let Some(upstream) = &seen.upstream { div { "upstream: " (visible(&upstream.in_words())) } }
        @if let Some(platforms) = words::platforms(verified) { div { "platforms " (visible(&platforms)) } }
        @if let Some(meaning) = words::meaning(verified) { div.quiet { (prose(meaning)) } }
        @for warning in &seen.cache.trace.warnings { div { "warning: " (visible(warning)) } }
        @for (of, digest) in digests.into_iter().flatten() {
            @if let Some(digest) = digest { div { (of) " digest: " code { (digest) } } }
        }
    }
}

fn whereabouts(verified: &Verified) -> Markup {
    let places = &verified.target.places;
    let all = places.iter().count();
    let more = all.saturating_sub(FEW_PLACES);
    let shown = places.iter().take(FEW_PLACES).map(|place| visible(&place.to_string()));
    html! {
        details {
            summary { (count(all, "place")) }
            ul {
                @for place in shown { li { (place) } }
                @if more > 0 { li { "and " (more) " more" } }
            }
        }
    }
}
