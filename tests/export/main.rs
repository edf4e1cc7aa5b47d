//! `pullthrough export`, through the binary: what it says of itself, and what those make of it whom it is for.

#[path = "../harness/mod.rs"]
mod harness;

mod admission_policy;
mod containerd;
mod crio;
mod docker;
mod helm_values;
mod kustomize;
mod kyverno;
mod openshift;
mod places;
mod settings;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::NamedTempFile;

fn pullthrough(arguments: &[&str]) -> Output {
    pullthrough_with(arguments, "")
}

/// Runs the binary with a text on its standard input.
fn pullthrough_with(arguments: &[&str], input: &str) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_pullthrough")).args(arguments), input)
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .env_remove("PULLTHROUGH_RULES")
        .env_remove("PULLTHROUGH_CACHE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (mut stdin, input) = (child.stdin.take().expect("a pipe"), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    // What does not read its input closes the pipe.
    let _ = writer.join().expect("the writer ends");
    output
}

/// A file of this text, whose name ends so.
fn file(name: &str, text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(name).tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("the file is written");
    file
}
