//! docs/reference/cli: a page for each command with its help, and one with all of them and what they exit with.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::examples::help;
use super::is_current;
use super::program::commands;

/// What a help text says of exit codes: by code, what it means.
fn exit_codes(help: &str) -> Vec<(char, String)> {
    let (_, list) = help.split_once("\nExit codes:\n").expect("a list `Exit codes:`");
    let mut codes: Vec<(char, String)> = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        match (line.strip_prefix("  ").and_then(|line| line.split_once("  ")), codes.last_mut()) {
            (Some((code, meaning)), _) if code.len() == 1 => {
                codes.push((code.chars().next().unwrap(), meaning.to_owned()))
            }
            (_, Some((_, meaning))) => *meaning += &format!(" {}", line.trim()),
            _ => panic!("{line}"),
        }
    }
    codes
}

const FOLDER: &str = "docs/reference/cli";

/// `GENERATED=overwrite cargo test --test cmd` writes the pages again.
#[test]
fn the_pages_of_the_command_line_are_current() {
    let mut index = String::from(
        "# Command line\n\n\
         Use this page to find a command, and to look up what its exit codes mean. Each command has a page with its options.\n\
         `make generate` writes these pages from the help of the commands.\n\n\
         - Standard output is data. Messages are on standard error. The keys of `-o json` are stable.\n\
         - `pullthrough completions` prints completions for shells, and `pullthrough man` manual pages.\n\
         - With the name `kubectl-pullthrough` on the PATH, the program is a plugin: `kubectl pullthrough scan`.\n\n\
         ## Exit codes\n\n| Command | 0 | 1 | 2 |\n| --- | --- | --- | --- |\n",
    );
    let mut files = BTreeSet::from(["README.md".to_owned()]);
    for path in commands() {
        let (name, file, help) = (path.join(" "), format!("{}.md", path.join("-")), help(&path));
        let codes = exit_codes(&help);
        let meaning = |code| codes.iter().find(|(of, _)| *of == code).map_or("–", |(_, meaning)| meaning.as_str());
        assert!(codes.len() > 1 && meaning('2') != "–", "{name}: {codes:?}");
        let _ = writeln!(index, "| [`{name}`]({file}) | {} | {} | {} |", meaning('0'), meaning('1'), meaning('2'));
        let page = format!(
            "# pullthrough {name}\n\nUse this page to look up the options of `pullthrough {name}`.\n\n```text\n{}```\n",
            tidy(&help)
        );
        is_current(&format!("{FOLDER}/{file}"), &page, "the page of a command that the code has");
        files.insert(file);
    }
    index.push_str("\nIf a program such as `head` stops reading the output early, that is not an error.\n");
    let _ = write!(index, "\n## pullthrough\n\n```text\n{}```\n", tidy(&help(&[])));
    is_current(&format!("{FOLDER}/README.md"), &index, "the page with the commands that the code has");

    let found = std::fs::read_dir(FOLDER).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let found: BTreeSet<String> = found.map(|name| name.into_string().expect("UTF-8")).collect();
    assert_eq!(found, files, "{FOLDER} has pages of commands that the code does not have: remove them");
}

fn tidy(help: &str) -> String {
    help.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
