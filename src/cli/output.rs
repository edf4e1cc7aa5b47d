//! The only file that prints: data to standard output, talk to standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Data, as it is.
pub fn data(text: impl Display) -> anyhow::Result<()> {
    // What is written in small pieces would be passed on line by line.
    let mut out = BufWriter::new(io::stdout().lock());
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Whether people see what is printed as data, and want colours.
pub fn is_coloured() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Data with ANSI colours, which are only for terminals.
pub fn styled(text: impl Display) -> anyhow::Result<()> {
    Ok(write!(anstream::stdout().lock(), "{text}")?)
}

/// Columns of standard output, where it is a terminal.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A line for people.
pub fn talk(line: impl Display) {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Returns what people read of an error.
pub fn error_text(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    // Errors in a rules file are drawn over several lines and begin with their own `error:`.
    match text.starts_with("error: ") {
        true => text,
        false => format!("error: {text}"),
    }
}

/// The exit code that goes with what was printed, also for whoever has seen enough of it.
pub fn verdict(printed: anyhow::Result<()>, code: u8) -> anyhow::Result<ExitCode> {
    match printed {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        _ => Ok(ExitCode::from(code)),
    }
}

/// Whether whoever read our output has seen enough, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
