//! docs/cli.md: the help of every command, and what it exits with.

use std::fmt::Write;

use super::examples::{commands, help};
use super::is_current;

/// What a help text says of exit codes: by code, what it means.
fn exit_codes(help: &str) -> Vec<(char, String)> {
    let (_, text) = help.split_once("Exit codes: ").expect("a sentence `Exit codes: 0 …; 1 …; 2 ….`");
    let text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let mut starts: Vec<usize> = ["0 ", "; 1 ", "; 2 "]
        .iter()
        .filter_map(|code| text.find(code))
        .map(|at| if at == 0 { 0 } else { at + 2 })
        .collect();
    starts.push(text.len());
    let meaning = |start: usize, end: usize| text[start + 2..end].trim_end_matches([';', ' ', '.']).to_owned();
    starts.windows(2).map(|pair| (char::from(text.as_bytes()[pair[0]]), meaning(pair[0], pair[1]))).collect()
}

/// `GENERATED=overwrite cargo test --test cmd` writes the page again.
#[test]
fn the_page_of_the_command_line_is_current() {
    let mut page = String::from(
        "# Command line\n\n\
         Written from the help texts of the commands, by `make generate`.\n\n\
         Standard output is data, standard error is talk. The keys of `-o json` are stable. `pullthrough completions` prints\n\
         completions for shells, `pullthrough man` manual pages; in the PATH as `kubectl-pullthrough`, the program is a plugin of\n\
         kubectl.\n\n\
         ## Exit codes\n\n| Command | 0 | 1 | 2 |\n| --- | --- | --- | --- |\n",
    );
    let commands: Vec<(String, String)> = commands().iter().map(|path| (path.join(" "), help(path))).collect();
    for (name, help) in &commands {
        let codes = exit_codes(help);
        let meaning = |code| codes.iter().find(|(of, _)| *of == code).map_or("–", |(_, meaning)| meaning.as_str());
        assert!(codes.len() > 1 && meaning('2') != "–", "{name}: {codes:?}");
        let _ = writeln!(page, "| `{name}` | {} | {} | {} |", meaning('0'), meaning('1'), meaning('2'));
    }
    page.push_str(
        "\nA program that reads what is printed, such as `head`, may stop reading at any time: that is no error.\n",
    );
    let _ = write!(page, "\n## pullthrough\n\n```text\n{}```\n", tidy(&help(&[])));
    for (name, help) in &commands {
        let _ = write!(page, "\n## pullthrough {name}\n\n```text\n{}```\n", tidy(help));
    }
    is_current("docs/cli.md", &page, "the page with the commands that the code has");
}

fn tidy(help: &str) -> String {
    help.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
