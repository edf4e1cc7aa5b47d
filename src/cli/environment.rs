//! Options, and the variables that they win over.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

const NO_VARIABLE: Option<&str> = None;

/// Returns the command without the variables over which an option in `words` takes precedence: those of options that it excludes.
///
/// clap reports a conflict then, as if both had been written.
///
/// # Errors
///
/// If two variables are set that exclude each other, and no option decides.
pub fn without_overridden(command: Command, words: Vec<OsString>) -> Result<Command, clap::Error> {
    if !has_set_variable(&command) {
        return Ok(command);
    }
    match without_variables(command.clone()).ignore_errors(true).try_get_matches_from(words) {
        Ok(matches) => decide(command, &matches),
        // For help, or for an error that is found again.
        Err(_) => Ok(command),
    }
}

/// Returns whether a variable of the command or of a command below it is set.
fn has_set_variable(command: &Command) -> bool {
    command.get_arguments().any(|arg| set_variable(arg).is_some()) || command.get_subcommands().any(has_set_variable)
}

fn set_variable(arg: &Arg) -> Option<&OsStr> {
    arg.get_env().filter(|name| std::env::var_os(name).is_some())
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.env(NO_VARIABLE)).mut_subcommands(without_variables)
}

fn decide(mut command: Command, matches: &ArgMatches) -> Result<Command, clap::Error> {
    let overridden = overridden(&command, matches);
    command = overridden.iter().fold(command, |command, id| command.mut_arg(id, |arg| arg.env(NO_VARIABLE)));
    if let Some((one, other)) = conflict(&command, matches) {
        let message = format!("the variables {one} and {other} exclude each other; unset one of them\n");
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
    }
    let Some((name, matches)) = matches.subcommand() else { return Ok(command) };
    let Some(subcommand) = command.find_subcommand(name).cloned() else { return Ok(command) };
    let subcommand = decide(subcommand, matches)?;
    Ok(command.mut_subcommand(name, |_| subcommand))
}

/// Returns the names of arguments over whose variables a written argument takes precedence.
pub fn overridden(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let is_overridden = |arg: &&Arg| {
        arg.get_env().is_some()
            && !is_written(matches, arg)
            && command.get_arguments().any(|other| is_written(matches, other) && excludes(command, arg, other))
    };
    command.get_arguments().filter(is_overridden).map(|arg| arg.get_id().to_string()).collect()
}

/// Two variables that are set, and that exclude each other.
fn conflict(command: &Command, matches: &ArgMatches) -> Option<(String, String)> {
    let variable = |arg: &Arg| {
        let name = set_variable(arg).filter(|_| !is_written(matches, arg))?;
        Some(name.to_string_lossy().into_owned())
    };
    let set: Vec<(&Arg, String)> = command.get_arguments().filter_map(|arg| Some((arg, variable(arg)?))).collect();
    set.iter().enumerate().find_map(|(index, (arg, name))| {
        let other = set[index + 1..].iter().find(|(other, _)| excludes(command, arg, other));
        other.map(|(_, other)| (name.clone(), other.clone()))
    })
}

fn is_written(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

fn excludes(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |arg: &Arg, other: &Arg| command.get_arg_conflicts_with(arg).contains(&other);
    names(one, other) || names(other, one)
}
