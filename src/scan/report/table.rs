//! For terminals, and for pipes.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::words::{self, count, visible};
use super::wrap::wrap;
use crate::scan::{Outcome, Report, Row, Share, Sums};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEADINGS: [&str; 4] = ["IMAGE", "WHAT THE RULES DO", "PLACES", "WHERE"];
/// Left and right of a cell.
const PADDING: usize = 2;
/// A terminal may be narrower, but then nothing can be read there.
const MIN_WIDTH: usize = 40;

/// The report for people, in `width` columns; without one each image has one line, however long.
///
/// It has ANSI colours, which whoever prints it strips where nobody would see them (`anstream`).
pub fn table(report: &Report, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report, width.map(|width| width.max(MIN_WIDTH)));
    text
}

fn write(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    let sums = report.sums();
    let fitted = |line: &str, indent| width.map_or_else(|| line.to_owned(), |width| wrap(line, width, indent));
    writeln!(text, "{BOLD}{}{BOLD:#}", fitted(&words::subject(report), 2))?;
    let columns = columns(&sums, width);
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
    out_of_reach(text, &sums, width)?;
    unseen(text, report, width)?;
    unknown(text, report, width)?;
    totals(text, report, &sums, width)
}

/// The widths of the columns, unless it takes several lines to show an image.
fn columns(sums: &Sums, width: Option<usize>) -> Option<[usize; 4]> {
    let mut columns = HEADINGS.map(str::len);
    for row in sums.rows() {
        let widths = cells(row).map(|cell| cell.chars().count());
        columns.iter_mut().zip(widths).for_each(|(max, width)| *max = width.max(*max));
    }
    let columns = columns.map(|column| column + PADDING);
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
        let verdict = coloured(Cell::new(verdict), row.outcome);
        table.add_row([Cell::new(image), verdict, number(places), Cell::new(whereabouts)]);
    }
    let widths = columns.map(|column| Width::Fixed(u16::try_from(column).unwrap_or(u16::MAX)));
    table.set_constraints(widths.map(ColumnConstraint::LowerBoundary));
    writeln!(text, "{}", table.trim_fmt())
}

fn stacked(text: &mut String, rows: &[Row], width: usize) -> fmt::Result {
    for row in rows {
        writeln!(text, " {}", wrap(&words::image(&row.finding.image), width - 1, 3))?;
        let verdict = words::verdict(row);
        if !verdict.is_empty() {
            let style = style(row.outcome);
            writeln!(text, "   {style}{}{style:#}", wrap(&verdict, width - 3, 5))?;
        }
        writeln!(text, "   {DIM}{}{DIM:#}", wrap(&whereabouts(row), width - 3, 5))?;
    }
    Ok(())
}

/// What no webhook sees, and what reaches it.
fn out_of_reach(text: &mut String, sums: &Sums, width: Option<usize>) -> fmt::Result {
    let out_of_reach = sums.out_of_reach();
    if !out_of_reach.is_empty() {
        writeln!(text, "\n{BOLD}Out of the webhook's reach{BOLD:#}")?;
    }
    for (why, rows) in out_of_reach {
        let images = words::images(&rows);
        paragraph(text, " ", &format!("{}: {}", why.title(), why.why()), width)?;
        paragraph(text, "   images  ", &words::few(&images, images.len()), width)?;
        paragraph(text, "   cure    ", why.reached_by(), width)?;
    }
    Ok(())
}

fn unseen(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    if !report.unseen.is_empty() {
        writeln!(text, "\n{BAD}Could not be looked at{BAD:#}")?;
    }
    for (names, unseen) in words::unseen(report) {
        match width {
            Some(_) => paragraph(text, " ", &words::few(&names, names.len()), width)?,
            None => names.iter().try_for_each(|name| paragraph(text, " ", name, width))?,
        }
        paragraph(text, "   why     ", &unseen.why, width)?;
        paragraph(text, "   cure    ", &unseen.cure, width)?;
    }
    Ok(())
}

/// Kinds that are not known, with what makes them known.
fn unknown(text: &mut String, report: &Report, width: Option<usize>) -> fmt::Result {
    if !report.unknowns.is_empty() {
        writeln!(text, "\n{BAD}Not understood{BAD:#}")?;
    }
    let (shown, more) = report.unknowns.shown();
    for (subject, unknown) in shown {
        paragraph(text, " ", &format!("{subject}: {}", unknown.size(subject)), width)?;
        paragraph(text, "   where   ", &unknown.whereabouts(), width)?;
        let (label, cure) = words::cure(subject, unknown);
        paragraph(text, &format!("   {label:7} "), &cure, width)?;
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
    let outcomes: Vec<Outcome> = sums.total.outcomes().collect();
    let mut table = new_table(width);
    let mut header = vec![heading("REGISTRY"), right(heading("IMAGES"))];
    // Two short words each, one below the other.
    let broken = |outcome: &Outcome| match outcome.title().rsplit_once(' ') {
        Some((first, second)) => right(heading(&format!("{first}\n{second}").to_uppercase())),
        None => right(heading(outcome.title())),
    };
    header.extend(outcomes.iter().map(broken));
    header.push(right(heading("PLACES")));
    table.set_header(header);
    let row = |name: String, share: &Share| {
        let mut row = vec![Cell::new(name), number(share.images)];
        row.extend(outcomes.iter().map(|outcome| coloured(number(share.of_outcome(*outcome)), *outcome)));
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
        let line = format!("{} from what --fail-on names: {}", count(failing, "image"), report.fail_on.join(", "));
        writeln!(text)?;
        write!(text, "{BAD}")?;
        paragraph(text, "", &line, width)?;
        write!(text, "{BAD:#}")?;
    }
    writeln!(text)?;
    for line in report.unknowns.totals() {
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

fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Rewritten => AnsiColor::Green.on_default(),
        Outcome::Cached => AnsiColor::Cyan.on_default(),
        Outcome::LeftAlone => AnsiColor::Yellow.on_default(),
        Outcome::OutOfReach => AnsiColor::Red.on_default(),
        Outcome::Undecided => Style::new(),
    }
}

fn coloured(cell: Cell, outcome: Outcome) -> Cell {
    match outcome {
        Outcome::Rewritten => cell.fg(Color::DarkGreen),
        Outcome::Cached => cell.fg(Color::DarkCyan),
        Outcome::LeftAlone => cell.fg(Color::DarkYellow),
        Outcome::OutOfReach => cell.fg(Color::DarkRed),
        Outcome::Undecided => cell,
    }
}
