//! SARIF 2.1.0, for code scanning.

pub mod log;

use std::fmt::{self, Display, Write};

use serde_json::{Value, json};

use self::log::{ImageAtPlace, Inputs, at};
use super::words;
use crate::scan::{Bucket, Entry, Location, Report, Verdict};

/// The rule of a result.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Forbidden,
    Rewritable,
    Observed,
    NotRolledOut,
    NotCovered,
    NotRewritten,
}

impl Rule {
    const ALL: [Self; 6] =
        [Self::Forbidden, Self::Rewritable, Self::Observed, Self::NotRolledOut, Self::NotCovered, Self::NotRewritten];

    /// Returns `None` for an image that needs no change, and without rules.
    fn of(entry: &Entry, is_forbidden: bool) -> Option<Self> {
        match Bucket::of(&entry.finding) {
            _ if is_forbidden => Some(Self::Forbidden),
            Bucket::Rewritten => Some(Self::Rewritable),
            Bucket::Observed => Some(Self::Observed),
            Bucket::NotRolledOut => Some(Self::NotRolledOut),
            Bucket::NotCovered => Some(Self::NotCovered),
            Bucket::NotRewritten => Some(Self::NotRewritten),
            Bucket::Cached | Bucket::Undecided => None,
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden-registry",
            Self::Rewritable => "rewritable",
            Self::Observed => "observed",
            Self::NotRolledOut => "not-rolled-out",
            Self::NotCovered => "not-covered",
            Self::NotRewritten => "not-rewritten",
        }
    }

    const fn level(self) -> &'static str {
        match self {
            Self::Forbidden => "error",
            Self::Rewritable => "warning",
            Self::Observed | Self::NotRolledOut | Self::NotCovered | Self::NotRewritten => "note",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Forbidden => "Image from a forbidden registry",
            Self::Rewritable => "Image from an upstream that has a cache",
            Self::Observed => "Image that a rule in observe mode matches",
            Self::NotRolledOut => "Image of a workload that the roll-out of a rule does not include",
            Self::NotCovered => "Image not covered by the webhook",
            Self::NotRewritten => "Image that the rules do not rewrite",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Forbidden => "The image is pulled from a registry of `--fail-on`.",
            Self::Rewritable => "The image names an upstream, and the rules would rewrite it to name the cache.",
            Self::Observed => {
                "The image names an upstream. A rule in `mode: observe` matches it and does not rewrite it."
            }
            Self::NotRolledOut => {
                "The image names an upstream. A rule matches it, and its `rollout` does not include the workload."
            }
            Self::NotCovered => "The image is pulled where the API server does not call the webhook.",
            Self::NotRewritten => "The image does not name the cache, and the rules do not rewrite it.",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Forbidden => {
                "If a rule matches, run `pullthrough rewrite -w`. Otherwise add a rule for the registry, or use an image \
                 from another registry."
            }
            Self::Rewritable => {
                "Run `pullthrough rewrite -w`, or write the image name of the message. If the webhook covers the Pods, it \
                 rewrites them at admission and the manifest can stay unchanged."
            }
            Self::Observed => "The message names the result. To rewrite such images, set `mode: enforce` in the rule.",
            Self::NotRolledOut => "The message names the result. To rewrite such images, raise `rollout` of the rule.",
            Self::NotCovered => {
                "Configure a mirror on the nodes, or write the rewritten image name. The message has it."
            }
            Self::NotRewritten => {
                "The message has the reason. If it is not intended, change the rules; `pullthrough explain` shows their \
                 decision."
            }
        }
    }

    const fn words(self) -> log::Rule {
        log::Rule {
            id: self.id(),
            level: self.level(),
            title: self.title(),
            description: self.description(),
            help: self.help(),
        }
    }
}

/// Returns one log with one run. The report should keep all places.
pub fn sarif(report: &Report) -> impl Display {
    fmt::from_fn(|f| {
        let forbidden = report.forbidden();
        let results = || {
            report.entries.iter().flat_map(|entry| {
                let registry = entry.finding.forbidden_by(&forbidden).map(|prefix| prefix.canonical());
                let rule = Rule::of(entry, registry.is_some());
                rule.into_iter()
                    .flat_map(move |rule| entry.places.iter().map(move |place| result(rule, registry, entry, place)))
            })
        };
        let rules = Rule::ALL.map(Rule::words);
        let inputs = Inputs { rules: &rules, skipped: &report.skipped, unknowns: &report.unknowns };
        log::write(f, &inputs, results)
    })
}

fn result(rule: Rule, forbidden: Option<&str>, entry: &Entry, place: &Location) -> Value {
    let finding = &entry.finding;
    let (decision, result, by, reason, would_be) = match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => (Some("rewritten"), Some(result), Some(rule), None, None),
        Some(Verdict::NotRewritten { reason, rule, would_be }) => {
            (Some("not_rewritten"), Some(&finding.image), rule.as_ref(), Some(reason.as_str()), would_be.as_ref())
        }
        None => (None, None, None, None, None),
    };
    let properties = json!({
        "image": finding.image,
        "registry": finding.registry,
        "repository": finding.repository,
        "use": finding.in_use,
        "decision": decision,
        "result": result,
        "rule": by,
        "reason": reason,
        "would_be": would_be,
        "not_covered": finding.not_covered,
    });
    let message = message(forbidden, entry, place);
    let (words, rule_index) = (rule.words(), rule as usize);
    ImageAtPlace { rule: words, rule_index, image: &finding.image, place, message: &message, properties }.result()
}

/// Returns the message: the image, its place, and its outcome.
fn message(forbidden: Option<&str>, entry: &Entry, place: &Location) -> String {
    let finding = &entry.finding;
    let mut text = format!("{} {}", words::image(&finding.image), at(place));
    if let Some(registry) = forbidden {
        // Writing to a string does not fail.
        let _ = write!(text, " is pulled from {registry}, which is forbidden");
    }
    match &finding.verdict {
        Some(Verdict::Rewrite { result, rule }) => {
            let _ = write!(text, "; the rules would rewrite it to {result} (rule {rule})");
        }
        Some(Verdict::NotRewritten { reason, rule, would_be: Some(name) }) => {
            let _ = write!(text, "; {}", words::observed(name, *reason, rule.as_deref()));
        }
        Some(Verdict::NotRewritten { reason, rule, would_be: None }) => {
            let _ = write!(text, "; not rewritten ({})", words::reason(*reason, rule.as_deref()));
        }
        None => {}
    }
    if let Some(why) = finding.not_covered {
        let _ = write!(text, "; not covered by the webhook: {}; fix: {}", why.why(), why.reached_by());
    }
    text
}
