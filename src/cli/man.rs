use std::path::PathBuf;

use anyhow::anyhow;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::output;
use crate::files::Writer;

/// Print a manual page
///
/// Without a command, it is the page of pullthrough itself. `man -l -` shows it. With --dir, the pages of all commands are
/// written, for packages.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  2  wrong usage, or a folder that can't be written to

Examples:
  $ pullthrough man export webhook > pullthrough-export-webhook.1
  $ pullthrough man --dir .")]
pub struct Args {
    /// The command, such as `explain` or `export webhook`.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,

    /// Write the pages of all commands to this folder instead.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { command: path, dir } = args;
    let mut root = super::command(None).disable_help_subcommand(true);
    root.build();
    let Some(dir) = dir else {
        let command = path.iter().try_fold(&root, |command, name| command.find_subcommand(name));
        let command =
            command.ok_or_else(|| anyhow!("unknown command `{}`; see `pullthrough --help`", path.join(" ")))?;
        return output::data(String::from_utf8_lossy(&page(command)?));
    };
    let writer = Writer::default();
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        let file = dir.join(format!("{}.1", name(command)));
        writer.write(&file, page(command)?)?;
        commands.extend(command.get_subcommands());
    }
    Ok(writer.finish()?)
}

/// `pullthrough-export-webhook`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    // Without a date, so that builds are reproducible.
    let title = format!(".TH {} 1 \"\" \"pullthrough {}\"\n", name(command).to_uppercase(), env!("CARGO_PKG_VERSION"));
    let mut page = title.into_bytes();
    let man = Man::new(command.clone());
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    subcommands(command).to_writer(&mut page)?;
    extra(command).to_writer(&mut page)?;
    Ok(page)
}

fn subcommands(command: &Command) -> Roff {
    let mut page = Roff::new();
    if command.has_subcommands() {
        page.control("SH", ["COMMANDS"]);
    }
    for command in command.get_subcommands() {
        page.control("TP", []);
        page.text([bold(format!("{}(1)", name(command)))]);
        page.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    page
}

/// Returns the text below the options as sections: each paragraph with a title is one, and its lines stay as they are.
fn extra(command: &Command) -> Roff {
    let mut page = Roff::new();
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in help.split("\n\n") {
        let (title, lines) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        if lines.is_empty() {
            continue;
        }
        page.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]);
        page.control("nf", []);
        for line in lines.lines() {
            page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        page.control("fi", []);
    }
    page
}
