use std::fmt::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, UnknownArgumentValueParser};
use serde::{Deserialize, Serialize};

use super::output;
use crate::config::{self, Problem, Source};
use crate::engine::Rule;
use crate::files::rules;
use crate::lint::{self, Lint, LintFinding};
use crate::words::{count, few};

/// Check a rules file for errors and likely mistakes
///
/// With an error, no other command loads the file. A finding is valid, but a likely mistake. Each is printed with its line and a
/// fix. If a finding is intended, allow its lint with --allow.
#[derive(clap::Args)]
#[command(after_long_help = after_help())]
pub struct Args {
    /// The rules file, or a ConfigMap with a rules.yaml; `-` is standard input.
    #[arg(value_name = "RULES", env = "PULLTHROUGH_RULES")]
    rules: PathBuf,

    // Other commands have the option, so users type it here.
    #[arg(long = "rules", value_name = "FILE", hide = true, value_parser = UnknownArgumentValueParser::suggest("pass the file without `--rules`: pullthrough check rules.yaml"))]
    no_option: Option<String>,

    /// Lints to allow, whose findings are intended; repeat it or separate by commas.
    #[arg(long, value_name = "LINT", value_delimiter = ',', value_parser = lint_parser(), hide_possible_values = true)]
    allow: Vec<Lint>,

    /// Output format: text, or one JSON object a line.
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
    PossibleValuesParser::new(values).try_map(|name| Lint::parse(&name).ok_or("unknown lint"))
}

fn after_help() -> String {
    let mut text = String::from("Lints:\n");
    for lint in Lint::ALL {
        let _ = writeln!(text, "  {}\n          {}", lint.as_str(), lint.describe());
    }
    text + "\nExit codes:\n  \
        0  no findings\n  \
        1  findings\n  \
        2  errors, an unreadable file, or wrong usage\n\
        \nExamples:\n  \
        $ pullthrough check rules.yaml\n  \
        $ pullthrough check rules.yaml --allow loop,collision\n  \
        $ pullthrough check rules.yaml -o json\n  \
        $ helm template pullthrough manifests/chart --namespace pullthrough \\\n      \
        --values my-values.yaml --show-only templates/rules.yaml \\\n      | pullthrough check -"
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules: file, no_option: _, allow, output } = args;
    let written = match read(&file) {
        Ok(written) => written,
        Err(error) => {
            if matches!(output, Format::Json) {
                output::verdict(json(&Line::unreadable(&file.display().to_string(), &format!("{error:#}"))), 2)?;
            }
            return Err(error);
        }
    };
    let name = written.name.as_str();
    let source = Source::new(name, &written.text);
    let config = match config::parse(name, &written.text) {
        Ok(config) => config,
        Err(error) => {
            if matches!(output, Format::Json) {
                let mut lines = error.problems.iter().map(|problem| Line::new(&source, "error", None, problem));
                output::verdict(lines.try_for_each(|line| json(&line)), 2)?;
            }
            let is_first_only = error.is_first_only;
            output::error(&anyhow!(error));
            if is_first_only {
                output::note("note: only the first error is shown; fix it, and check again");
            }
            return Ok(ExitCode::from(2));
        }
    };
    let (allowed, found): (Vec<_>, Vec<_>) =
        lint::findings(&config).into_iter().partition(|finding| allow.contains(&finding.lint));
    let printed = found.iter().try_for_each(|finding| match output {
        Format::Text => output::styled(format_args!("{}\n\n", finding.render_styled(&source))),
        Format::Json => json(&Line::new(&source, "warning", Some(finding), &finding.problem)),
    });
    output::note(summary(name, &config.rules, found.len(), allowed.len()));
    output::verdict(printed, u8::from(!found.is_empty()))
}

/// The text of the rules, and its name in messages.
struct Written {
    name: String,
    text: String,
}

/// Reads a rules file, or the one in a ConfigMap, as Helm renders it from values.
fn read(file: &Path) -> anyhow::Result<Written> {
    let content = if file == Path::new("-") {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content).context("can't read standard input")?;
        content
    } else {
        rules::read(file)?
    };
    let (name, text) = (file.display().to_string(), rules::text(file, &content)?);
    let config_map = text.contains("ConfigMap").then(|| serde_saphyr::from_str::<ConfigMap>(text).ok()).flatten();
    Ok(match config_map {
        Some(ConfigMap { kind: ConfigMapKind::ConfigMap, data }) => {
            Written { name: format!("{name} (rules.yaml of the ConfigMap)"), text: data.rules }
        }
        None => Written { name, text: text.to_owned() },
    })
}

/// A ConfigMap with a rules file.
#[derive(Deserialize)]
struct ConfigMap {
    kind: ConfigMapKind,
    data: Data,
}

#[derive(Deserialize)]
enum ConfigMapKind {
    ConfigMap,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "rules.yaml")]
    rules: String,
}

fn summary(file: &str, rules: &[Rule], found: usize, allowed: usize) -> String {
    let partial = rules.iter().filter(|rule| !rule.is_rolled_out());
    let partial: Vec<String> = partial.map(|rule| format!("{} {}", rule.name, rule.rollout)).collect();
    let rollouts = if partial.is_empty() { String::new() } else { format!(" (rollout: {})", few(&partial)) };

    let found = if found == 0 { "no problem found".to_owned() } else { count(found, "finding") };
    let allowed = if allowed == 0 { String::new() } else { format!(", {allowed} allowed") };
    format!("{file}: {}{rollouts}, {found}{allowed}", count(rules.len(), "rule"))
}

/// The keys of `-o json`. They are stable.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    /// `None`: the file is unreadable.
    line: Option<usize>,
    column: Option<usize>,
    severity: &'static str,
    lint: Option<&'static str>,
    rule: Option<&'a str>,
    message: &'a str,
    fix: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn unreadable(file: &'a str, message: &'a str) -> Self {
        let severity = "error";
        Self { file, line: None, column: None, severity, lint: None, rule: None, message, fix: None }
    }

    fn new(
        source: &Source<'a>,
        severity: &'static str,
        finding: Option<&'a LintFinding>,
        problem: &'a Problem,
    ) -> Self {
        let (line, column) = problem.line_and_column(source);
        Self {
            file: source.name,
            line: Some(line),
            column: Some(column),
            severity,
            lint: finding.map(|finding| finding.lint.as_str()),
            rule: finding.and_then(|finding| finding.rule.as_deref()),
            message: &problem.message,
            fix: problem.fix.as_deref(),
        }
    }
}

fn json(line: &Line) -> anyhow::Result<()> {
    output::data(format_args!("{}\n", serde_json::to_string(line)?))
}
