//! The report of a run, for terminals and for programs.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Entry, Fault, Reason, Status};
use crate::words::{count, visible};

const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEADINGS: [&str; 4] = ["STATUS", "REQUESTS", "SIZE", "IMAGE"];
/// The faults of an image in the table.
const FEW_FAULTS: usize = 3;

/// Returns an entry as a line of JSON.
pub fn json(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default() + "\n"
}

/// Formats the entries for people, those that need attention last. The text has ANSI colours.
pub fn table(entries: &[Entry]) -> String {
    let mut text = String::new();
    let cells: Vec<[String; 3]> = entries
        .iter()
        .map(|entry| [entry.status.as_str().to_owned(), entry.requests.to_string(), size(entry.bytes)])
        .collect();
    let width = |column: usize| {
        let cells = cells.iter().map(|row| row[column].len());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or_default()
    };
    let [status, requests, bytes] = [width(0), width(1), width(2)];
    let [first, second, third, last] = HEADINGS;
    let _ = writeln!(text, "{DIM}{first:<status$}  {second:>requests$}  {third:>bytes$}  {last}{DIM:#}");
    for (entry, [name, number, size]) in entries.iter().zip(&cells) {
        let style = if entry.status.is_done() { GOOD } else { BAD };
        let image = visible(&entry.image);
        let _ = writeln!(text, "{style}{name:<status$}{style:#}  {number:>requests$}  {size:>bytes$}  {image}");
        let faults = entry.faults.iter().take(FEW_FAULTS);
        for Fault { status: _, part, causes, answer, upstream_answer } in faults {
            let _ = writeln!(text, "  {}", visible(part));
            let one = if causes.len() > 1 { "one of  " } else { "cause   " };
            for Reason { cause: _, text: what, fix, source } in causes {
                let _ = writeln!(text, "    {one}  {}", visible(what));
                let _ = writeln!(text, "      fix     {}", visible(fix));
                if let Some(source) = source {
                    let _ = writeln!(text, "      source  {source}");
                }
            }
            for (label, answer) in [("answer  ", answer), ("upstream", upstream_answer)] {
                if let Some(answer) = answer {
                    let _ = writeln!(text, "    {label}  {}", visible(answer));
                }
            }
        }
        let more = entry.faults.len().saturating_sub(FEW_FAULTS) + entry.more_faults;
        if more > 0 {
            let _ = writeln!(text, "  and {more} more; -o json has them");
        }
    }
    text
}

/// Returns the totals in one line.
pub fn totals(entries: &[Entry], is_dry_run: bool) -> String {
    let sum = |of: fn(&Entry) -> u64| entries.iter().map(of).sum::<u64>();
    let done = entries.iter().filter(|entry| entry.status.is_done()).count();
    let verb = if is_dry_run { "would fetch" } else { "fetched" };
    let requests = usize::try_from(sum(|entry| entry.requests)).unwrap_or(usize::MAX);
    let resumed = match sum(|entry| entry.resumed) {
        0 => String::new(),
        parts => format!("; {} fetched before", count(usize::try_from(parts).unwrap_or(usize::MAX), "part")),
    };
    let absent = match entries.iter().filter(|entry| entry.status == Status::Absent).count() {
        0 => String::new(),
        images => format!("; {} absent from the upstream", count(images, "image")),
    };
    format!(
        "{verb} {done} of {}: {}, {}{resumed}{absent}",
        count(entries.len(), "image"),
        count(requests, "request"),
        size(sum(|entry| entry.bytes)),
    )
}

/// Returns bytes in a suitable unit: `12.3 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    // 1023.95 would be printed as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
