use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::rules::{self, RulesArgs};
use super::{explain, output};
use crate::engine::{Decision, Policy};
use crate::golden::{self, Case, Expected};

/// Test rules with cases of your own
///
/// A file of cases says what should become of images: the `result` that an image is rewritten to, or the `reason` that it is
/// kept for. Each case that comes out otherwise is shown with what the rules did and why.
///
/// Exit codes: 0 all cases passed; 1 a case failed; 2 the rules or the cases are invalid or can't be read.
#[derive(clap::Args)]
#[command(after_long_help = "A file of cases (`pullthrough schema --of tests` describes it):
  apiVersion: pullthrough.dev/v1alpha1
  kind: Tests
  tests:
    - image: nginx:1.29
      result: harbor.example.com/docker-hub/library/nginx:1.29
    - image: nginx:1.29
      namespace: kube-system
      reason: namespace_excluded
      rule: docker-hub

Examples:
  $ pullthrough test --rules rules.yaml tests.yaml
  $ pullthrough test --rules rules.yaml tests.yaml -o json")]
pub struct Args {
    /// Files of cases.
    #[arg(required = true, value_name = "TESTS")]
    tests: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// How to print: for people what failed, or each case as one JSON object a line.
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
    let policy = Policy::from(rules.load()?);
    // All that is wrong is told before anything is tested.
    let files = tests.iter().map(|file| {
        let name = file.display().to_string();
        let content = std::fs::read(file).with_context(|| format!("can't read the tests {name}"))?;
        let cases = golden::parse(&name, rules::text(file, &content)?)?;
        Ok((name, cases))
    });
    let files: Vec<(String, Vec<Case>)> = files.collect::<anyhow::Result<_>>()?;
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
    let printed = output::data(text);
    let cases = if count == 1 { "case" } else { "cases" };
    output::talk(match failed {
        0 => format!("{count} {cases}, all passed"),
        failed => format!("{count} {cases}, {failed} failed"),
    });
    output::verdict(printed, u8::from(failed > 0))
}

fn failure(file: &str, case: &Case, policy: &Policy, decision: &Decision) -> Result<String, std::fmt::Error> {
    let Case { line, image, namespace, pull_never, expected, rule } = case;
    let policy_note = if *pull_never { ", pullPolicy Never" } else { "" };
    let mut text = String::new();
    writeln!(text, "{file}:{line}: {} in namespace {namespace}{policy_note}", image.escape_debug())?;
    let expected = match expected {
        Expected::Result(result) => result.escape_debug().to_string(),
        Expected::Reason(reason) => format!("kept, {}", reason.as_str()),
    };
    writeln!(text, "  expected   {expected}{}", by(rule.as_deref()))?;
    let got = match decision {
        Decision::Rewrite { result, .. } => result.clone(),
        decision => format!("kept, {}", decision.reason().map_or("", |reason| reason.as_str())),
    };
    writeln!(text, "  got        {got}{}", by(decision.rule().map(|rule| rule.name.as_str())))?;
    text.push_str(&explain::trail(policy, image, namespace, decision)?);
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
                Decision::Restore { .. } | Decision::Keep { .. } => None,
            },
            reason: decision.reason().map(|reason| reason.as_str()),
            rule: decision.rule().map(|rule| rule.name.as_str()),
        };
        let expected = Outcome { result, reason, rule: case.rule.as_deref() };
        Self { file, line: case.line, image: &case.image, namespace: &case.namespace, passed, expected, got }
    }
}
