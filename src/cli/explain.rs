mod no_match;

use std::fmt::Write;
use std::io::{self, BufRead};

use anyhow::bail;
use serde::Serialize;

use super::output::{ATTENTION, BOLD, DIM, GOOD};
use super::rules::RulesArgs;
use super::{output, parse_namespace};
use crate::engine::{
    CacheState, Context, Decision, Facts, Fit, ImageRef, InvalidWorkload, Matcher, Percent, Policy, Prefix, Question,
    Reason, Tried, Workload,
};

/// Show what the rules do to images, and why
///
/// For each image, it prints the canonical form and the rules that were tried. Then follows the rewritten image name, or
/// the reason why the image is unchanged. Rules that do not match are grouped; those with the host of the image are shown.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  2  wrong usage, or invalid or unreadable rules

Examples:
  $ pullthrough explain --rules rules.yaml nginx registry.k8s.io/pause:3.10
  $ pullthrough explain --rules rules.yaml --namespace kube-system nginx
  $ pullthrough explain --rules rules.yaml --down harbor.example.com nginx
  $ pullthrough explain --rules rules.yaml --namespace shop --workload Deployment/web nginx
  $ pullthrough explain --cache cache.example.com/k8s -o json - < images.txt")]
pub struct Args {
    /// Images, as Pods name them. With `-`, one image a line is read from standard input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of the Pod.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    /// The workload of the Pod, such as `Deployment/web`, for rules with `rollout`. Without it, such a rule does not include
    /// the Pod.
    #[arg(short, long, value_name = "KIND/NAME", value_parser = parse_workload)]
    workload: Option<Workload<'static>>,

    /// Decide as if this registry were down: a cache, or an upstream. A host, or a host and a path. May be repeated.
    #[arg(long, value_name = "PREFIX", value_parser = parse_prefix)]
    down: Vec<Prefix>,

    /// Output format: text, or one JSON object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { images, rules, namespace, workload, down, output } = args;
    let policy = Policy::from(rules.load()?);
    if let Some(prefix) = down.iter().find(|prefix| !may_matter(&policy, prefix)) {
        bail!(
            "--down {}: no rule names it in `to`, `failover` or `from`; name a registry of the rules",
            prefix.written()
        );
    }
    let facts = Facts::of_states(down.into_iter().map(|prefix| (prefix, CacheState::Down)));
    let context = Context { facts: &facts, ..Context::of(&policy) };
    let included_from = workload.as_ref().map(|workload| workload.included_from(&namespace));
    let explain = |image: &str| {
        let decision =
            context.decide(Question { image, namespace: &namespace, pull_never: false, previous: None, included_from });
        match output {
            Format::Text => {
                let trail = trail(context, image, (&namespace, workload.as_ref()), &decision)?;
                output::styled(format_args!("{BOLD}{}{BOLD:#}\n{trail}", image.escape_debug()))
            }
            Format::Json => {
                output::data(format_args!("{}\n", serde_json::to_string(&Line::new(image, &decision, included_from))?))
            }
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

fn parse_prefix(text: &str) -> Result<Prefix, String> {
    Prefix::parse(text).map_err(|error| error.of_target().to_string())
}

fn parse_workload(text: &str) -> Result<Workload<'static>, InvalidWorkload> {
    Workload::parse(text)
}

/// Returns whether the state of a registry may change a decision. A pattern may match any registry.
fn may_matter(policy: &Policy, prefix: &Prefix) -> bool {
    let touches = |other: &Prefix| prefix.covers(other) || other.covers(prefix);
    policy.rules().iter().any(|rule| match &rule.matcher {
        Matcher::From { from, to, failover } => from.iter().chain([to]).chain(failover).any(touches),
        Matcher::Pattern { .. } => true,
    })
}

/// Calls `f` with each line. Lines end in `\n` only. Bytes that are not UTF-8 become replacement characters, which no image has.
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
    would_be: Option<&'a str>,
    cache: Option<&'a str>,
    rollout_percent: Option<u8>,
    included_from_percent: Option<u8>,
}

impl<'a> Line<'a> {
    fn new(written: &'a str, decision: &'a Decision, included_from: Option<Percent>) -> Self {
        let image = ImageRef::parse(written).ok();
        let (kind, result) = match decision {
            Decision::Rewrite { result, .. } => ("rewritten", result.as_str()),
            Decision::Restore { .. } | Decision::NotRewritten { .. } => ("not_rewritten", written),
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
            would_be: decision.would_be(),
            cache: decision.cache(),
            rollout_percent: decision.rule().map(|rule| rule.rollout.get()),
            included_from_percent: included_from.map(Percent::get),
        }
    }
}

/// Returns how the decision about an image of a workload came about, line by line, with ANSI colours.
pub fn trail(
    context: Context,
    written: &str,
    (namespace, workload): (&str, Option<&Workload>),
    decision: &Decision,
) -> Result<String, std::fmt::Error> {
    let Context { policy, facts, options: _ } = context;
    let mut text = String::new();
    let mut line = |label: &str, line: &str| writeln!(text, "  {DIM}{label:<9}{DIM:#}  {line}");
    let image = ImageRef::parse(written);
    match &image {
        Ok(image) => line("canonical", &format!("{}{}", image.canonical(), image.suffix()))?,
        Err(_) if written.is_empty() => line("canonical", "not a valid reference: it is empty")?,
        Err(error) => line("canonical", &format!("not a valid reference: {error}"))?,
    }
    let is_tried = !matches!(decision.reason(), Some(Reason::Placeholder | Reason::PullNever));
    if let Some(image) = image.ok().filter(|_| is_tried) {
        let tried = policy.tried(&image, namespace);
        let no_match = tried.iter().filter(|tried| tried.fit == Fit::NoMatch).map(|tried| tried.rule);
        no_match::lines(&image, no_match).iter().try_for_each(|text| line("rule", text))?;
        for Tried { rule, fit } in tried {
            let name = &rule.name;
            match fit {
                Fit::NoMatch => {}
                Fit::NotInNamespace => line("rule", &format!("{name}: matches, but not in namespace {namespace}"))?,
                Fit::Excepted { by } => line("rule", &format!("{name}: excepts {}", by.written()))?,
                Fit::Match(()) => line("rule", &format!("{name}: matches, to {}", rule.matcher.target()))?,
            }
        }
    }
    let included =
        workload.map(|workload| format!("{workload} is included from {}", workload.included_from(namespace)));
    match (decision.rule().filter(|rule| !rule.is_rolled_out()), included) {
        (Some(rule), Some(included)) => {
            line("rollout", &format!("{}: {} of workloads; {included}", rule.name, rule.rollout))?
        }
        (Some(rule), None) => line(
            "rollout",
            &format!(
                "{}: {} of workloads; to decide for one, add its KIND/NAME as `workload`",
                rule.name, rule.rollout
            ),
        )?,
        (None, Some(included)) => line("rollout", &included)?,
        (None, None) => {}
    }
    let rule = decision.rule().map(|rule| &rule.name);
    for name in policy.results(written, namespace).into_iter().flatten() {
        let is_down = |image: ImageRef| facts.state_of(image.canonical()) == CacheState::Down;
        if ImageRef::parse(&name).is_ok_and(is_down) {
            line("down", &name)?;
        }
    }
    if let Decision::Rewrite { rule, result, failover } = decision {
        let note = if failover.is_some() { ", failover" } else { "" };
        line("rewrite", &format!("{GOOD}{result}{GOOD:#}  (rule {}{note})", rule.name))?;
    } else if let Some(reason) = decision.reason() {
        line("unchanged", &format!("{ATTENTION}{}{ATTENTION:#}: {}", reason.as_str(), reason.describe()))?;
    }
    if let (Some(name), Some(rule)) = (decision.would_be(), rule) {
        line("would be", &format!("{name}  (rule {rule})"))?;
    }
    Ok(text)
}
