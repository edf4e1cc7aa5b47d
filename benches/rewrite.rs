//! `pullthrough rewrite -w` beside `sed -i`, on 10,000 files: `cargo bench --bench rewrite`.
//!
//! The files are those of tests/data/manifests over and over. In each round both get
//! a new copy of the same tree, and take turns in who begins. `sed` replaces the registry wherever `image:` stands before it,
//! and so also in places that are no image and in files that are no YAML: it is the least that anything could do which
//! reads and writes these files. It writes all of them anew; `rewrite` writes those that change.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

const FILES: usize = 10_000;
const FILES_PER_FOLDER: usize = 100;
const ROUNDS: usize = 5;
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/manifests");
const SED: &str = r#"s#(image: *["']?)(registry\.k8s\.io|k8s\.gcr\.io)/#\1cache.example.com/k8s/#"#;
const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n\
    - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}\n";

fn main() -> Result<()> {
    // `cargo test` builds benchmarks too, and runs them without this.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    let rules = folder.path().join("rules.yaml");
    fs::write(&rules, RULES)?;
    let original = folder.path().join("original");
    let bytes = generate(&original)?;
    println!("{FILES} files, {:.1} MB", bytes as f64 / 1e6);

    let mut times: [Vec<Duration>; 2] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let copy = folder.path().join("copy");
            run(Command::new("cp").arg("-r").arg(&original).arg(&copy))?;
            let start = Instant::now();
            match which {
                0 => rewrite(&rules, &copy)?,
                _ => sed(&copy)?,
            }
            times[which].push(start.elapsed());
            fs::remove_dir_all(&copy)?;
        }
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    println!("pullthrough rewrite -w  {ours:.2} s");
    println!("sed -i                  {theirs:.2} s");
    println!("ratio                   {:.2}", ours / theirs);
    Ok(())
}

/// Returns how many bytes there are.
fn generate(original: &Path) -> Result<usize> {
    let mut texts: Vec<String> = walkdir::WalkDir::new(MANIFESTS)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file() && entry.file_name() != "INDEX.tsv")
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect();
    texts.retain(|text| !text.is_empty());
    ensure!(!texts.is_empty(), "{MANIFESTS} has no files");
    let mut bytes = 0;
    for (index, text) in texts.iter().cycle().take(FILES).enumerate() {
        let folder: PathBuf = original.join(format!("{}", index / FILES_PER_FOLDER));
        fs::create_dir_all(&folder)?;
        bytes += text.len();
        fs::write(folder.join(format!("{index}.yaml")), text)?;
    }
    Ok(bytes)
}

fn rewrite(rules: &Path, copy: &Path) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args(["rewrite", "-w", "--rules"]).arg(rules).arg(copy).stderr(Stdio::null());
    // Some files of the corpus can't be parsed.
    let status = command.status().context("run pullthrough")?;
    ensure!(matches!(status.code(), Some(0 | 2)), "pullthrough failed ({status})");
    Ok(())
}

fn sed(copy: &Path) -> Result<()> {
    let script =
        format!("find \"$0\" -type f -name '*.yaml' -print0 | xargs -0 sed -i -E '{}'", SED.replace('\'', r"'\''"));
    run(Command::new("sh").arg("-c").arg(script).arg(copy))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
