//! What is printed of a scan: each finding as it comes, or all in the end; and the exit code.

use std::process::ExitCode;

use super::fail_on::FailOn;
use super::progress::Progress;
use crate::cli::output;
use crate::cluster::words::count;
use crate::scan::{Finding, Report, Unseen, report};

/// Places that the page and the table name of each image; SARIF has a result for each place.
const FEW_PLACES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
    Sarif,
    Markdown,
    Html,
}

impl Format {
    pub fn places_kept(self) -> usize {
        match self {
            Self::Sarif => usize::MAX,
            Self::Json => 0,
            Self::Table | Self::Markdown | Self::Html => FEW_PLACES,
        }
    }
}

/// What it means that something could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing: it is a template, and no manifest before it is rendered; or it is not of the folder that was named.
    Aside,
    /// It is a part of what was to be looked at.
    Part,
    /// It was asked for by name.
    Named,
}

pub struct Output {
    format: Format,
    report: Report,
    fail_on: FailOn,
    progress: Progress,
    /// `file`, `object`.
    what: &'static str,
    /// Places with an image.
    found: usize,
    failing: usize,
    unseen: Option<Weight>,
    /// Nobody reads on, but the exit code is still asked for.
    is_unread: bool,
}

impl Output {
    pub fn new(format: Format, report: Report, fail_on: FailOn, what: &'static str) -> Self {
        let progress = Progress::new(format == Format::Json);
        Self { format, report, fail_on, progress, what, found: 0, failing: 0, unseen: None, is_unread: false }
    }

    /// For what is not the same at another time.
    pub fn subject(&mut self, subject: String, now: String) {
        self.report.subject = subject;
        self.report.generated = Some(now);
    }

    /// Objects or files that were looked at, and what is in them.
    pub fn add(&mut self, looked_at: usize, found: Vec<Finding>) -> anyhow::Result<()> {
        self.report.looked_at += looked_at;
        self.found += found.len();
        self.failing += found.iter().filter(|finding| self.fail_on.forbids(finding)).count();
        if self.format == Format::Json {
            if self.is_unread {
                return Ok(());
            }
            let lines: String = found.iter().map(|finding| report::json::line(finding) + "\n").collect();
            let printed = output::data(lines);
            self.is_unread = !self.fail_on.is_empty() && printed.as_ref().is_err_and(output::is_broken_pipe);
            return if self.is_unread { Ok(()) } else { printed };
        }
        found.into_iter().for_each(|finding| self.report.add(finding));
        Ok(())
    }

    pub fn unseen(&mut self, unseen: Unseen, weight: Weight) {
        self.unseen = self.unseen.max(Some(weight));
        if self.format == Format::Json {
            let Unseen { what, why, cure } = &unseen;
            self.talk(&format!("not looked at: {what}: {why}\nhint: {cure}"));
        }
        self.report.unseen.push(unseen);
    }

    pub fn talk(&self, line: &str) {
        self.progress.pause(|| output::talk(line));
    }

    pub fn progress(&mut self, what: &str, done: usize, remaining: Option<usize>) {
        self.progress.show(what, done, remaining);
    }

    /// Prints what is not printed yet.
    pub fn end(self) -> anyhow::Result<ExitCode> {
        let Self { format, report, fail_on, progress, what, found, failing, unseen, is_unread: _ } = self;
        progress.end();
        let printed = match format {
            Format::Table => output::styled(report::table::table(&report, output::width())),
            Format::Json => Ok(()),
            Format::Sarif => output::data(report::sarif::sarif(&report)),
            Format::Markdown => output::data(report::markdown::markdown(&report)),
            Format::Html => output::data(report::html::html(&report)),
        };
        if format != Format::Table {
            let not = match report.unseen.len() {
                0 => String::new(),
                parts => format!("; {} could not be looked at", count(parts, "thing")),
            };
            let looked_at = count(report.looked_at, what);
            output::talk(format_args!("images at {} in {looked_at}{not}", count(found, "place")));
        }
        let is_gate = !fail_on.is_empty();
        if failing > 0 {
            output::talk(format_args!("images from {} at {}", fail_on.names().join(" or "), count(failing, "place")));
            return output::verdict(printed, 1);
        }
        let is_part = unseen >= Some(Weight::Part);
        let is_nothing = unseen.is_some() && report.looked_at == 0;
        let is_shut = is_gate && (is_part || is_nothing);
        if is_shut {
            let names = fail_on.names().join(" or ");
            output::talk(format_args!("error: what could not be looked at may have images from {names}"));
        }
        let is_bad = is_shut || (is_part && is_nothing) || unseen == Some(Weight::Named);
        output::verdict(printed, if is_bad { 2 } else { 0 })
    }
}
