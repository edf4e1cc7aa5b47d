//! The table for terminals and pipes: workloads at risk first, with their images and the evidence.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};

use super::plan::{Drilled, DrilledImage};
use super::verdict::Verdict;
use crate::scan::report::wrap;
use crate::words::{count, visible};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ATTENTION: Style = AnsiColor::Yellow.on_default();
/// A narrower terminal gets lines of this width.
const MIN_WIDTH: usize = 40;

/// Formats the report for people, in `width` columns. Without `width`, each line is as long as its text.
///
/// The text has ANSI colours. The caller strips them where they are not supported (`anstream`).
pub fn table(subject: &str, drilled: &[Drilled], width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, subject, drilled, width.map(|width| width.max(MIN_WIDTH)));
    text
}

fn write(text: &mut String, subject: &str, drilled: &[Drilled], width: Option<usize>) -> fmt::Result {
    write!(text, "{BOLD}")?;
    paragraph(text, "", subject, width)?;
    writeln!(text, "{BOLD:#}")?;
    for one in drilled.iter().filter(|one| one.verdict != Verdict::Yes) {
        let style = if one.verdict == Verdict::No { BAD } else { ATTENTION };
        write!(text, "{style}{}{style:#} ", one.verdict.as_str())?;
        let title = one.workload.place.object().unwrap_or_else(|| one.workload.place.to_string());
        paragraph(text, "", &title, width)?;
        for image in one.images.iter().filter(|image| image.verdict != Verdict::Yes) {
            write_image(text, image, width)?;
        }
        writeln!(text)?;
    }
    paragraph(text, "", &totals(drilled), width)
}

fn write_image(text: &mut String, one: &DrilledImage, width: Option<usize>) -> fmt::Result {
    let label = format!("  {:<10}", one.verdict.as_str());
    paragraph(text, &label, one.image.pulled(), width)?;
    if one.image.pulled() != one.image.written {
        paragraph(text, "    for       ", &one.image.written, width)?;
    }
    for evidence in &one.evidence {
        paragraph(text, &format!("    {:<10}", evidence.source.as_str()), &evidence.text, width)?;
        if let Some(fix) = &evidence.fix {
            paragraph(text, "    fix       ", fix, width)?;
        }
    }
    Ok(())
}

/// Returns how many workloads and images would start.
pub fn totals(drilled: &[Drilled]) -> String {
    let of = |verdict| drilled.iter().filter(|one| one.verdict == verdict).count();
    format!(
        "{} of {} would start without the upstreams; no: {}, unknown: {}",
        of(Verdict::Yes),
        count(drilled.len(), "workload"),
        of(Verdict::No),
        of(Verdict::Unknown)
    )
}

fn paragraph(text: &mut String, label: &str, line: &str, width: Option<usize>) -> fmt::Result {
    let line = visible(line);
    match width {
        Some(width) => writeln!(text, "{label}{}", wrap(&line, width - label.len(), label.len())),
        None => writeln!(text, "{label}{line}"),
    }
}
