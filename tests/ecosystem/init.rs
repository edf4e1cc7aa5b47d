//! The scripts of `init --setup`, with ShellCheck and jq, and with a registry of the distribution project.

#[path = "../harness/layouts.rs"]
mod layouts;
pub mod registry;
mod scripts;
