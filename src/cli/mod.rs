//! The command line, with one file per command.

mod address;
mod catalogue;
mod certificates;
mod check;
mod completions;
mod doctor;
mod drill;
mod duration;
mod environment;
mod explain;
mod export;
mod images;
mod init;
mod kubeconfig;
mod man;
mod output;
mod registries;
mod rewrite;
mod rules;
mod scan;
mod schema;
mod serve;
mod test;
mod unknown;
mod verify;
mod wait;
mod warm;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{is_dns_label, is_object_name};

/// Send the image pulls of Kubernetes Pods through a pull-through cache
///
/// `serve` runs the admission webhook, which rewrites the images of new Pods. The other commands check rules, show their effect
/// on a cluster or on manifests, and export them to other formats.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_long_help = "\
Exit codes:
  0  done
  1  findings
  2  wrong usage, or invalid or unreadable input
The help of each command has the details.

Examples:
  $ pullthrough init harbor --cache harbor.example.com > rules.yaml
  $ pullthrough check rules.yaml
  $ pullthrough scan --rules rules.yaml
  $ pullthrough doctor"
)]
struct Cli {
    #[command(flatten)]
    quiet: QuietArgs,

    #[command(subcommand)]
    command: Command,
}

/// How much a command prints to standard error.
#[derive(Debug, clap::Args)]
struct QuietArgs {
    /// Hide notes, hints, totals and progress; errors and warnings stay
    #[arg(short, long, global = true, display_order = 998)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Explain(explain::Args),
    Rewrite(rewrite::Args),
    Check(check::Args),
    Test(test::Args),
    Init(init::Args),
    Schema(schema::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Certificates(certificates::Args),
    Scan(scan::Args),
    Verify(verify::Args),
    Warm(warm::Args),
    Drill(drill::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The file name by which kubectl finds its plugin.
const PLUGIN: &str = "kubectl-pullthrough";

/// Returns the definition of the command line, for a call by the program's own name or by kubectl as a plugin.
pub fn command(called: Option<OsString>) -> clap::Command {
    let called = called.as_deref().and_then(|path| Path::new(path).file_stem());
    if called.is_some_and(|name| name == PLUGIN) {
        as_plugin(Cli::command()).bin_name("kubectl pullthrough")
    } else {
        Cli::command()
    }
}

/// Returns the command with examples that start with `kubectl`, as users type it.
fn as_plugin(command: clap::Command) -> clap::Command {
    let help =
        command.get_after_long_help().map(|help| help.to_string().replace("$ pullthrough", "$ kubectl pullthrough"));
    let command = command.mut_subcommands(as_plugin);
    match help {
        Some(help) => command.after_long_help(help),
        None => command,
    }
}

/// Runs the command of the process arguments.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = command(words.first().cloned());
    let command = environment::without_overridden(command, words).unwrap_or_else(|error| error.exit());
    let matches = command.get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.quiet.quiet {
        output::be_quiet();
    }
    let result = match cli.command {
        Command::Serve(args) => Ok(serve::run(args)),
        Command::Explain(args) => explain::run(args).map(done),
        Command::Rewrite(args) => rewrite::run(args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Init(args) => init::run(args).map(done),
        Command::Schema(args) => schema::run(args).map(done),
        Command::Export(args) => export::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Certificates(args) => certificates::run(args),
        Command::Scan(args) => scan::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Warm(args) => warm::run(args),
        Command::Drill(args) => drill::run(args),
        Command::Completions(args) => completions::run(args).map(done),
        Command::Man(args) => man::run(args).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Parses the name of a namespace.
fn parse_namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits and inner dashes, at most 63 characters".to_owned())
    }
}

/// Parses the name of another object.
fn parse_object_name(text: &str) -> Result<String, String> {
    if is_object_name(text) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits and inner dashes, with dots between parts of at most 63 characters"
            .to_owned())
    }
}
