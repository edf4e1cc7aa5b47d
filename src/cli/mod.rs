//! The command line: one file per command.

mod catalogue;
mod certificates;
mod check;
mod completions;
mod doctor;
mod explain;
mod export;
mod init;
mod kubeconfig;
mod man;
mod output;
mod rewrite;
mod rules;
mod scan;
mod schema;
mod serve;
mod test;
mod unknown;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{is_dns_label, is_object_name};

/// Sends every image pull of a Kubernetes cluster through the organisation's pull-through cache
///
/// Exit codes: 0 done; 1 something was found; 2 wrong usage, or something invalid or that can't be read. The help of each
/// command says it in detail.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
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
    Completions(completions::Args),
    Man(man::Args),
}

/// The name under which kubectl finds its plugin.
const PLUGIN: &str = "kubectl-pullthrough";

/// All that the command line takes, as the program is called: by its own name, or by kubectl as its plugin.
pub fn command(called: Option<OsString>) -> clap::Command {
    let called = called.as_deref().and_then(|path| Path::new(path).file_stem());
    match called.is_some_and(|name| name == PLUGIN) {
        true => as_plugin(Cli::command()).bin_name("kubectl pullthrough"),
        false => Cli::command(),
    }
}

/// With examples that begin as the user's own lines do.
fn as_plugin(command: clap::Command) -> clap::Command {
    let help =
        command.get_after_long_help().map(|help| help.to_string().replace("$ pullthrough", "$ kubectl pullthrough"));
    let command = command.mut_subcommands(as_plugin);
    match help {
        Some(help) => command.after_long_help(help),
        None => command,
    }
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let matches = command(std::env::args_os().next()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
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
        Command::Completions(args) => completions::run(args).map(done),
        Command::Man(args) => man::run(args).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::talk(output::error_text(&error));
            ExitCode::from(2)
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// The value of an option that names a namespace.
fn parse_namespace(text: &str) -> Result<String, String> {
    match is_dns_label(text) {
        true => Ok(text.to_owned()),
        false => Err("write lower-case letters, digits and inner dashes, at most 63".to_owned()),
    }
}

/// The value of an option that names another object.
fn parse_object_name(text: &str) -> Result<String, String> {
    match is_object_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("write lower-case letters, digits and inner dashes, in parts of at most 63 with a dot between"
                .to_owned())
        }
    }
}
