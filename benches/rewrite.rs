//! `pullthrough rewrite` and `scan` on large inputs, compared with `sed -i`: `cargo bench --bench rewrite`.
//!
//! Both change two inputs: 10,000 files (those of tests/data/manifests repeated), and a List of 26 MB on one line, on one
//! processor and on two. In each round both get a new copy, and they take turns in starting. The CPU time beside the elapsed time
//! is that of all threads. `sed` has one thread. It replaces the registry after `image:`, also in fields that are not
//! images and in files that are not YAML. It is a lower bound for a program that reads and writes these files. It writes all files;
//! `rewrite` writes those that change.
//!
//! Then it measures memory and time of two texts with 400,000 images: a List on one line, and documents of YAML. Each command
//! runs on the whole text and on a quarter of it. It fails with more memory than [`MOST_MIB`], or if the time grows much faster than
//! the text.

#[path = "../tests/harness/measure.rs"]
mod measure;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use self::measure::{Cost, measure};

const FILES: usize = 10_000;
const FILES_PER_FOLDER: usize = 100;
const ROUNDS: usize = 5;
/// The unit of times in /proc (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Each has two images.
const PODS: usize = 200_000;
/// The Pods of the line that `sed` changes too.
const PODS_OF_LINE: usize = 122_000;
const MOST_MIB: f64 = 200.0;
/// The largest ratio of the time for four times the text.
const MOST_GROWTH: f64 = 8.0;
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/manifests");
const PULLTHROUGH: &str = env!("CARGO_BIN_EXE_pullthrough");
const SED: &str = r#"s#(image"?: *["']?)(registry\.k8s\.io|k8s\.gcr\.io)/#\1cache.example.com/k8s/#g"#;
const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n\
    - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}\n";

/// A name, the name of the file, and a function that returns a text with a number of Pods.
type Text = (&'static str, &'static str, fn(usize) -> String);
const TEXTS: [Text; 2] = [("a List on one line", "list.json", list), ("YAML documents", "documents.yaml", documents)];

fn main() -> Result<()> {
    // `cargo test --benches` runs benchmarks without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("create a folder")?;
    let folder = folder.path();
    let rules = folder.join("rules.yaml");
    fs::write(&rules, RULES)?;

    let files = folder.join("files");
    let bytes = write_files(&files)?;
    compare(&format!("{FILES} files"), bytes, folder, &rules, &files)?;

    let line = folder.join("line");
    fs::create_dir(&line)?;
    let text = list(PODS_OF_LINE);
    fs::write(line.join("list.json"), &text)?;
    compare("one line", text.len(), folder, &rules, &line)?;

    println!("{:<44} {:>6} {:>8} {:>8} {:>10}", "", "MB", "s", "growth", "peak MiB");
    let rewrite: &[&str] = &["rewrite", "-w"];
    for (what, name, text) in TEXTS {
        for arguments in [rewrite, &["rewrite"], &["scan"], &["scan", "-o", "json"]] {
            let file = folder.join(name);
            let once = |text: &str| -> Result<Cost> {
                fs::write(&file, text)?;
                let mut command = Command::new(PULLTHROUGH);
                command.args(arguments).arg("--rules").arg(&rules).arg(&file);
                measure(&mut command, &folder.join("out"))
            };
            let run = |text: &str| anyhow::Ok(once(text)?.better(once(text)?));
            let quarter = run(&text(PODS / 4))?;
            let text = text(PODS);
            let Cost { secs, memory_mib } = run(&text)?;
            let (label, growth) = (format!("{}: {what}", arguments.join(" ")), secs / quarter.secs);
            println!("{label:<44} {:>6.1} {secs:>8.2} {growth:>8.1} {memory_mib:>10.0}", text.len() as f64 / 1e6);
            ensure!(memory_mib < MOST_MIB, "{label}: {memory_mib:.0} MiB; the most is {MOST_MIB}");
            ensure!(growth < MOST_GROWTH, "{label}: four times as much takes {growth:.1} times as long");
        }
    }
    Ok(())
}

/// Prints the times that `rewrite` and `sed` take for a folder, on one processor and on two.
fn compare(what: &str, bytes: usize, folder: &Path, rules: &Path, original: &Path) -> Result<()> {
    println!("{what}, {:.1} MB", bytes as f64 / 1e6);
    let all = sched_getaffinity(None).context("read the processors")?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor)).take(2).collect();
    for count in 1..=processors.len() {
        let mut few = CpuSet::new();
        processors[..count].iter().for_each(|processor| few.set(*processor));
        // Processes inherit it.
        sched_setaffinity(None, &few).context("choose processors")?;
        let times = rounds(folder, rules, original);
        sched_setaffinity(None, &all).context("choose processors")?;
        let [ours, theirs] = times?;
        println!("  processors: {count}");
        println!("  pullthrough rewrite -w  {:.2} s, CPU {:.2} s", ours.elapsed, ours.cpu);
        println!("  sed -i                  {:.2} s, CPU {:.2} s", theirs.elapsed, theirs.cpu);
        println!("  ratio                   {:.2}, CPU {:.2}\n", ours.elapsed / theirs.elapsed, ours.cpu / theirs.cpu);
    }
    Ok(())
}

/// Seconds of a process.
#[derive(Clone, Copy)]
struct Times {
    elapsed: f64,
    cpu: f64,
}

/// Returns the medians of `rewrite` and `sed`.
fn rounds(folder: &Path, rules: &Path, original: &Path) -> Result<[Times; 2]> {
    let mut times: [Vec<Times>; 2] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let copy = folder.join("copy");
            run(Command::new("cp").arg("-r").arg(original).arg(&copy))?;
            // What `cp` wrote is not of this process.
            run(&mut Command::new("sync"))?;
            let (start, before) = (Instant::now(), cpu_of_children()?);
            match which {
                0 => rewrite(rules, &copy)?,
                _ => sed(&copy)?,
            }
            let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_of_children()? - before);
            times[which].push(Times { elapsed, cpu });
            fs::remove_dir_all(&copy)?;
        }
    }
    let median = |times: &[Times], of: fn(&Times) -> f64| {
        let mut times: Vec<f64> = times.iter().map(of).collect();
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok(times
        .map(|times| Times { elapsed: median(&times, |times| times.elapsed), cpu: median(&times, |times| times.cpu) }))
}

/// Returns the CPU time of all ended children of this process, and of theirs, in seconds.
fn cpu_of_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("read the CPU time")?;
    let (_, fields) = stat.rsplit_once(") ").context("the name of the process")?;
    // `cutime` and `cstime`, fields 16 and 17 (proc_pid_stat(5)); the first is the third.
    let ticks: u64 = fields.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Writes the files. Returns the number of bytes.
fn write_files(original: &Path) -> Result<usize> {
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

/// Returns a List on one line, as `kubectl get --raw` prints it.
fn list(pods: usize) -> String {
    let mut text = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for pod in 0..pods {
        let [app, sidecar] = images(pod);
        let separator = if pod > 0 { "," } else { "" };
        let _ = write!(
            text,
            r#"{separator}{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p{pod}","namespace":"shop"}},"spec":{{"containers":[{{"name":"app","image":"{app}"}},{{"name":"proxy","image":"{sidecar}"}}]}}}}"#
        );
    }
    text + "]}\n"
}

fn documents(pods: usize) -> String {
    let mut text = String::new();
    for pod in 0..pods {
        let [app, sidecar] = images(pod);
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p{pod}\n  namespace: shop\nspec:\n  containers:\n  - name: app\n    \
             image: {app}\n  - name: proxy\n    image: {sidecar}\n"
        );
    }
    text
}

/// Returns the images of a Pod, which thousands of Pods share.
fn images(pod: usize) -> [String; 2] {
    [format!("registry.k8s.io/app-{}:v1.{}", pod % 1_000, pod % 20), format!("k8s.gcr.io/proxy-{}:v2", pod % 100)]
}

fn rewrite(rules: &Path, copy: &Path) -> Result<()> {
    let mut command = Command::new(PULLTHROUGH);
    command.args(["rewrite", "-w", "--rules"]).arg(rules).arg(copy).stderr(Stdio::null());
    // Some files of the corpus do not parse.
    let status = command.status().context("run pullthrough")?;
    ensure!(matches!(status.code(), Some(0 | 2)), "pullthrough failed ({status})");
    Ok(())
}

fn sed(copy: &Path) -> Result<()> {
    let script = format!("find \"$0\" -type f -print0 | xargs -0 sed -i -E '{}'", SED.replace('\'', r"'\''"));
    run(Command::new("sh").arg("-c").arg(script).arg(copy))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
