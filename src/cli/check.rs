use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::{output, rules};
use crate::cluster::words::count;
use crate::config::{self, Problem, Source};
use crate::lint::{self, Finding, Lint};

/// Check a rules file
///
/// Two kinds of thing are shown, each with its line and what to write instead: errors, with which no other command would take
/// the file, and findings, which are valid but hardly meant. A finding that is meant is allowed by its name.
///
/// Exit codes: 0 nothing was found; 1 findings; 2 errors, a file without rules, or the file can't be read.
#[derive(clap::Args)]
#[command(after_long_help = after_help())]
pub struct Args {
    /// The rules file.
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_RULES")]
    rules: PathBuf,

    /// Findings that are meant; repeat it or separate by commas.
    #[arg(long, value_name = "LINT", value_delimiter = ',', value_parser = lint_parser(), hide_possible_values = true)]
    allow: Vec<Lint>,

    /// How to print: for people, or one JSON object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

fn lint_parser() -> impl TypedValueParser<Value = Lint> {
    let values = Lint::ALL.iter().map(|lint| PossibleValue::new(lint.as_str()).help(lint.describe()));
    PossibleValuesParser::new(values).try_map(|name| Lint::parse(&name).ok_or("no such lint"))
}

fn after_help() -> String {
    let mut text = String::from("Lints:\n");
    for lint in Lint::ALL {
        let _ = writeln!(text, "  {:<21} {}", lint.as_str(), lint.describe());
    }
    text + "\nExamples:\n  \
        $ pullthrough check --rules rules.yaml\n  \
        $ pullthrough check --rules rules.yaml --allow loop,collision\n  \
        $ pullthrough check --rules rules.yaml -o json"
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules: file, allow, output } = args;
    let name = file.display().to_string();
    let content = rules::read_file(&file)?;
    let text = rules::text(&file, &content)?;
    let source = Source::new(&name, text);
    let config = match config::parse(&name, text) {
        Ok(config) => config,
        Err(error) => {
            if matches!(output, Format::Json) {
                let mut lines = error.problems.iter().map(|problem| Line::new(&source, "error", None, problem));
                output::verdict(lines.try_for_each(|line| json(&line)), 2)?;
            }
            return Err(anyhow!(error));
        }
    };
    if config.rules.is_empty() {
        bail!("{name}: nothing was checked: `rules` is empty, so that no image is rewritten; add a rule");
    }
    let (allowed, found): (Vec<_>, Vec<_>) =
        lint::findings(&config).into_iter().partition(|finding| allow.contains(&finding.lint));
    let printed = found.iter().try_for_each(|finding| match output {
        Format::Text => output::data(format_args!("{}\n\n", finding.render(&source))),
        Format::Json => json(&Line::new(&source, "warning", Some(finding), &finding.problem)),
    });
    output::talk(summary(&file, config.rules.len(), found.len(), allowed.len()));
    output::verdict(printed, u8::from(!found.is_empty()))
}

fn summary(file: &Path, rules: usize, found: usize, allowed: usize) -> String {
    let found = if found == 0 { "no problem found".to_owned() } else { count(found, "finding") };
    let allowed = if allowed == 0 { String::new() } else { format!(", {allowed} allowed") };
    format!("{}: {}, {found}{allowed}", file.display(), count(rules, "rule"))
}

/// The keys of `-o json`. They are stable.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    severity: &'static str,
    lint: Option<&'static str>,
    rule: Option<&'a str>,
    message: &'a str,
    cure: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(source: &Source<'a>, severity: &'static str, finding: Option<&'a Finding>, problem: &'a Problem) -> Self {
        let (line, column) = problem.line_and_column(source);
        Self {
            file: source.name,
            line,
            column,
            severity,
            lint: finding.map(|finding| finding.lint.as_str()),
            rule: finding.map(|finding| finding.rule.as_str()),
            message: &problem.message,
            cure: problem.cure.as_deref(),
        }
    }
}

fn json(line: &Line) -> anyhow::Result<()> {
    output::data(format_args!("{}\n", serde_json::to_string(line)?))
}
