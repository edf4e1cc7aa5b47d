use clap::builder::PossibleValue;
use clap_complete::Shell;

use super::output;

/// Print completions for a shell
///
/// Where to write them:
/// Bash: ~/.local/share/bash-completion/completions/pullthrough.
/// Zsh: the file _pullthrough in a folder of $fpath.
/// fish: ~/.config/fish/completions/pullthrough.fish.
/// Elvish and PowerShell: the profile of the shell.
/// `kubectl pullthrough`: an executable file kubectl_complete-pullthrough in the PATH.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Exit codes:
  0  done
  2  wrong usage

Examples:
  $ pullthrough completions bash > pullthrough
  $ pullthrough completions zsh > _pullthrough
  $ pullthrough completions kubectl > kubectl_complete-pullthrough"
)]
pub struct Args {
    /// The shell, or kubectl.
    shell: For,
}

#[derive(Clone, Copy)]
enum For {
    Shell(Shell),
    Kubectl,
}

impl clap::ValueEnum for For {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Shell(Shell::Bash),
            Self::Shell(Shell::Elvish),
            Self::Shell(Shell::Fish),
            Self::Shell(Shell::PowerShell),
            Self::Shell(Shell::Zsh),
            Self::Kubectl,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Shell(shell) => shell.to_possible_value(),
            Self::Kubectl => Some(PossibleValue::new("kubectl")),
        }
    }
}

/// The script that kubectl runs to complete the arguments of its plugin. It needs Bash, whichever shell the user has.
const KUBECTL: &str = include_str!("completions/kubectl.sh");

pub fn run(args: Args) -> anyhow::Result<()> {
    let shell = match args.shell {
        For::Shell(shell) => shell,
        For::Kubectl => return output::data(KUBECTL),
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut super::command(None), "pullthrough", &mut text);
    output::data(String::from_utf8_lossy(&text))
}
