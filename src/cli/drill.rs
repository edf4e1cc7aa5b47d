//! `pullthrough drill`: what would start if the upstreams vanished now.

mod inventories;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, anyhow, ensure};

use k8s_openapi::jiff::Timestamp;

use self::inventories::InventoriesArgs;
use super::duration::DurationArg;
use super::images::{Collect, Images, ImagesArgs};
use super::output;
use super::rules::RulesArgs;
use super::scan::progress::Progress;
use super::wait::wait_for;
use crate::drill::{Collected, Drill, Drilled, Verdict, Warmed, Workloads, html, json, table};
use crate::engine::Policy;
use crate::registry::Platform;
use crate::scan::FoundImage;
use crate::words::secs;

/// Check what would still start if the upstreams vanished now
///
/// Each image of each workload is `yes`, `no` or `unknown`, with the evidence: what the inventories of the caches list, and what
/// nodes hold. An image is `yes` only if an inventory has its manifest, its configuration and all its layers, or if every node has
/// it on which the Pod may run. Caches are asked only for what they answer without their upstream, because a living upstream hides
/// what a cache has lost.
#[derive(clap::Args)]
#[command(after_long_help = MORE_HELP)]
pub struct Args {
    #[command(flatten)]
    images: ImagesArgs,

    #[command(flatten)]
    rules: RulesArgs,

    /// The resume file of `pullthrough warm`; repeat it for several. It adds when the cache was asked for an image, and is no
    /// evidence that the cache still has it.
    #[arg(long, value_name = "FILE")]
    warmed: Vec<PathBuf>,

    /// Output format. `json` is one object a line for each image of each workload, and
    /// `html` a page for the owners of the outage.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    /// Require these platforms of each image, such as linux/arm64. Default: those of the nodes on which its Pods may run, if nodes
    /// are read, or else every platform of the image.
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',', value_parser = Platform::parse)]
    platforms: Vec<Platform>,

    /// The duration of the outage, 0s to 8760h. What a cache removes before its end is `unknown`.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(3600),
        value_parser = DurationArg::within(DurationArg::from_secs(0)..=DurationArg::from_secs(365 * 86_400))
    )]
    outage: DurationArg,

    /// Exit with 1 if an image has one of these verdicts.
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    fail_on: Vec<Failing>,

    /// With --fail-on: allow what is not understood. This is: fields that look like images in objects of unknown kinds,
    /// templates in folders, and paths without Kubernetes objects.
    #[arg(long, requires = "fail_on")]
    allow_unknown: bool,

    /// Timeout of each request to the cluster or to a cache, 1s to 10m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(30),
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600))
    )]
    timeout: DurationArg,

    #[command(flatten)]
    inventories: InventoriesArgs,
}

const MORE_HELP: &str = "\
Exit codes:
  0  done
  1  an image has a verdict of --fail-on
  2  wrong usage, invalid rules, or an unreadable cluster, file or inventory;
     with --fail-on also if nothing was inspected, anything was skipped, or
     something was not understood

Examples:
  $ pullthrough drill --rules rules.yaml --storage cache.example.com=/var/lib/registry
  $ pullthrough drill --rules rules.yaml --inventory harbor.example.com
  $ pullthrough drill --rules rules.yaml --keys cache.example.com=keys \\
      --scheduler-state cache.example.com=state.json
  $ pullthrough drill --rules rules.yaml --platform linux/amd64 deploy/
  $ pullthrough drill --rules rules.yaml --images images.txt -o json
  $ pullthrough drill --rules rules.yaml --outage 72h --fail-on no,unknown";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Html,
}

/// A word of `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Failing {
    No,
    Unknown,
}

impl Failing {
    const fn verdict(self) -> Verdict {
        match self {
            Self::No => Verdict::No,
            Self::Unknown => Verdict::Unknown,
        }
    }
}

impl Collect for Workloads {
    const NEEDS_OBJECTS: bool = true;

    fn add(&mut self, finding: FoundImage) {
        self.add(finding);
    }

    fn object(&mut self, kind: &str, json: &str) {
        self.read(kind, json);
    }
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        images,
        rules,
        inventories,
        warmed: records,
        output: format,
        platforms,
        outage,
        fail_on,
        allow_unknown,
        timeout,
    } = args;
    let config = rules.load()?;
    let (declared, caches) = (config.manifests.clone(), config.settings.caches.clone());
    ensure!(
        !(images.reads_stdin() && inventories.reads_stdin()),
        "standard input is both a listing and the images; write one to a file"
    );
    let inventories = inventories.open(&caches, timeout.get())?;
    let mut warmed = Warmed::default();
    for file in &records {
        let shown = file.display();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("--warmed {shown} is unreadable; fix the path"))?;
        warmed.add(&text).map_err(|why| anyhow!("--warmed {shown}: {why}; correct the path"))?;
    }
    let mut images: Images<Workloads> = images.collect(Policy::from(config), declared, timeout)?;
    let Collected { workloads, nodes, unjudged } = std::mem::take(&mut images.targets).finish();
    for line in unjudged.lines() {
        output::note(format_args!("note: {line}"));
    }
    let now = SystemTime::now();
    let ends_secs = secs(now + outage.get());
    let drill = Drill { caches, inventories, warmed, nodes, platforms, now, ends_secs };
    let progress = Progress::new(false);
    let on_part = |done, left| progress.show("parts of images in caches", done, Some(left));
    wait_for(drill.gather(&workloads, &on_part))?;
    progress.end();
    for note in drill.inventories.values().flat_map(|holdings| holdings.notes()) {
        output::note(format_args!("note: {note}"));
    }
    let drilled = drill.run(workloads);
    let subject = format!("Workloads of {} without their upstreams, using {}", images.subject, rules.name());
    let printed = match format {
        Format::Json => output::data(drilled.iter().map(json::lines).collect::<String>()),
        Format::Html => output::data(html::html(&html::Report {
            subject: &images.subject,
            rules: &rules.name(),
            date: &Timestamp::now().strftime("%F %H:%M UTC").to_string(),
            outage: &outage.to_string(),
            workloads: &drilled,
            unjudged: &unjudged,
            skipped: images.skipped(),
            unknowns: images.unknowns(),
        })),
        Format::Table => output::styled(table::table(&subject, &drilled, output::width())),
    };
    end(printed, &images, &drilled, &fail_on, allow_unknown)
}

/// Returns the exit code.
fn end(
    printed: anyhow::Result<()>,
    images: &Images<Workloads>,
    drilled: &[Drilled],
    fail_on: &[Failing],
    allow_unknown: bool,
) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = fail_on.iter().map(|word| word.verdict().as_str()).collect();
    let all = drilled.iter().flat_map(|one| &one.images);
    let failing = all.filter(|image| words.contains(&image.verdict.as_str())).count();
    images.end(printed, &words, failing, allow_unknown, || None)
}
