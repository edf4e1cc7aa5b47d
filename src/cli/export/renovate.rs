use std::process::ExitCode;

use super::{StrictArgs, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, renovate};

/// Print `registryAliases` for Renovate
///
/// With these aliases, Renovate looks up rewritten images at their upstream, and updates them in manifests under the rewritten
/// name. If a rule lists several names of the same registry, such as `registry.k8s.io` and `k8s.gcr.io`, the current one is
/// used.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or invalid or unreadable rules

Examples:
  $ pullthrough export renovate --rules rules.yaml > renovate-aliases.json
  $ pullthrough export renovate --cache cache.example.com/k8s --strict")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    #[command(flatten)]
    strict: StrictArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, strict } = args;
    let policy = Policy::from(rules.load()?);
    let Export { what: configuration, notes, omissions } = renovate::configuration(&policy);
    let printed = output::data(format_args!("{}\n", serde_json::to_string_pretty(&configuration)?));
    note(&notes);
    strict.verdict(printed, &omissions)
}
