use std::fmt::Write;
use std::io::{self, BufRead};

use serde::Serialize;

use super::rules::RulesArgs;
use super::{output, parse_namespace};
use crate::engine::{Decision, Fit, ImageRef, Policy, Question, Reason, Tried};

/// Tell what would happen to images, and why
///
/// For each image: its canonical form, each rule that was tried, and what it is rewritten to or the reason that it is kept.
///
/// Exit codes: 0 done; 2 wrong usage, or the rules are invalid or can't be read.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough explain --rules rules.yaml nginx registry.k8s.io/pause:3.10
  $ pullthrough explain --rules rules.yaml --namespace kube-system nginx
  $ pullthrough explain --cache cache.example.com/k8s -o json - < images.txt")]
pub struct Args {
    /// Images as a Pod names them; `-` reads one a line from standard input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of the Pod.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    /// How to print: for people, or one JSON object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { images, rules, namespace, output } = args;
    let policy = Policy::from(rules.load()?);
    let explain = |image: &str| {
        let decision = policy.decide(Question { image, namespace: &namespace, pull_never: false, previous: None });
        match output {
            Format::Text => {
                let trail = trail(&policy, image, &namespace, &decision)?;
                output::data(format_args!("{}\n{trail}", image.escape_debug()))
            }
            Format::Json => output::data(format_args!("{}\n", serde_json::to_string(&Line::new(image, &decision))?)),
        }
    };
    for image in images {
        match image.as_str() {
            "-" => each_line(io::stdin().lock(), explain)?,
            image => explain(image)?,
        }
    }
    Ok(())
}

/// Lines end in `\n` and nothing else. What is not UTF-8 is no image, and is shown with replacement characters.
fn each_line(mut input: impl BufRead, mut f: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        f(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)))?;
        line.clear();
    }
    Ok(())
}

/// The keys of `-o json`. They are stable.
#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    valid: bool,
    registry: Option<String>,
    repository: Option<String>,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
    decision: &'static str,
    result: &'a str,
    rule: Option<&'a str>,
    reason: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn new(written: &'a str, decision: &'a Decision) -> Self {
        let image = ImageRef::parse(written).ok();
        let (kind, result) = match decision {
            Decision::Rewrite { result, .. } => ("rewrite", result.as_str()),
            Decision::Restore { .. } | Decision::Keep { .. } => ("keep", written),
        };
        let owned = |text: &str| text.to_owned();
        Self {
            image: written,
            valid: image.is_some(),
            registry: image.as_ref().and_then(|image| image.registry()).map(owned),
            repository: image.as_ref().map(|image| image.repository()).map(owned),
            tag: image.as_ref().and_then(|image| image.tag()),
            digest: image.as_ref().and_then(|image| image.digest()),
            decision: kind,
            result,
            rule: decision.rule().map(|rule| rule.name.as_str()),
            reason: decision.reason().map(|reason| reason.as_str()),
        }
    }
}

/// How the decision came about, line by line.
pub fn trail(policy: &Policy, written: &str, namespace: &str, decision: &Decision) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let image = ImageRef::parse(written);
    match &image {
        Ok(image) => writeln!(text, "  canonical  {}{}", image.canonical(), image.suffix())?,
        Err(_) if written.is_empty() => writeln!(text, "  canonical  none: it is empty")?,
        Err(error) => writeln!(text, "  canonical  none: {error}")?,
    }
    let is_tried = !matches!(decision.reason(), Some(Reason::Placeholder | Reason::PullNever));
    let tried = image.ok().filter(|_| is_tried).map(|image| policy.tried(&image, namespace)).unwrap_or_default();
    for Tried { rule, fit } in tried {
        let name = &rule.name;
        match fit {
            Fit::NoMatch => writeln!(text, "  rule       {name}: does not match")?,
            Fit::NotInNamespace => writeln!(text, "  rule       {name}: matches, but not in namespace {namespace}")?,
            Fit::Excepted { by } => writeln!(text, "  rule       {name}: excepts {}", by.written())?,
            Fit::Match(()) => writeln!(text, "  rule       {name}: matches, to {}", rule.matcher.target())?,
        }
    }
    if let Decision::Rewrite { rule, result } = decision {
        writeln!(text, "  rewrite    {result}  (rule {})", rule.name)?;
    } else if let Some(reason) = decision.reason() {
        writeln!(text, "  keep       {}: {}", reason.as_str(), reason.describe())?;
    }
    Ok(text)
}
