//! What is printed of a scan: each finding as it comes, or all in the end; and the exit code.

use std::process::ExitCode;

use super::fail_on::FailOn;
use super::progress::Progress;
use crate::cli::{output, unknown};
use crate::cluster::words::count;
use crate::manifest::{Contents, Lookalike};
use crate::scan::{Finding, Place, Report, Unseen, Use, declaration_of, report};

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
    /// Nothing: it is not of the folder that was named.
    Aside,
    /// It was read, and not understood: a template, or no Kubernetes object. It counts for a gate alone, which may allow it.
    Unknown,
    /// It is a part of what was to be looked at.
    Part,
    /// It was asked for by name.
    Named,
}

pub struct Output {
    format: Format,
    report: Report,
    fail_on: FailOn,
    /// Of a gate: what is not understood does not count.
    allow_unknown: bool,
    progress: Progress,
    /// `file`, `object`.
    what: &'static str,
    /// Places with an image.
    found: usize,
    /// Objects that can have images, and documents that are declared.
    inspected: usize,
    failing: usize,
    unseen: Option<Weight>,
    /// Nobody reads on, but the exit code is still asked for.
    is_unread: bool,
}

impl Output {
    pub fn new(format: Format, report: Report, fail_on: FailOn, allow_unknown: bool, what: &'static str) -> Self {
        let progress = Progress::new(format == Format::Json);
        let (found, inspected, failing, unseen, is_unread) = (0, 0, 0, None, false);
        Self { format, report, fail_on, allow_unknown, progress, what, found, inspected, failing, unseen, is_unread }
    }

    /// For what is not the same at another time.
    pub fn subject(&mut self, subject: String, now: String) {
        self.report.subject = subject;
        self.report.generated = Some(now);
    }

    /// Objects or files that were looked at.
    pub fn looked_at(&mut self, count: usize) {
        self.report.looked_at += count;
    }

    /// What is in them.
    pub fn add(&mut self, found: Vec<Finding>) -> anyhow::Result<()> {
        self.found += found.len();
        self.failing += found.iter().filter(|finding| self.fail_on.forbids(finding)).count();
        if self.format == Format::Json {
            return self.lines(found.iter().map(report::json::line));
        }
        found.into_iter().for_each(|finding| self.report.add(finding));
        Ok(())
    }

    /// What was in the objects or files.
    pub fn inspected(&mut self, objects: usize) {
        self.inspected += objects;
    }

    /// The documents of a file.
    pub fn contents(&mut self, Contents { objects, others }: Contents) {
        self.inspected(objects);
        let sum = self.report.contents.get_or_insert_default();
        sum.objects += objects;
        sum.others += others;
    }

    /// Fields of a file that look like images.
    pub fn lookalikes(&mut self, file: &str, lookalikes: &[Lookalike]) -> anyhow::Result<()> {
        self.report.unknowns.add(file, lookalikes);
        if self.format != Format::Json {
            return Ok(());
        }
        self.lines(lookalikes.iter().map(|lookalike| {
            let declaration = declaration_of(file, lookalike);
            report::json::unknown_line(&finding(file, lookalike), declaration.as_deref())
        }))
    }

    fn lines(&mut self, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
        if self.is_unread {
            return Ok(());
        }
        let printed = output::data(lines.map(|line| line + "\n").collect::<String>());
        self.is_unread = !self.fail_on.is_empty() && printed.as_ref().is_err_and(output::is_broken_pipe);
        if self.is_unread { Ok(()) } else { printed }
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
        let Self { format, report, fail_on, allow_unknown, progress, what, found, inspected, failing, unseen, .. } =
            self;
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
            let looked_at = match report.contents {
                Some(Contents { objects, others }) => report::contents(report.looked_at, objects, others),
                None => count(report.looked_at, what),
            };
            output::talk(format_args!("images at {} in {looked_at}{not}", count(found, "place")));
            unknown::tell(&report.unknowns);
        }
        let is_gate = !fail_on.is_empty();
        if failing > 0 {
            output::talk(format_args!("images from {} at {}", fail_on.names().join(" or "), count(failing, "place")));
            return output::verdict(printed, 1);
        }
        let is_part = unseen >= Some(Weight::Part);
        let is_unseen = unseen >= Some(if allow_unknown { Weight::Part } else { Weight::Unknown });
        let is_unknown = !allow_unknown && !report.unknowns.is_empty();
        let names = fail_on.names().join(" or ");
        let reason = match () {
            () if is_part || (is_unseen && inspected > 0) => {
                Some(format!("what could not be looked at may have images from {names}"))
            }
            () if inspected == 0 => Some(nothing(what, &report.subject)),
            () if is_unknown => Some(unknown::error(&format!("from {names}"))),
            () => None,
        };
        let is_shut = is_gate && reason.is_some();
        if let Some(reason) = reason.filter(|_| is_gate) {
            output::talk(format_args!("error: {reason}"));
        }
        let is_bad = is_shut || (is_part && report.looked_at == 0) || unseen == Some(Weight::Named);
        output::verdict(printed, if is_bad { 2 } else { 0 })
    }
}

/// Why a gate that saw nothing fails.
fn nothing(what: &str, subject: &str) -> String {
    match what {
        "file" => unknown::nothing(subject),
        _ => format!(
            "nothing was inspected: no Pod and no template in {subject}; check --namespace and the context of the kubeconfig"
        ),
    }
}

fn finding(file: &str, lookalike: &Lookalike) -> Finding {
    let Lookalike { object, path, declaration: _, line, column, image, in_text: _ } = lookalike;
    let place = Place::File {
        file: file.to_owned(),
        line: *line,
        column: *column,
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        place: path.clone(),
    };
    Finding::new(image.clone(), place, Use::Unknown, None, None)
}
