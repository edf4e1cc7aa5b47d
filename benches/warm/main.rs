//! `pullthrough warm` beside `skopeo copy --all` and `crane pull` of all platforms: `cargo bench --bench warm`.
//!
//! All read the same images from a registry in this process, which keeps them in memory and counts requests and bytes. `warm` runs
//! once for all images, with four requests at a time. The others run once for each image, four processes at a time. They have no
//! destination that drops what they receive: both write to a folder in memory, which is deleted after each image.
//!
//! Then it measures the memory of `warm`, with few images, with many, and with one large layer. It fails if that grows by more than
//! [`MOST_GROWTH_MIB`].
//!
//! It needs skopeo (`tests/install.sh cluster`). `tests/e2e/assets.sh` compiles crane with Go if it is missing.

#[path = "../../tests/harness/measure.rs"]
#[allow(dead_code, reason = "another benchmark compares runs")]
mod measure;
mod registry;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use self::measure::{Cost, measure};
use self::registry::{Counts, Registry};

const IMAGES: usize = 1000;
const FEW_IMAGES: usize = 10;
const BASE_BYTES: usize = 512 << 10;
const OWN_BYTES: usize = 128 << 10;
const LARGE_BYTES: usize = 300 << 20;
const MOST_GROWTH_MIB: f64 = 16.0;
const PARALLEL: &str = "4";
const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/assets.sh");
/// A folder in memory.
const MEMORY: &str = "/dev/shm";

fn main() -> Result<()> {
    // `cargo test --benches` runs benchmarks without this argument.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let skopeo = Command::new("skopeo").arg("--version").stdout(Stdio::null()).status();
    ensure!(skopeo.is_ok_and(|status| status.success()), "skopeo is not installed: run tests/install.sh cluster");
    let crane = crane()?;
    let folder = tempfile::tempdir_in(MEMORY).context("create a folder in memory")?;
    let folder = folder.path();
    let mut registry = Registry::default();
    let names: Vec<String> = (0..IMAGES).map(|number| format!("app{number}")).collect();
    for name in &names {
        registry.add(name, &[BASE_BYTES, OWN_BYTES]);
    }
    registry.add("large", &[LARGE_BYTES]);
    let serving = registry.serve()?;
    let (upstream, cache) = (&serving.upstream, &serving.cache);
    let rules = format!(
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: [{{name: up, from: ['{upstream}'], to: '{cache}/up'}}]\n"
    );
    fs::write(folder.join("rules.yaml"), rules)?;

    println!("{IMAGES} images with two platforms and an attestation; {PARALLEL} requests or processes at a time\n");
    println!("{:<28} {:>10} {:>8} {:>8} {:>10}", "", "requests", "MB", "s", "peak MiB");
    let show = |label: &str, (counts, cost): (Counts, Cost), has_memory: bool| {
        let Counts { requests, bytes } = counts;
        let memory = if has_memory { format!("{:.1}", cost.memory_mib) } else { "-".to_owned() };
        println!("{label:<28} {requests:>10} {:>8.0} {:>8.1} {memory:>10}", bytes as f64 / 1e6, cost.secs);
        cost.memory_mib
    };
    let run = |command: &mut Command| -> Result<(Counts, Cost)> {
        let before = serving.counts();
        let cost = measure(command, &folder.join("out"))?;
        Ok((serving.counts() - before, cost))
    };
    let warm = |names: &[&str]| {
        fs::write(
            folder.join("images.txt"),
            names.iter().map(|name| format!("{upstream}/{name}:1\n")).collect::<String>(),
        )?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args([
            "warm",
            "--anonymous",
            "--concurrency",
            PARALLEL,
            "--rules",
            "rules.yaml",
            "--images",
            "images.txt",
        ]);
        run(command.current_dir(folder))
    };
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    show("pullthrough warm", warm(&all)?, true);
    fs::write(folder.join("names.txt"), names.iter().map(|name| format!("{cache}/up/{name}:1\n")).collect::<String>())?;
    for (label, program, script) in [
        (
            "skopeo copy --all, to dir:",
            Path::new("skopeo"),
            r#""$0" copy --quiet --all --insecure-policy --src-tls-verify=false "docker://$1" "dir:$2/$$" && rm -r "$2/$$""#,
        ),
        (
            "crane pull, to an OCI folder",
            &crane,
            r#""$0" pull --insecure --platform all --format oci "$1" "$2/$$" && rm -r "$2/$$""#,
        ),
    ] {
        let mut command = Command::new("xargs");
        command
            .args(["-a", "names.txt", "-P", PARALLEL, "-I{}", "sh", "-c", script])
            .arg(program)
            .arg("{}")
            .arg(folder);
        show(label, run(command.current_dir(folder))?, false);
    }
    println!();
    let few = show("warm of 10 images", warm(&all[..FEW_IMAGES])?, true);
    for (label, names) in [("warm of 1000 images", &all[..]), ("warm of a layer of 300 MiB", &["large"])] {
        let memory_mib = show(label, warm(names)?, true);
        ensure!(memory_mib < few + MOST_GROWTH_MIB, "{label}: {memory_mib:.1} MiB, and {few:.1} MiB with few images");
    }
    Ok(())
}

fn crane() -> Result<PathBuf> {
    let output = Command::new(ASSETS).arg("crane").stderr(Stdio::inherit()).output().context("run assets.sh")?;
    ensure!(output.status.success(), "assets.sh crane: {}", output.status);
    Ok(Path::new(String::from_utf8(output.stdout)?.trim()).join("crane"))
}
