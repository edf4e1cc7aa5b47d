//! Runs the program as users do.
#![allow(dead_code, reason = "each test binary uses another part")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::NamedTempFile;

pub fn pullthrough(arguments: &[&str]) -> Output {
    pullthrough_with(arguments, "")
}

/// Runs the program with a text on its standard input.
pub fn pullthrough_with(arguments: &[&str], input: &str) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_pullthrough")).args(arguments), input)
}

pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .env_remove("PULLTHROUGH_RULES")
        .env_remove("PULLTHROUGH_CACHE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (mut stdin, input) = (child.stdin.take().expect("a pipe"), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    // A program that does not read its input closes the pipe.
    let _ = writer.join().expect("the writer ends");
    output
}

/// Creates a temporary file with this text and this end of its name.
pub fn file(name: &str, text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(name).tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    file
}

/// Returns the lines of standard error that start with this word and a colon, without both.
pub fn lines_with(stderr: &[u8], word: &str) -> Vec<String> {
    let stderr = String::from_utf8_lossy(stderr);
    stderr.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(": ")).map(str::to_owned).collect()
}

/// Returns the arguments of each command that has no subcommands.
pub fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, path: &[String], paths: &mut Vec<Vec<String>>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let path = [path, &[command.get_name().to_owned()]].concat();
            if command.has_subcommands() {
                collect(command, &path, paths);
            } else {
                paths.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    collect(&pullthrough::cli::command(None), &[], &mut paths);
    paths
}
