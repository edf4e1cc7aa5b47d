use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use serde::Serialize;

use super::rules::RulesArgs;
use super::{explain, output};
use crate::engine::{Decision, Policy};
use crate::files::{Problem, rules};
use crate::golden::{self, Case, Expected};

/// Test rules with expected results
///
/// Each case of a test file has an image and its expected `result`, or the `reason` why it is unchanged. A case that fails
/// is printed with the decision of the rules.
#[derive(clap::Args)]
#[command(after_long_help = "A test file (`pullthrough schema --of tests` prints its JSON Schema):
  apiVersion: pullthrough.dev/v1alpha1
  kind: Tests
  tests:
    - image: nginx:1.29
      result: harbor.example.com/docker-hub/library/nginx:1.29
    - image: nginx:1.29
      namespace: kube-system
      reason: namespace_excluded
      rule: docker-hub
    - image: nginx:1.29
      down: [harbor.example.com]
      result: harbor-2.example.com/docker-hub/library/nginx:1.29
    - image: quay.io/prometheus/node-exporter:v1.9.0
      namespace: monitoring
      workload: DaemonSet/node-exporter
      reason: not_rolled_out

Exit codes:
  0  all cases passed
  1  a case failed
  2  wrong usage, or invalid or unreadable rules or tests

Examples:
  $ pullthrough test --rules rules.yaml tests.yaml
  $ pullthrough test --rules rules.yaml tests.yaml -o json")]
pub struct Args {
    /// Test files.
    #[arg(required = true, value_name = "TESTS")]
    tests: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// Output format: failed cases as text, or all cases with one JSON object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { tests, rules, output } = args;
    let (policy, files) = match load(&rules, &tests) {
        Ok(loaded) => loaded,
        Err(error) => {
            if output == Format::Json {
                let line = serde_json::json!({"passed": false, "error": rules::line(&error)});
                output::verdict(output::data(format_args!("{line}\n")), 2)?;
            }
            return Err(error);
        }
    };
    let (mut count, mut failed) = (0, 0);
    let mut text = String::new();
    for (file, case) in files.iter().flat_map(|(file, cases)| cases.iter().map(move |case| (file, case))) {
        let decision = case.decide(&policy);
        let passed = case.is_met_by(&decision);
        count += 1;
        failed += usize::from(!passed);
        match output {
            Format::Json => writeln!(text, "{}", serde_json::to_string(&Line::new(file, case, &decision, passed))?)?,
            Format::Text if !passed => text.push_str(&failure(file, case, &policy, &decision)?),
            Format::Text => {}
        }
    }
    let printed = output::styled(text);
    let cases = if count == 1 { "case" } else { "cases" };
    output::note(match failed {
        0 => format!("{count} {cases}, all passed"),
        failed => format!("{count} {cases}, {failed} failed"),
    });
    output::verdict(printed, u8::from(failed > 0))
}

/// The cases of each file, with its name.
type Files = Vec<(String, Vec<Case>)>;

/// Reads all files. Errors in any file are printed before a case is tested.
fn load(rules: &RulesArgs, tests: &[PathBuf]) -> anyhow::Result<(Policy, Files)> {
    let policy = Policy::from(rules.load()?);
    let files = tests.iter().map(|file| {
        let name = file.display().to_string();
        let content =
            std::fs::read(file).map_err(|error| anyhow!("can't read the test file {}", Problem::new(file, &error)))?;
        let cases = golden::parse(&name, rules::text(file, &content)?)?;
        Ok((name, cases))
    });
    Ok((policy, files.collect::<anyhow::Result<_>>()?))
}

fn failure(file: &str, case: &Case, policy: &Policy, decision: &Decision) -> Result<String, std::fmt::Error> {
    let Case { line, image, namespace, workload, pull_never, expected, rule, facts: _, facts_note } = case;
    let policy_note = if *pull_never { ", pullPolicy Never" } else { "" };
    let mut text = String::new();
    let of = workload.as_ref().map(|workload| format!(" of {workload}")).unwrap_or_default();
    writeln!(text, "{file}:{line}: {}{of} in namespace {namespace}{policy_note}{facts_note}", image.escape_debug())?;
    let expected = match expected {
        Expected::Result(result) => result.escape_debug().to_string(),
        Expected::Reason(reason) => format!("unchanged, {}", reason.as_str()),
    };
    writeln!(text, "  expected   {expected}{}", by(rule.as_deref()))?;
    let got = match decision {
        Decision::Rewrite { result, .. } => result.clone(),
        decision => format!("unchanged, {}", decision.reason().map_or("", |reason| reason.as_str())),
    };
    writeln!(text, "  got        {got}{}", by(decision.rule().map(|rule| rule.name.as_str())))?;
    text.push_str(&explain::trail(case.context(policy), image, (namespace, workload.as_ref()), decision)?);
    text.push('\n');
    Ok(text)
}

fn by(rule: Option<&str>) -> String {
    rule.map_or(String::new(), |rule| format!("  (rule {rule})"))
}

/// The keys of `-o json`. They are stable.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: usize,
    image: &'a str,
    namespace: &'a str,
    passed: bool,
    expected: Outcome<'a>,
    got: Outcome<'a>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    result: Option<&'a str>,
    reason: Option<&'static str>,
    rule: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(file: &'a str, case: &'a Case, decision: &'a Decision, passed: bool) -> Self {
        let (result, reason) = match &case.expected {
            Expected::Result(result) => (Some(result.as_str()), None),
            Expected::Reason(reason) => (None, Some(reason.as_str())),
        };
        let got = Outcome {
            result: match decision {
                Decision::Rewrite { result, .. } => Some(result),
                Decision::Restore { .. } | Decision::NotRewritten { .. } => None,
            },
            reason: decision.reason().map(|reason| reason.as_str()),
            rule: decision.rule().map(|rule| rule.name.as_str()),
        };
        let expected = Outcome { result, reason, rule: case.rule.as_deref() };
        Self { file, line: case.line, image: &case.image, namespace: &case.namespace, passed, expected, got }
    }
}
