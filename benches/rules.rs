//! The time to read rules files of 8,000 entries, as a reload does, and to check them: `cargo bench --bench rules`.
//!
//! "read" is the parser with its checks and the index of the rules. "lints" is the search for likely mistakes. "check" is a run
//! of `pullthrough check`, with its start and its output. "growth" is the ratio of the last to that for half the entries: 2 if
//! the time is linear, 4 if it is quadratic.

#[path = "../tests/harness/long_rules.rs"]
mod long_rules;

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use pullthrough::config::{self, Config};
use pullthrough::engine::Policy;
use pullthrough::lint;

use self::long_rules::FILES;

const ENTRIES: usize = 8_000;
const ROUNDS: usize = 3;
/// The largest ratio of the time for twice the entries.
const MOST_GROWTH: f64 = 3.5;

fn main() -> Result<()> {
    // `cargo test --benches` runs benchmarks without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("create a folder")?;
    let rules = folder.path().join("rules.yaml");
    let check = |what: &str, text: &str| -> Result<f64> {
        fs::write(&rules, text)?;
        secs(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
            let status = command.arg("check").arg(&rules).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            // Some files have findings.
            ensure!(matches!(status.code(), Some(0 | 1)), "{what}: check failed ({status})");
            Ok(())
        })
    };
    println!("{:<46} {:>6} {:>7} {:>7} {:>7} {:>7}", "", "KB", "read s", "lints s", "check s", "growth");
    for (what, file) in FILES {
        let text = file(ENTRIES);
        let read = || -> Result<Config> { Ok(config::parse("rules.yaml", black_box(&text))?) };
        let reading = secs(|| Ok(Policy::from(read()?)))?;
        let config = read()?;
        let lints = secs(|| Ok(lint::findings(&config)))?;
        let (half, whole) = (check(what, &file(ENTRIES / 2))?, check(what, &text)?);
        let (kilobytes, growth) = (text.len() / 1_000, whole / half);
        println!("{what:<46} {kilobytes:>6} {reading:>7.3} {lints:>7.3} {whole:>7.3} {growth:>7.1}");
        ensure!(growth < MOST_GROWTH, "{what}: twice as many entries take {growth:.1} times as long");
    }
    Ok(())
}

/// Returns the least time of some runs, in seconds.
fn secs<T>(work: impl Fn() -> Result<T>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        drop(work()?);
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}
