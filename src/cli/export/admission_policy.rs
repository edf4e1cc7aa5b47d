use std::process::ExitCode;

use anyhow::ensure;
use clap::ValueEnum;

use super::webhook::FailurePolicy;
use super::{StrictArgs, documents, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, admission_policy};

/// Print admission policies with which the API server rewrites images, or reports images that are not rewritten
///
/// `rewrite` is a MutatingAdmissionPolicy (Kubernetes 1.36 and later), which needs no webhook and no certificates. The other
/// actions are a ValidatingAdmissionPolicy (1.33 and later). Use it beside the webhook. It reports Pods that were admitted
/// while the webhook was unavailable, and images that a later webhook reverted.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or rules that are invalid, unreadable or too many

Examples:
  $ pullthrough export admission-policy --rules rules.yaml
  $ pullthrough export admission-policy --rules rules.yaml \\
      --action rewrite,audit --strict
  $ pullthrough export admission-policy --rules rules.yaml --action deny \\
      | kubectl apply -f -
  $ pullthrough export admission-policy --rules rules.yaml --static \\
      > mutating-pullthrough.yaml")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// The actions for an image that the rules rewrite; repeat it or separate by commas.
    #[arg(long, value_name = "ACTION", value_delimiter = ',', default_value = "rewrite")]
    action: Vec<Action>,

    /// What the API server does with a Pod that is too large to evaluate: admit it unchanged (Ignore), or deny it (Fail).
    #[arg(long, value_name = "POLICY", default_value = "Ignore", ignore_case = true)]
    failure_policy: FailurePolicy,

    /// Evaluate only Pods with an image of a registry that a rule names. A sidecar that is injected into another Pod later is
    /// not covered.
    #[arg(long)]
    skip_unaffected_pods: bool,

    /// Print manifests that API servers read from their own disk, for Kubernetes 1.37, or 1.36 with a feature gate
    ///
    /// The policies apply from the start of an API server, also if etcd is empty, and users can't delete them. Put
    /// the output on the disk of each API server, into the folder that its configuration names: one folder for `rewrite`, and
    /// another one for the other actions.
    #[arg(long = "static")]
    is_static: bool,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Rewrite the image.
    Rewrite,
    /// Deny the Pod.
    Deny,
    /// Return a warning to the client.
    Warn,
    /// Add an annotation to the audit log.
    Audit,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, action, failure_policy, skip_unaffected_pods, is_static, strict } = args;
    ensure!(
        !(action.contains(&Action::Deny) && action.contains(&Action::Warn)),
        "--action deny and warn exclude each other in the API server; remove one of them"
    );
    let rewrites = action.contains(&Action::Rewrite);
    ensure!(
        !(is_static && rewrites && action.iter().any(|action| *action != Action::Rewrite)),
        "--static: API servers read a MutatingAdmissionPolicy and a ValidatingAdmissionPolicy from different folders; export \
         `--action rewrite` alone, and the other actions with another call"
    );
    let policy = Policy::from(rules.load()?);
    let actions = action.iter().map(|action| match action {
        Action::Rewrite => admission_policy::Action::Rewrite,
        Action::Deny => admission_policy::Action::Deny,
        Action::Warn => admission_policy::Action::Warn,
        Action::Audit => admission_policy::Action::Audit,
    });
    let options = admission_policy::AdmissionPolicyOptions {
        actions: actions.collect(),
        failure_policy: failure_policy.as_str(),
        skip_unaffected_pods,
        is_static,
    };
    let Export { what: objects, notes, omissions } = admission_policy::objects(&policy, &options)?;
    note(&notes);
    if is_static {
        let plugin = if rewrites { "MutatingAdmissionPolicy" } else { "ValidatingAdmissionPolicy" };
        output::note(format_args!(
            "note: put this file into staticManifestsDir of the plugin {plugin}, on the disk of each API server; \
             `kubectl apply` rejects it"
        ));
    }
    strict.verdict(documents(&objects), &omissions)
}
