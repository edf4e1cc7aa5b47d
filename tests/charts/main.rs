//! `cargo test --test charts -- FOLDER`: `export helm-values` for every chart below a folder, with and without Helm. It compares the
//! images with Helm's output and the rules. It prints the correct images, the reported omissions and the wrong images. It fails if
//! an image is wrong, or is omitted without a report.
//!
//! Charts count if they render as they are: dependencies are vendored or absent, and no values are required. Charts of other
//! projects are not part of this repository.

#[path = "../harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use walkdir::WalkDir;

/// All registries in the charts, Docker Hub first.
const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
- {name: hub, from: [docker.io], to: cache.example.com:5000/hub}
- {name: quay, from: [quay.io], to: cache.example.com:5000/quay}
- {name: ghcr, from: [ghcr.io], to: cache.example.com:5000/ghcr}
- {name: k8s, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com:5000/k8s}
- {name: gcr, from: [gcr.io], to: cache.example.com:5000/gcr}
- {name: ecr, from: [public.ecr.aws], to: cache.example.com:5000/ecr}
- {name: mcr, from: [mcr.microsoft.com], to: cache.example.com:5000/mcr}
- {name: docker-elastic, from: [docker.elastic.co], to: cache.example.com:5000/elastic}
";

fn main() -> Result<()> {
    let Some(folder) = env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        bail!("name a folder with charts: cargo test --test charts -- FOLDER");
    };
    let site = Site { helm: harness::helm()?, here: tempfile::tempdir()? };
    fs::write(site.rules(), RULES)?;
    let mut total = BTreeMap::<&str, Counts>::new();
    let mut not_rendered = 0;
    println!(
        "| Chart | With | To be rewritten | Correct | Omitted, reported | Omitted, not reported | Wrong |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for chart in charts(Path::new(&folder)) {
        let Ok(plain) = site.render(&chart, None) else {
            not_rendered += 1;
            continue;
        };
        for (how, option) in [("Helm", format!("--helm={}", site.helm.display())), ("values", "--no-helm".to_owned())] {
            let counts = site.counts(&chart, &plain, &option).with_context(|| chart.display().to_string())?;
            let Counts { wanted, right, named, silent, wrong } = counts;
            let name = chart.strip_prefix(&folder)?.display();
            println!("| {name} | {how} | {wanted} | {right} | {named} | {silent} | {wrong} |");
            total.entry(how).or_default().add(counts);
        }
    }
    let (mut silent_or_wrong, mut seen) = (0, 0);
    for (how, Counts { wanted, right, named, silent, wrong }) in total {
        println!("| all | {how} | {wanted} | {right} | {named} | {silent} | {wrong} |");
        silent_or_wrong += silent + wrong;
        seen += wanted;
    }
    println!("\n{not_rendered} charts do not render without further values");
    ensure!(seen > 0, "the rules rewrite no image of the charts in {folder}");
    ensure!(silent_or_wrong == 0, "{silent_or_wrong} images are wrong or not reported");
    Ok(())
}

/// Returns the charts that are not subcharts of another.
fn charts(folder: &Path) -> Vec<PathBuf> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok);
    let charts = files
        .filter(|entry| entry.file_name() == "Chart.yaml")
        .filter_map(|entry| Some(entry.path().parent()?.to_owned()));
    charts
        .filter(|chart| {
            chart
                .parent()
                .is_none_or(|parent| !parent.ends_with("charts") || !parent.with_file_name("Chart.yaml").exists())
        })
        .collect()
}

/// Returns whether standard error names the last part of the image's name, its registry, or the skipped dependency.
fn is_named(image: &str, told: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    let registry =
        image.split_once('/').is_some_and(|(registry, _)| told.contains(&format!(": {registry} is not overridden")));
    told.contains(name) || registry || told.contains("dependency `")
}

#[derive(Default, Clone, Copy)]
struct Counts {
    /// The number of images that the rules rewrite.
    wanted: usize,
    right: usize,
    named: usize,
    silent: usize,
    wrong: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.right += other.right;
        self.named += other.named;
        self.silent += other.silent;
        self.wrong += other.wrong;
    }
}

struct Site {
    helm: PathBuf,
    here: tempfile::TempDir,
}

impl Site {
    fn rules(&self) -> PathBuf {
        self.here.path().join("rules.yaml")
    }

    fn counts(&self, chart: &Path, plain: &str, option: &str) -> Result<Counts> {
        let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .args(["export", "helm-values", option, "--rules"])
            .arg(self.rules())
            .arg(chart)
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            // The error names it.
            let wanted = self.images(plain)?.into_iter().filter(|(image, result)| image != result).count();
            println!("error: {}: {told}", chart.display());
            return Ok(Counts { wanted, named: wanted, ..Counts::default() });
        }
        let overrides = self.here.path().join("overrides.yaml");
        fs::write(&overrides, output.stdout)?;
        let before = self.images(plain)?;
        let after = match self.render(chart, Some(&overrides)) {
            Ok(rendered) => self.images(&rendered)?,
            Err(error) => {
                println!("error: {}: with the overrides: {error:#}", chart.display());
                Vec::new()
            }
        };
        let mut counts = Counts::default();
        for (index, (image, wanted)) in before.iter().enumerate() {
            let is = after.get(index).map(|(image, _)| image);
            counts.wanted += usize::from(image != wanted);
            match is {
                Some(is) if is == wanted => counts.right += usize::from(image != wanted),
                Some(is) if is == image && is_named(image, &told) => counts.named += 1,
                Some(is) if is == image => {
                    println!("silent: {}: {image}", chart.display());
                    counts.silent += 1;
                }
                is => {
                    println!("wrong: {}: {image} was rewritten to {is:?}, not {wanted}", chart.display());
                    counts.wrong += 1;
                }
            }
        }
        Ok(counts)
    }

    fn render(&self, chart: &Path, overrides: Option<&Path>) -> Result<String> {
        let mut command = Command::new(&self.helm);
        command.args(["template", "release", "--namespace", "default"]).env("HOME", self.here.path());
        if let Some(overrides) = overrides {
            command.arg("--values").arg(overrides);
        }
        let output = command.arg(chart).stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns the images in manifests, each with the result of the rules.
    fn images(&self, manifests: &str) -> Result<Vec<(String, String)>> {
        let file = self.here.path().join("manifests.yaml");
        fs::write(&file, manifests)?;
        let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .args(["scan", "--output=json", "--rules"])
            .args([&self.rules(), &file])
            .output()?;
        let lines = String::from_utf8(output.stdout)?;
        let findings = lines.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
        let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().map(str::to_owned);
        let pair = |finding| Some((text(finding, "image")?, text(finding, "result")?));
        Ok(findings.iter().filter_map(pair).collect())
    }
}
