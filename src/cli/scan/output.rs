//! The output of a scan, as findings arrive or at the end, and its exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use super::cluster::Sink;
use super::fail_on::FailOn;
use super::progress::Progress;
use crate::cli::{output, unknown};
use crate::cluster::scan::{Event, Seen};
use crate::manifest::{Contents, Lookalike};
use crate::scan::files::FileEvent;
use crate::scan::report::names::{Names, Naming};
use crate::scan::{FoundImage, Location, Report, Skipped, Use, Weight, declaration_of, report};
use crate::words::{count, visible};

/// The most places of an image in the table, Markdown and HTML; SARIF has a result for each place.
const FEW_PLACES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    Table,
    Json,
    Sarif,
    Markdown,
    Html,
    Names,
}

impl ReportFormat {
    pub fn places_kept(self) -> usize {
        match self {
            Self::Sarif => usize::MAX,
            Self::Json | Self::Names => 0,
            Self::Table | Self::Markdown | Self::Html => FEW_PLACES,
        }
    }

    pub fn has_title(self) -> bool {
        matches!(self, Self::Markdown | Self::Html)
    }

    /// Returns whether people read it, not programs that open the files that it names.
    pub fn is_for_people(self) -> bool {
        match self {
            Self::Table | Self::Markdown | Self::Html => true,
            Self::Json | Self::Sarif | Self::Names => false,
        }
    }
}

pub struct OutputOptions {
    pub format: ReportFormat,
    /// Print only the summary of the table.
    pub is_summary: bool,
    /// The names in the list of images.
    pub naming: Naming,
    /// With `--fail-on`: fields, kinds and files that are not understood do not fail the scan.
    pub allow_unknown: bool,
    /// `file`, `object`.
    pub what: &'static str,
    /// The start of file names that is not printed, since the heading shows it.
    pub folder: Option<String>,
}

pub struct Output {
    options: OutputOptions,
    report: Report,
    fail_on: FailOn,
    progress: Progress,
    /// The number of places with an image.
    found: usize,
    /// The number of objects that can have images, and of declared documents.
    inspected: usize,
    failing: usize,
    skipped: Option<Weight>,
    /// The reader has closed standard output, but needs the exit code.
    is_unread: bool,
}

impl Output {
    pub fn new(options: OutputOptions, report: Report, fail_on: FailOn) -> Self {
        let progress = Progress::new(options.format == ReportFormat::Json);
        let (found, inspected, failing, skipped, is_unread) = (0, 0, 0, None, false);
        Self { options, report, fail_on, progress, found, inspected, failing, skipped, is_unread }
    }

    /// Counts objects or files that were read.
    pub fn looked_at(&mut self, count: usize) {
        self.report.looked_at += count;
    }

    /// Adds images.
    pub fn add(&mut self, found: Vec<FoundImage>) -> anyhow::Result<()> {
        self.found += found.len();
        self.failing += found.iter().filter(|finding| self.fail_on.forbids(finding)).count();
        if self.options.format == ReportFormat::Json {
            return self.lines(found.iter().map(report::json::line));
        }
        for mut finding in found {
            if let Location::File { file, .. } = &mut finding.place {
                *file = self.short(file).to_owned();
            }
            self.report.add(finding);
        }
        Ok(())
    }

    /// Returns the name of a file for printing.
    fn short<'n>(&self, name: &'n str) -> &'n str {
        let folder = self.options.folder.as_deref();
        folder.and_then(|folder| name.strip_prefix(folder)).unwrap_or(name)
    }

    /// Counts objects that can have images.
    pub fn inspected(&mut self, objects: usize) {
        self.inspected += objects;
    }

    /// Adds the documents of a file.
    pub fn contents(&mut self, Contents { objects, others }: Contents) {
        self.inspected(objects);
        let sum = self.report.contents.get_or_insert_default();
        sum.objects += objects;
        sum.others += others;
    }

    /// Adds fields of a file that look like images.
    pub fn lookalikes(&mut self, file: &str, lookalikes: &[Lookalike]) -> anyhow::Result<()> {
        self.report.unknowns.add(self.short(file), lookalikes);
        if self.options.format != ReportFormat::Json {
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

    pub fn skipped(&mut self, skipped: Skipped, weight: Weight) {
        self.skipped = self.skipped.max(Some(weight));
        let what = self.short(&skipped.what).to_owned();
        self.report.skipped.push(Skipped { what, ..skipped });
    }

    pub fn file_event(&mut self, event: FileEvent) -> anyhow::Result<()> {
        match event {
            FileEvent::Found(found) => self.add(found)?,
            FileEvent::Lookalikes(file, lookalikes) => self.lookalikes(file, &lookalikes)?,
            FileEvent::Read(contents) => {
                self.looked_at(1);
                self.contents(contents);
            }
            FileEvent::Skipped(skipped, weight) => self.skipped(skipped, weight),
            FileEvent::Progress { done, remaining } => self.progress.show("files", done, Some(remaining)),
        }
        Ok(())
    }

    fn note(&self, line: &str) {
        self.progress.pause(|| output::note(line));
    }

    /// Prints the rest, and returns the exit code.
    pub fn end(self) -> anyhow::Result<ExitCode> {
        let Self { options, report, fail_on, progress, found, inspected, failing, skipped, .. } = self;
        let OutputOptions { format, is_summary, naming, allow_unknown, what, folder: _ } = options;
        progress.end();
        let printed = match format {
            ReportFormat::Table if is_summary => output::styled(report::table::summary(&report, output::width())),
            ReportFormat::Table => output::styled(report::table::table(&report, output::width())),
            ReportFormat::Json => Ok(()),
            ReportFormat::Sarif => output::data(report::sarif::sarif(&report)),
            ReportFormat::Markdown => output::data(report::markdown::markdown(&report)),
            ReportFormat::Html => output::data(report::html::html(&report)),
            ReportFormat::Names => {
                let names = Names::of(&report, naming);
                let printed = output::data(names.images.iter().flat_map(|image| [image, "\n"]).collect::<String>());
                names.omissions().for_each(|omission| output::talk(format_args!("omitted: {omission}")));
                printed
            }
        };
        if format != ReportFormat::Table {
            if matches!(format, ReportFormat::Json | ReportFormat::Names) {
                for (names, Skipped { why, fix, .. }) in report::skipped(&report.skipped) {
                    tell_skipped(&names, why, fix);
                }
            }
            let not = match report.skipped.len() {
                0 => String::new(),
                parts => format!("; {parts} skipped"),
            };
            let looked_at = match report.contents {
                Some(Contents { objects, others }) => report::contents(report.looked_at, objects, others),
                None => count(report.looked_at, what),
            };
            output::note(format_args!("images at {} in {looked_at}{not}", count(found, "place")));
            unknown::tell(&report.unknowns);
        }
        let is_gate = !fail_on.is_empty();
        if failing > 0 {
            output::talk(format_args!(
                "--fail-on: images from {} at {}",
                fail_on.names().join(" or "),
                count(failing, "place")
            ));
            return output::verdict(printed, 1);
        }
        let is_part = skipped >= Some(Weight::Part);
        let is_skipped = skipped >= Some(if allow_unknown { Weight::Part } else { Weight::Unknown });
        let is_unknown = !allow_unknown && !report.unknowns.is_empty();
        let names = fail_on.names().join(" or ");
        let reason = match () {
            () if is_part || (is_skipped && inspected > 0) => {
                Some(format!("skipped input may have images from {names}; fix what is listed as skipped"))
            }
            () if inspected == 0 => Some(nothing(what, &report.subject)),
            () if is_unknown => Some(unknown::error(&format!("from {names}"))),
            () => None,
        };
        let is_shut = is_gate && reason.is_some();
        if let Some(reason) = reason.filter(|_| is_gate) {
            output::talk(format_args!("error: {reason}"));
        }
        let is_bad = is_shut || (is_part && report.looked_at == 0) || skipped == Some(Weight::Named);
        output::verdict(printed, if is_bad { 2 } else { 0 })
    }
}

impl Sink for Output {
    fn subject(&mut self, subject: String) {
        self.report.subject = subject;
    }

    fn progress(&mut self, what: &str, done: usize, remaining: Option<usize>) {
        self.progress.show(what, done, remaining);
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Page(Seen { what: _, objects, inspected, remaining: _, found, json: _ }) => {
                self.inspected(inspected);
                self.looked_at(objects);
                self.add(found)?;
            }
            Event::Skipped(skipped) => self.skipped(skipped, Weight::Part),
            Event::Note(note) => self.note(&format!("note: {note}")),
            Event::Platforms(..) => {}
        }
        Ok(())
    }
}

/// Prints what was skipped for the same reason: a few names on a terminal, else each on a line.
pub(in crate::cli) fn tell_skipped(names: &[&str], why: &str, fix: &str) {
    let (shown, listed): (_, &[&str]) = match names.len() {
        more if more > 1 && !std::io::stderr().is_terminal() => (format!("{more} inputs"), names),
        more => (report::few(names, more), &[]),
    };
    output::talk(visible(&format!("skipped: {shown}: {why}; {fix}")));
    listed.iter().for_each(|name| output::talk(visible(&format!("  {name}"))));
}

/// Returns why --fail-on fails if nothing was inspected.
fn nothing(what: &str, subject: &str) -> String {
    match what {
        "file" => unknown::nothing(subject),
        _ => format!("nothing was inspected: no Pods and no templates in {subject}; check --namespace and --context"),
    }
}

fn finding(file: &str, lookalike: &Lookalike) -> FoundImage {
    let Lookalike { object, path, declaration: _, line, column, image, in_text: _ } = lookalike;
    let place = Location::File {
        file: file.to_owned(),
        line: *line,
        column: *column,
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        place: path.clone(),
    };
    FoundImage::new(image.clone(), place, Use::Unknown, None, None)
}
