//! Tables for terminals and pipes.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::wrap::wrap;
use super::{operators, words};
use crate::scan::{Bucket, Report, Row, Share, Sums};
use crate::words::{count, few, visible};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEADINGS: [&str; 4] = ["IMAGE", "OUTCOME", "PLACES", "WHERE"];
/// The index of its heading.
const OUTCOME: usize = 1;
/// The sum of the padding left and right of a cell.
const PADDING: usize = 2;
/// A narrower terminal gets lines of this width.
const MIN_WIDTH: usize = 40;

/// Formats the report for people, in `width` columns. Without `width`, each image has one line.
///
/// The text has ANSI colours. The caller strips them where they are not supported (`anstream`).
pub fn table(report: &Report, width: Option<usize>) -> String {
    let (mut text, sums, width) = (String::new(), report.sums(), fitting(width));
    // Writing to a string does not fail.
    let _ = head(&mut text, report, &sums, width).and_then(|()| details(&mut text, report, &sums, width));
    text
}

/// The head of the table alone: images by registry, and totals.
pub fn summary(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    let _ = head(&mut text, report, &report.sums(), fitting(width));
    text
}

fn fitting(width: Option<usize>) -> Option<usize> {
    width.map(|width| width.max(MIN_WIDTH))
}

fn head(text: &mut String, report: &Report, sums: &Sums, width: Option<usize>) -> fmt::Result {
    let subject = words::subject(report);
    let subject = width.map_or_else(|| subject.clone(), |width| wrap(&subject, width, 2));
    writeln!(text, "{BOLD}{subject}{BOLD:#}")?;
    totals(text, report, sums, width)
}

fn details(text: &mut String, report: &Report, sums: &Sums, width: Option<usize>) -> fmt::Result {
    let fitted = |line: &str, indent| width.map_or_else(|| line.to_owned(), |width| wrap(line, width, indent));
    let columns = columns(sums, width);
    for group in &sums.groups {
        let Share { images, places, .. } = group.share;
        let share = format!("{} at {}", count(images, "image"), count(places, "place"));
        let registry = words::registry(group);
        let separator = match width {
            Some(width) if registry.chars().count() + share.len() + 2 > width => "\n",
            _ => "  ",
        };
        writeln!(text, "\n{BOLD}{}{BOLD:#}{separator}{DIM}{share}{DIM:#}", fitted(&registry, 0))?;
        match (columns, width) {
            (None, Some(width)) => stacked(text, &group.rows, width)?,
            (columns, _) => side_by_side(text, &group.rows, columns.unwrap_or_default())?,
        }
    }
    not_covered(text, sums, width)?;
    operators(text, report, width)?;
    skipped(text, report, width)?;
    unknown(text, report, width)
}

/// Returns the widths of the columns, or `None` if an image needs several lines. A column of width 0 is hidden: without rules,
/// images have no outcome.
fn columns(sums: &Sums, width: Option<usize>) -> Option<[usize; 4]> {
    let mut columns = HEADINGS.map(str::len);
    for row in sums.rows() {
        let widths = cells(row).map(|cell| cell.chars().count());
        columns.iter_mut().zip(widths).for_each(|(max, width)| *max = width.max(*max));
    }
    let mut columns = columns.map(|column| column + PADDING);
    if sums.rows().all(|row| words::verdict(row).is_empty()) {
        columns[OUTCOME] = 0;
    }
    width.is_none_or(|width| columns.iter().sum::<usize>() <= width).then_some(columns)
}

fn cells(row: &Row) -> [String; 4] {
    [words::image(&row.finding.image), words::verdict(row), row.count.to_string(), whereabouts(row)]
}

fn whereabouts(row: &Row) -> String {
    format!("{}: {}", words::uses(row.uses()), words::whereabouts(row))
}

fn side_by_side(text: &mut String, rows: &[Row], columns: [usize; 4]) -> fmt::Result {
    let mut table = new_table(None);
    table.set_header(HEADINGS.map(heading));
    for row in rows {
        let [image, verdict, places, whereabouts] = cells(row);
        let verdict = coloured(Cell::new(verdict), row.bucket);
        table.add_row([Cell::new(image), verdict, number(places), Cell::new(whereabouts)]);
    }
    let widths = columns.map(|column| Width::Fixed(u16::try_from(column).unwrap_or(u16::MAX)));
    table.set_constraints(widths.map(ColumnConstraint::LowerBoundary));
    if columns[OUTCOME] == 0
        && let Some(outcome) = table.column_mut(OUTCOME)
    {
        outcome.set_constraint(ColumnConstraint::Hidden);
    }
    writeln!(text, "{}", table.trim_fmt())
}

fn stacked(text: &mut String, rows: &[Row], width: usize) -> fmt::Result {
    for row in rows {
        writeln!(text, " {}", wrap(&words::image(&row.finding.image), width - 1, 3))?;
        let verdict = words::verdict(row);
        if !verdict.is_empty() {
            let style = style(row.bucket);
            writeln!(text, "   {style}{}{style:#}", wrap(&verdict, width - 3, 5))?;
        }
        writeln!(text, "   {DIM}{}{DIM:#}", wrap(&whereabouts(row), width - 3, 5))?;
    }
    Ok(())
}

/// Writes the images that the webhook does not cover, with the fix.
fn not_covered(text: &mut String, sums: &Sums, width: Option<usize>) -> fmt::Result {
    let not_covered = sums.not_covered();
    if !not_covered.is_empty() {
        writeln!(text, "\n{BOLD}Not covered by the webhook{BOLD:#}")?;
    }
    for (why, rows) in not_covered {
        let images = words::images(&rows);
        paragraph(text, " ", &format!("{}: {}", why.title(), why.why()), width)?;
        paragraph(text, "   images  ", &words::few(&images, images.len()), width)?;
        paragraph(text, "   fix     ", why.reached_by(), width)?;
    }
    Ok(())
}

/// Writes the operators that compare images, with what to set.
fn operators(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    let operators::Operators { known, possible } = operators::Operators::of(report);
    if !known.is_empty() {
        writeln!(text, "\n{BOLD}{}{BOLD:#}", operators::KNOWN)?;
    }
    for operators::Known { title, effect, settings } in known {
        paragraph(text, " ", &title, width)?;
        paragraph(text, "   effect  ", &effect, width)?;
        settings.iter().try_for_each(|setting| paragraph(text, "   fix     ", setting, width))?;
    }
    if !possible.is_empty() {
        writeln!(text, "\n{BOLD}{}{BOLD:#}", operators::POSSIBLE)?;
        paragraph(text, " ", operators::POSSIBLE_WHY, width)?;
        paragraph(text, "   where   ", &few(&possible), width)?;
        paragraph(text, "   fix     ", operators::POSSIBLE_FIX, width)?;
    }
    Ok(())
}

fn skipped(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    if !report.skipped.is_empty() {
        writeln!(text, "\n{BAD}Skipped{BAD:#}")?;
    }
    for (names, skipped) in words::skipped(&report.skipped) {
        match width {
            Some(_) => paragraph(text, " ", &words::few(&names, names.len()), width)?,
            None => names.iter().try_for_each(|name| paragraph(text, " ", name, width))?,
        }
        paragraph(text, "   why     ", &skipped.why, width)?;
        paragraph(text, "   fix     ", &skipped.fix, width)?;
    }
    Ok(())
}

/// Writes the unknown kinds, with the entry that declares them.
fn unknown(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    if !report.unknowns.is_empty() {
        writeln!(text, "\n{BAD}Not understood{BAD:#}")?;
    }
    let (shown, more) = report.unknowns.shown();
    for (subject, unknown) in shown {
        paragraph(text, " ", &format!("{subject}: {}", unknown.size(subject)), width)?;
        paragraph(text, "   where   ", &unknown.whereabouts(), width)?;
        let (label, fix) = words::fix(subject, unknown);
        paragraph(text, &format!("   {label:7} "), &fix, width)?;
    }
    words::more(more).iter().try_for_each(|line| paragraph(text, " ", line, width))
}

fn paragraph(text: &mut String, label: &str, line: &str, width: Option<usize>) -> fmt::Result {
    let line = visible(line);
    match width {
        Some(width) => writeln!(text, "{label}{}", wrap(&line, width - label.len(), label.len())),
        None => writeln!(text, "{label}{line}"),
    }
}

fn totals(text: &mut String, report: &Report, sums: &Sums, width: Option<usize>) -> fmt::Result {
    // Without rules, all images are in one bucket.
    let buckets: Vec<Bucket> = sums.total.buckets().filter(|bucket| *bucket != Bucket::Undecided).collect();
    let mut table = new_table(width);
    let mut header = vec![heading("REGISTRY"), right(heading("IMAGES"))];
    // Two lines of short words keep the columns narrow.
    let broken = |bucket: &Bucket| match bucket.title().rsplit_once(' ') {
        Some((first, second)) => right(heading(&format!("{first}\n{second}").to_uppercase())),
        None => right(heading(bucket.title())),
    };
    header.extend(buckets.iter().map(broken));
    header.push(right(heading("PLACES")));
    table.set_header(header);
    let row = |name: String, share: &Share| {
        let mut row = vec![Cell::new(name), number(share.images)];
        row.extend(buckets.iter().map(|bucket| coloured(number(share.of_bucket(*bucket)), *bucket)));
        row.push(number(share.places));
        row
    };
    for group in &sums.groups {
        table.add_row(row(words::registry(group), &group.share));
    }
    let total = row("total".to_owned(), &sums.total);
    table.add_row(total.into_iter().map(|cell| cell.add_attribute(Attribute::Bold)).collect::<Vec<_>>());
    if !sums.groups.is_empty() {
        writeln!(text, "\n{}", table.trim_fmt())?;
    }
    let failing = words::failing(report).len();
    if failing > 0 {
        let line = format!("{} from a registry of --fail-on: {}", count(failing, "image"), report.fail_on.join(", "));
        writeln!(text)?;
        write!(text, "{BAD}")?;
        paragraph(text, "", &line, width)?;
        write!(text, "{BAD:#}")?;
    }
    writeln!(text)?;
    for line in words::rollouts(report).into_iter().chain(report.unknowns.totals()) {
        paragraph(text, "", &line, width)?;
    }
    paragraph(text, "", &format!("{}; {}", words::totals(sums), words::looked_at(report)), width)
}

fn new_table(width: Option<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty().enforce_styling().style_text_only();
    match width.and_then(|width| u16::try_from(width).ok()) {
        Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

fn heading(text: &str) -> Cell {
    Cell::new(text).add_attribute(Attribute::Dim)
}

fn number(text: impl ToString) -> Cell {
    right(Cell::new(text))
}

fn right(cell: Cell) -> Cell {
    cell.set_alignment(CellAlignment::Right)
}

fn style(bucket: Bucket) -> Style {
    match bucket {
        Bucket::Rewritten => AnsiColor::Green.on_default(),
        Bucket::Observed => AnsiColor::Blue.on_default(),
        Bucket::NotRolledOut => AnsiColor::Magenta.on_default(),
        Bucket::Cached => AnsiColor::Cyan.on_default(),
        Bucket::NotRewritten => AnsiColor::Yellow.on_default(),
        Bucket::NotCovered => AnsiColor::Red.on_default(),
        Bucket::Undecided => Style::new(),
    }
}

fn coloured(cell: Cell, bucket: Bucket) -> Cell {
    match bucket {
        Bucket::Rewritten => cell.fg(Color::DarkGreen),
        Bucket::Observed => cell.fg(Color::DarkBlue),
        Bucket::NotRolledOut => cell.fg(Color::DarkMagenta),
        Bucket::Cached => cell.fg(Color::DarkCyan),
        Bucket::NotRewritten => cell.fg(Color::DarkYellow),
        Bucket::NotCovered => cell.fg(Color::DarkRed),
        Bucket::Undecided => cell,
    }
}
