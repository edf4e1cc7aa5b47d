//! The only file that prints: data to standard output, talk to standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Data, as it is.
pub fn data(text: impl Display) -> anyhow::Result<()> {
    Ok(write!(io::stdout().lock(), "{text}")?)
}

/// A line for people.
pub fn talk(line: impl Display) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

pub fn error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    // Errors in a rules file are drawn over several lines and begin with their own `error:`.
    match text.starts_with("error: ") {
        true => talk(text),
        false => talk(format_args!("error: {text}")),
    }
}

/// Whether whoever read our output has seen enough, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
