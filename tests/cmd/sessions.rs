//! Sessions that pages show: each command of a block `console` prints what the page says.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::is_current;

/// Its sessions use tools beside pullthrough, so the test `tools` runs them.
const OTHERS: &str = "docs/how-to/rewrite-manifests.md";

fn pages() -> Vec<PathBuf> {
    let docs = walkdir::WalkDir::new("docs").sort_by_file_name().into_iter();
    let docs = docs.map(|entry| entry.expect("an entry").into_path());
    let docs = docs.filter(|path| path.extension().is_some_and(|found| found == "md") && path != Path::new(OTHERS));
    docs.chain([PathBuf::from("README.md")]).collect()
}

/// What a command prints, standard error included.
fn printed(command: &str, folder: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_pullthrough")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-uo", "pipefail", "-c", &format!("exec 2>&1\n{command}")])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("bash");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The page with what its commands print, and their number. A block of YAML that begins with `# NAME.yaml` is a file of that
/// name for all commands of the page.
fn with_sessions(page: &str) -> (String, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut text, mut commands) = (String::new(), 0);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(text, "{line}");
        if !matches!(line, "```console" | "```yaml") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if line == "```yaml" {
            let name = block.first().and_then(|line| line.strip_prefix("# "));
            if let Some(name) = name.filter(|name| name.ends_with(".yaml") && !name.contains([' ', '/'])) {
                std::fs::write(folder.path().join(name), block.join("\n") + "\n").expect("a file");
            }
            block.iter().for_each(|line| _ = writeln!(text, "{line}"));
        } else {
            for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                let _ = write!(text, "$ {command}\n{}", printed(command, folder.path()));
                commands += 1;
            }
        }
        text.push_str("```\n");
    }
    (text, commands)
}

/// `GENERATED=overwrite cargo test --test cmd` writes what is printed into the pages.
#[test]
fn pages_show_what_commands_print() {
    let mut all = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let (current, commands) = with_sessions(&text);
        if commands > 0 {
            is_current(&page.display().to_string(), &current, "the page with what its commands print");
        }
        all += commands;
    }
    assert!(all > 5, "{all} commands");
}
