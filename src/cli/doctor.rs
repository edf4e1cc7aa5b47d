mod image;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::duration::DurationArg;
use super::kubeconfig::{KubeconfigArgs, request_failed};
use super::wait::wait_for;
use super::{output, parse_namespace, parse_object_name, serve};
use crate::cluster::doctor::fault::Severity;
use crate::cluster::doctor::report::{Check, Finding, Report, Skipped, State, Verdict};
use crate::cluster::doctor::{self, DoctorOptions, Given};
use crate::export::webhook::CONFIGURATION_NAME;
use crate::files::rules;
use crate::words::{count, visible};

/// Diagnose pullthrough in a cluster, or why an image is not pulled
///
/// Reads the webhook configuration, the Service, and the Pods with their certificates and rules. Creates a Pod in a dry
/// run. Each finding has a fix. The cluster is not changed.
///
/// With --image, it diagnoses one image instead: the rule, the credentials, the answers of the cache and of the upstream, the
/// configuration of the node, and the Pods that fail to pull it. This asks the cache for the image as a node does, by which some
/// caches store it.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  no errors or warnings
  1  errors or warnings
  2  wrong usage, or the cluster or the rules can't be read

Examples:
  $ pullthrough doctor
  $ pullthrough doctor --context production --rules rules.yaml -o json
  $ pullthrough doctor --image nginx:1.29 --image-namespace shop --read-pull-secrets
  $ pullthrough doctor --image nginx:1.29 --rules rules.yaml --no-cluster --pull-secret secret.json")]
pub struct Args {
    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// The namespace of pullthrough, unless the webhook configuration names another.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "pullthrough", value_parser = parse_namespace)]
    namespace: String,

    /// The MutatingWebhookConfiguration.
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = parse_object_name)]
    configuration: String,

    /// The rules file to compare the cluster with. Default: the ConfigMap that the Deployment mounts.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// The namespace of the dry run's Pod. Default: a covered one in which most rules apply.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace, conflicts_with = "image")]
    probe_namespace: Option<String>,

    /// Timeout of each request, 1s to 10m. Default: 10s, and with --image 30s, as long as containerd 2.3 and later wait for
    /// the first header.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600))
    )]
    timeout: Option<DurationArg>,

    /// Output format: text, or one JSON object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(flatten)]
    image: image::ImageArgs,
}

const TIMEOUT: DurationArg = DurationArg::from_secs(10);

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.output;
    let examined = if args.image.is_set() { image::examine(args) } else { examine(args).map(|report| (report, None)) };
    let (report, image) = match examined {
        Ok(examined) => examined,
        Err(error) => {
            if matches!(output, Format::Json) {
                let text = rules::line(&error);
                output::verdict(json(&Document::failed(&text)), 2)?;
            }
            return Err(error);
        }
    };
    let printed = match (output, &image) {
        (Format::Text, None) => output::data(text(&heading(&report), &report)?),
        (Format::Text, Some(image)) => output::data(text(&image.heading, &report)?),
        (Format::Json, _) => json(&Document { image: image.map(|image| image.document), ..Document::new(&report) }),
    };
    let code = match report.verdict() {
        Verdict::Healthy => 0,
        Verdict::Faults => 1,
        Verdict::Incomplete => 2,
    };
    output::verdict(printed, code)
}

fn json(document: &Document) -> anyhow::Result<()> {
    output::data(format_args!("{}\n", serde_json::to_string(document)?))
}

fn examine(args: Args) -> anyhow::Result<Report> {
    let Args { kubeconfig, namespace, configuration, rules, probe_namespace, timeout, output: _, image: _ } = args;
    let rules = rules.map(given).transpose()?;
    let timeout = timeout.unwrap_or(TIMEOUT).get();
    let read_serve = serve::deployed::read;
    let options = DoctorOptions { namespace, configuration, rules, probe_namespace, read_serve, timeout };
    wait_for(async {
        let config = kubeconfig.read(timeout).await?;
        let server = config.cluster_url.clone();
        let report = doctor::examine(config, &options).await;
        report.map_err(|failure| request_failed(&server, &failure))
    })?
}

/// Reads a rules file. Reports an invalid one before the cluster is asked.
fn given(file: PathBuf) -> anyhow::Result<Given> {
    let content = rules::read(&file)?;
    rules::parse(&file, &content)?;
    Ok(Given { name: file.display().to_string(), content })
}

/// The keys of `-o json`. They are stable; keys may be added.
#[derive(Serialize)]
struct Document<'r> {
    server: Option<&'r str>,
    verdict: &'static str,
    error: Option<&'r str>,
    errors: usize,
    warnings: usize,
    notes: usize,
    checks: Vec<CheckDocument<'r>>,
    /// With --image.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct CheckDocument<'r> {
    check: &'static str,
    question: &'static str,
    state: State,
    facts: &'r [String],
    findings: &'r [Finding],
    skipped: &'r [Skipped],
    not_applicable: Option<&'r str>,
}

impl<'r> Document<'r> {
    /// One without checks, since the cluster can't be reached or the rules are invalid.
    fn failed(error: &'r str) -> Self {
        Self {
            server: None,
            verdict: "failed",
            error: Some(error),
            errors: 0,
            warnings: 0,
            notes: 0,
            checks: Vec::new(),
            image: None,
        }
    }

    fn new(report: &'r Report) -> Self {
        let check = |check: &'r Check| CheckDocument {
            check: check.name,
            question: check.question,
            state: check.state(),
            facts: &check.facts,
            findings: &check.findings,
            skipped: &check.skipped,
            not_applicable: check.not_applicable.as_deref(),
        };
        Self {
            server: report.server.as_deref(),
            error: None,
            verdict: match report.verdict() {
                Verdict::Healthy => "healthy",
                Verdict::Faults => "faults",
                Verdict::Incomplete => "incomplete",
            },
            errors: report.count(Severity::Error),
            warnings: report.count(Severity::Warning),
            notes: report.count(Severity::Note),
            checks: report.checks.iter().map(check).collect(),
            image: None,
        }
    }
}

fn heading(report: &Report) -> String {
    format!("cluster {}", report.server.as_deref().unwrap_or_default())
}

fn text(heading: &str, report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "{heading}")?;
    for check in &report.checks {
        writeln!(text, "\n{}: {}  {}", check.name, check.question, check.state().as_str())?;
        if let Some(why) = &check.not_applicable {
            writeln!(text, "  n/a        {why}")?;
        }
        for fact in &check.facts {
            writeln!(text, "             {}", indented(fact))?;
        }
        let mut findings: Vec<&Finding> = check.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for Finding { id, severity, what, place, fix } in findings {
            writeln!(text, "  {:<9}  {}", severity.as_str(), id.as_str())?;
            writeln!(text, "    where    {}", indented(place))?;
            writeln!(text, "    what     {}", indented(what))?;
            writeln!(text, "    fix      {}", indented(fix))?;
        }
        for Skipped { what, why, needs } in &check.skipped {
            writeln!(text, "  skipped    {}: {}", indented(what), indented(why))?;
            if let Some(needs) = needs {
                writeln!(text, "    needs    permission to {needs}")?;
            }
        }
    }
    let counts = [Severity::Error, Severity::Warning, Severity::Note];
    let counts = counts.map(|severity| count(report.count(severity), severity.as_str())).join(", ");
    let verdict = match report.verdict() {
        Verdict::Healthy if report.skipped() == 0 => "healthy",
        Verdict::Healthy => "no fault found",
        Verdict::Faults => "not healthy",
        Verdict::Incomplete => "incomplete",
    };
    let incomplete: Vec<&str> =
        report.checks.iter().filter(|check| !check.skipped.is_empty()).map(|check| check.name).collect();
    let skipped = match incomplete.as_slice() {
        [] => String::new(),
        names => format!("; {} incomplete: {}", count(names.len(), "check"), names.join(", ")),
    };
    writeln!(text, "\n{verdict}: {counts}{skipped}")?;
    Ok(text)
}

/// Indents further lines below the first, and removes control characters.
fn indented(text: &str) -> String {
    text.trim_end().split('\n').map(visible).collect::<Vec<_>>().join("\n             ")
}
