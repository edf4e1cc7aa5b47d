use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::kubeconfig::KubeconfigArgs;
use super::{output, parse_namespace, parse_object_name, rules, serve};
use crate::cluster::doctor::fault::Severity;
use crate::cluster::doctor::report::{Check, Finding, Report, State, Unseen, Verdict};
use crate::cluster::doctor::{self, Given, Options};
use crate::export::webhook::CONFIGURATION_NAME;

/// Look at a cluster and tell what is wrong with pullthrough there
///
/// Reads the registration, the Service, the Pods, their certificates and their rules, creates a Pod in a dry run, and names
/// a cure for each thing it finds. It changes nothing.
///
/// Exit codes: 0 healthy; 1 an error or a warning was found; 2 the cluster can't be looked at.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough doctor
  $ pullthrough doctor --context production --rules rules.yaml -o json")]
pub struct Args {
    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// The namespace that pullthrough runs in, unless the registration names another.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "pullthrough", value_parser = parse_namespace)]
    namespace: String,

    /// The MutatingWebhookConfiguration.
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = parse_object_name)]
    configuration: String,

    /// A rules file to compare the cluster with, instead of the ConfigMap that the Deployment mounts.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// The namespace of the dry run's Pod. Default: one in reach where most rules apply.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    probe_namespace: Option<String>,

    /// How long to wait for each answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// How to print: for people, or one JSON object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { kubeconfig, namespace, configuration, rules, probe_namespace, timeout, output } = args;
    let given = rules.map(|file| -> anyhow::Result<_> {
        let content = rules::read_file(&file)?;
        Ok(Given { name: file.display().to_string(), content })
    });
    let rules = given.transpose()?;
    if let Some(Given { name, content }) = &rules {
        // What is at hand is mended at hand.
        rules::parse(name.as_ref(), content)?;
    }
    let timeout = Duration::from_secs(timeout);
    let read_serve = serve::deployed::read;
    let options = Options { namespace, configuration, rules, probe_namespace, read_serve, timeout };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    let report = runtime.block_on(async {
        let config = kubeconfig.read(timeout).await?;
        let server = config.cluster_url.clone();
        let report = doctor::examine(config, &options).await;
        report.map_err(|failure| anyhow!("can't ask the API server at {server}: {failure}"))
    });
    // A lookup of a name that never ends must not keep the process.
    runtime.shutdown_background();
    let report = report?;
    let printed = match output {
        Format::Text => output::data(text(&report)?),
        Format::Json => output::data(format_args!("{}\n", serde_json::to_string(&Document::new(&report))?)),
    };
    let code = match report.verdict() {
        Verdict::Healthy => 0,
        Verdict::Faults => 1,
        Verdict::CouldNotLook => 2,
    };
    output::verdict(printed, code)
}

/// The keys of `-o json`. They are stable; new ones may come.
#[derive(Serialize)]
struct Document<'r> {
    server: &'r str,
    verdict: &'static str,
    errors: usize,
    warnings: usize,
    notes: usize,
    checks: Vec<CheckDocument<'r>>,
}

#[derive(Serialize)]
struct CheckDocument<'r> {
    check: &'static str,
    question: &'static str,
    state: State,
    facts: &'r [String],
    findings: &'r [Finding],
    unseen: &'r [Unseen],
    skipped: Option<&'r str>,
}

impl<'r> Document<'r> {
    fn new(report: &'r Report) -> Self {
        let check = |check: &'r Check| CheckDocument {
            check: check.name,
            question: check.question,
            state: check.state(),
            facts: &check.facts,
            findings: &check.findings,
            unseen: &check.unseen,
            skipped: check.skipped.as_deref(),
        };
        Self {
            server: &report.server,
            verdict: match report.verdict() {
                Verdict::Healthy => "healthy",
                Verdict::Faults => "faults",
                Verdict::CouldNotLook => "could-not-look",
            },
            errors: report.count(Severity::Error),
            warnings: report.count(Severity::Warning),
            notes: report.count(Severity::Note),
            checks: report.checks.iter().map(check).collect(),
        }
    }
}

fn text(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "cluster {}", report.server)?;
    for check in &report.checks {
        writeln!(text, "\n{}: {}  {}", check.name, check.question, check.state().as_str())?;
        if let Some(why) = &check.skipped {
            writeln!(text, "  skipped    {why}")?;
        }
        for fact in &check.facts {
            writeln!(text, "             {}", indented(fact))?;
        }
        let mut findings: Vec<&Finding> = check.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for Finding { id, severity, what, place, cure } in findings {
            writeln!(text, "  {:<9}  {}", severity.as_str(), id.as_str())?;
            writeln!(text, "    where    {}", indented(place))?;
            writeln!(text, "    what     {}", indented(what))?;
            writeln!(text, "    cure     {}", indented(cure))?;
        }
        for Unseen { what, why, needs } in &check.unseen {
            writeln!(text, "  unseen     {}: {}", indented(what), indented(why))?;
            if let Some(needs) = needs {
                writeln!(text, "    needs    permission to {needs}")?;
            }
        }
    }
    let number = |count, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let counts = [Severity::Error, Severity::Warning, Severity::Note];
    let counts = counts.map(|severity| number(report.count(severity), severity.as_str())).join(", ");
    let verdict = match report.verdict() {
        Verdict::Healthy => "healthy",
        Verdict::Faults => "not healthy",
        Verdict::CouldNotLook => "could not look",
    };
    let unseen = match report.unseen() {
        0 => String::new(),
        count => format!("; {} could not be looked at", number(count, "thing")),
    };
    writeln!(text, "\n{verdict}: {counts}{unseen}")?;
    Ok(text)
}

/// The further lines below the first, and nothing that a terminal would obey.
fn indented(text: &str) -> String {
    let printable = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.trim_end().chars().map(printable).collect::<String>().replace('\n', "\n             ")
}
