//! The table for terminals and pipes: totals by cache, and each image that is not served or differs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};

use super::report::Report;
use super::{Match, Verified, words};
use crate::diagnosis::{Advice, Cause, Status};
use crate::scan::report::wrap;
use crate::words::{count, span, visible};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ATTENTION: Style = AnsiColor::Yellow.on_default();
/// A narrower terminal gets lines of this width.
const MIN_WIDTH: usize = 40;

/// Formats the report for people, in `width` columns. Without `width`, each line is as long as its text.
///
/// The text has ANSI colours. The caller strips them where they are not supported (`anstream`).
pub fn table(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report, width.map(|width| width.max(MIN_WIDTH)));
    text
}

fn write(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    let Report { images, others, .. } = report;
    write!(text, "{BOLD}")?;
    paragraph(text, "", &report.title(), width)?;
    writeln!(text, "{BOLD:#}")?;
    if !images.is_empty() {
        writeln!(text, "{}\n", totals(images))?;
    }
    let mut groups: BTreeMap<Group, Vec<&Verified>> = BTreeMap::new();
    for verified in images.iter().filter(|verified| verified.diagnosis.status != Status::Served) {
        groups.entry(Group::of(verified)).or_default().push(verified);
    }
    for (one, of_group) in &groups {
        group(text, one, of_group, width)?;
    }
    for verified in images.iter() {
        comparison(text, verified, width)?;
    }
    for ((host, warning), images) in words::warnings(images) {
        write!(text, "{ATTENTION}warning{ATTENTION:#} ")?;
        paragraph(text, "", &format!("{} at {host}", count(images, "image")), width)?;
        paragraph(text, "  text      ", warning, width)?;
        writeln!(text)?;
    }
    let served = images.iter().filter(|verified| verified.diagnosis.status == Status::Served).count();
    let not_asked = match others {
        0 => String::new(),
        others => format!("; {} not checked, since no rule sends the image to a cache", count(*others, "place")),
    };
    let has_pull = images.iter().any(|verified| verified.target.pull.is_some());
    let by_credentials = if has_pull { ", counted once for each set of pull credentials" } else { "" };
    let images = count(images.len(), "image");
    paragraph(text, "", &format!("{served} of {images} served{by_credentials}{not_asked}"), width)
}

fn totals(images: &[Verified]) -> String {
    let statuses: Vec<Status> = Status::ALL
        .into_iter()
        .filter(|status| images.iter().any(|verified| verified.diagnosis.status == *status))
        .collect();
    let mut caches: BTreeMap<(&str, &str), Vec<&Verified>> = BTreeMap::new();
    for verified in images {
        caches.entry((verified.host(), verified.product.as_str())).or_default().push(verified);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty().enforce_styling().style_text_only();
    table.set_content_arrangement(ContentArrangement::Disabled);
    let heading = |text: &str| Cell::new(text.to_uppercase()).add_attribute(Attribute::Dim);
    let number = |number: usize| Cell::new(number).set_alignment(CellAlignment::Right);
    let right = |cell: Cell| cell.set_alignment(CellAlignment::Right);
    let mut header = vec![heading("cache"), heading("product"), right(heading("images"))];
    header.extend(statuses.iter().map(|status| right(heading(status.title()))));
    table.set_header(header);
    for ((host, product), of_cache) in caches {
        let mut row = vec![Cell::new(visible(host)), Cell::new(product), number(of_cache.len())];
        row.extend(
            statuses
                .iter()
                .map(|status| number(of_cache.iter().filter(|verified| verified.diagnosis.status == *status).count())),
        );
        table.add_row(row);
    }
    table.trim_fmt()
}

/// What images that are not served have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group<'v> {
    status: Status,
    host: &'v str,
    product: &'static str,
    causes: &'v [Cause],
    answer: String,
    meaning: Option<&'static str>,
    upstream: Option<String>,
    platforms: Option<String>,
}

impl<'v> Group<'v> {
    fn of(verified: &'v Verified) -> Self {
        let Verified { diagnosis, seen, .. } = verified;
        Self {
            status: diagnosis.status,
            host: verified.host(),
            product: verified.product.as_str(),
            causes: &diagnosis.causes,
            answer: seen.cache.in_words(),
            meaning: words::meaning(verified),
            upstream: seen.upstream.as_ref().map(crate::registry::Answer::in_words),
            platforms: words::platforms(verified),
        }
    }
}

/// Writes a group, with its images.
fn group(text: &mut String, group: &Group, images: &[&Verified], width: Option<usize>) -> fmt::Result {
    let Group { status, host, product: _, causes, answer, meaning, upstream, platforms } = group;
    let style = if *status == Status::Unknown { ATTENTION } else { BAD };
    write!(text, "{style}{}{style:#} ", status.title())?;
    paragraph(text, "", &format!("{} at {host}", count(images.len(), "image")), width)?;
    let one = if causes.len() > 1 { "  one of    " } else { "  cause     " };
    for Advice { cause: _, text: what, fix, source } in images.iter().take(1).flat_map(|verified| verified.advice()) {
        paragraph(text, one, what, width)?;
        paragraph(text, "    fix     ", fix, width)?;
        if let Some(source) = source {
            paragraph(text, "    source  ", source, width)?;
        }
    }
    paragraph(text, "  answer    ", answer, width)?;
    let others =
        [("  product   ", *meaning), ("  upstream  ", upstream.as_deref()), ("  platform  ", platforms.as_deref())];
    for (label, line) in others.into_iter().filter_map(|(label, line)| Some((label, line?))) {
        paragraph(text, label, line, width)?;
    }
    for verified in images {
        paragraph(text, "  image     ", &verified.target.image, width)?;
        origin(text, verified, width)?;
    }
    writeln!(text)
}

/// Writes where an image is from, and its places.
fn origin(text: &mut String, verified: &Verified, width: Option<usize>) -> fmt::Result {
    let target = &verified.target;
    if let Some(upstream) = &target.upstream {
        let rule = target.rule.as_deref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
        paragraph(text, "    for     ", &format!("{upstream}{rule}"), width)?;
    }
    let more = match target.places.others() {
        0 => String::new(),
        more => format!(" and {} more", count(more, "place")),
    };
    paragraph(text, "    at      ", &format!("{}{more}", target.places.first()), width)?;
    match &target.pull {
        Some(uses) => paragraph(text, "    secrets ", &words::pull_secrets(uses), width),
        None => Ok(()),
    }
}

/// Writes a comparison of digests that did not find them equal.
fn comparison(text: &mut String, verified: &Verified, width: Option<usize>) -> fmt::Result {
    let Some(proof) = verified.seen.proof.as_ref().filter(|proof| proof.result != Match::Equal) else { return Ok(()) };
    let style = if proof.result == Match::Different { BAD } else { ATTENTION };
    let title = if proof.result == Match::Unknown { "not compared" } else { proof.result.as_str() };
    write!(text, "{style}{title}{style:#} ")?;
    paragraph(text, "", &verified.target.image, width)?;
    origin(text, verified, width)?;
    let (what, fix) = proof.result.words();
    paragraph(text, "  cause     ", proof.reason.as_deref().unwrap_or(what), width)?;
    if proof.result != Match::Unknown {
        paragraph(text, "    fix     ", fix, width)?;
    }
    if let Some(secs) = proof.stale_secs {
        paragraph(text, "  age       ", &format!("{} older than the upstream's", span(secs)), width)?;
    }
    let digests = [("  cache     ", &verified.seen.digest), ("  upstream  ", &proof.upstream_digest)];
    for (label, digest) in digests.iter().filter_map(|(label, digest)| Some((label, digest.as_ref()?))) {
        paragraph(text, label, digest.as_str(), width)?;
    }
    writeln!(text)
}

fn paragraph(text: &mut String, label: &str, line: &str, width: Option<usize>) -> fmt::Result {
    let line = visible(line);
    match width {
        Some(width) => writeln!(text, "{label}{}", wrap(&line, width - label.len(), label.len())),
        None => writeln!(text, "{label}{line}"),
    }
}
