use std::process::ExitCode;

use anyhow::ensure;
use clap::ValueEnum;

use super::webhook::FailurePolicy;
use super::{StrictArgs, documents, note};
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, admission_policy};

/// Print the policies with which the API server itself rewrites images, or reports those that it should have
///
/// `rewrite` is a MutatingAdmissionPolicy (Kubernetes 1.36 and later), which needs neither a webhook nor certificates. The
/// others are a ValidatingAdmissionPolicy (1.33 and later) beside it or beside the webhook: for what a webhook that did not
/// answer let through, or a later one put back.
///
/// Exit codes: 0 done; 1 something was left out, with --strict; 2 wrong usage, or the rules are invalid, too many, or can't be read.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export admission-policy --rules rules.yaml
  $ pullthrough export admission-policy --rules rules.yaml --action rewrite,audit --strict
  $ pullthrough export admission-policy --rules rules.yaml --action deny | kubectl apply -f -")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// What is done about an image that the rules rewrite; repeat it or separate by commas.
    #[arg(long, value_name = "ACTION", value_delimiter = ',', default_value = "rewrite")]
    action: Vec<Action>,

    /// What the API server does with a Pod that is too large to be evaluated: let it pass as it is, or refuse it.
    #[arg(long, value_name = "POLICY", default_value = "Ignore", ignore_case = true)]
    failure_policy: FailurePolicy,

    /// Evaluate Pods only that have an image on a registry that a rule names. A sidecar that is injected into another Pod
    /// afterwards escapes.
    #[arg(long)]
    skip_unaffected_pods: bool,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Rewrite it.
    Rewrite,
    /// Refuse the Pod.
    Deny,
    /// Warn whoever creates the Pod.
    Warn,
    /// Note it in the audit log.
    Audit,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, action, failure_policy, skip_unaffected_pods, strict } = args;
    ensure!(
        !(action.contains(&Action::Deny) && action.contains(&Action::Warn)),
        "--action deny and warn exclude each other in the API server: a Pod that is refused has no warning; leave one out"
    );
    let policy = Policy::from(rules.load()?);
    let actions = action.iter().map(|action| match action {
        Action::Rewrite => admission_policy::Action::Rewrite,
        Action::Deny => admission_policy::Action::Deny,
        Action::Warn => admission_policy::Action::Warn,
        Action::Audit => admission_policy::Action::Audit,
    });
    let options = admission_policy::Options {
        actions: actions.collect(),
        failure_policy: failure_policy.as_str(),
        skip_unaffected_pods,
    };
    let Export { what: objects, notes, omissions } = admission_policy::objects(&policy, &options)?;
    note(&notes);
    strict.verdict(documents(&objects), &omissions)
}
