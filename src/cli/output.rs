//! The only file that prints: data to standard output, all else to standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

use crate::config::RulesError;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const ATTENTION: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// `--quiet`, for the whole process.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Hides notes from now on.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

pub fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints data.
pub fn data(text: impl Display) -> anyhow::Result<()> {
    // Standard output itself would write line by line.
    let mut out = BufWriter::new(io::stdout().lock());
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Returns whether standard output is a terminal with colours.
pub fn is_coloured() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Prints data with ANSI colours, which are removed if standard output is not a terminal.
pub fn styled(text: impl Display) -> anyhow::Result<()> {
    Ok(write!(anstream::stdout().lock(), "{text}")?)
}

/// Returns the columns of standard output if it is a terminal.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Prints an error or a warning for people.
pub fn talk(line: impl Display) {
    // If standard error is closed, the message is lost.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a note, a hint or a total for people, unless `--quiet` was given.
pub fn note(line: impl Display) {
    if !is_quiet() {
        talk(line);
    }
}

/// Prints the error that ends a command, in colours on a terminal.
pub fn error(error: &anyhow::Error) {
    let text = match error.downcast_ref::<RulesError>() {
        Some(error) => error.styled().to_owned(),
        None => match error_text(error).strip_prefix("error: ") {
            Some(rest) => format!("{BAD}error:{BAD:#} {rest}"),
            None => error_text(error),
        },
    };
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Returns the text of an error for people.
pub fn error_text(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    // Errors in a rules file have several lines, and start with `error:` already.
    if text.starts_with("error: ") { text } else { format!("error: {text}") }
}

/// Returns the exit code, also if the reader of standard output has closed it.
pub fn verdict(printed: anyhow::Result<()>, code: u8) -> anyhow::Result<ExitCode> {
    match printed {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        _ => Ok(ExitCode::from(code)),
    }
}

/// Returns whether the reader of standard output has closed it, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
