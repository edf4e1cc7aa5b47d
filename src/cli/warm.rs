use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::HumanCount;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::duration::DurationArg;
use super::images::{Images, ImagesArgs};
use super::output;
use super::registries::RegistriesArgs;
use super::rules::RulesArgs;
use super::scan::progress::Progress;
use super::wait::wait_for;
use crate::engine::{Cache, ImageRef, Policy, Product};
use crate::products::Model;
use crate::registry::{Platform, Repository, Retries};
use crate::verify::Target;
use crate::warm::{Entry, Event, Image, Keep, Limits, Options, Record, Run, report};

/// Have the cache fetch images before nodes need them
///
/// Reads images of a cluster, of manifests or of a list, and asks the cache for each image that the rules rewrite, also by rules
/// with `mode: observe`. It sends the requests of a node in the order that the cache's `product` needs, and drops what it receives.
/// Then the cache has the images, and nodes can pull them while the upstream limits or fails.
///
/// Credentials are those of the cache. The upstream is asked if the cache answers 404, for --keep-quota and for --dry-run.
#[derive(clap::Args)]
#[command(after_long_help = MORE_HELP)]
pub struct Args {
    #[command(flatten)]
    images: ImagesArgs,

    #[command(flatten)]
    rules: RulesArgs,

    /// Fetch these platforms of each image, such as linux/arm64. Default: those of the cluster's nodes, if they are read, else
    /// every platform, with attestations.
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',', value_parser = Platform::parse)]
    platforms: Vec<Platform>,

    /// Fetch signatures, attestations and bills of materials too: referrers, and cosign's tags such as `sha256-….sig`.
    #[arg(long)]
    referrers: bool,

    /// Print how many requests and bytes it would take. Reads the manifests from the upstreams, which count these requests.
    /// Caches are not asked.
    #[arg(long)]
    dry_run: bool,

    /// Write what is done to this file, and skip what it has. An interrupted run continues with it.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,

    /// With --resume: fetch again what is older than this.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(24 * 3600),
        requires = "resume",
        value_parser = DurationArg::within(DurationArg::from_secs(0)..=DurationArg::from_secs(10_000 * 3600))
    )]
    resume_within: DurationArg,

    /// Requests to one registry at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,

    /// The most requests to one registry in a time, such as 10/s, 300/m or 1000/h.
    #[arg(long, value_name = "NUMBER/UNIT", value_parser = parse_rate)]
    rate: Option<Interval>,

    /// End after this many requests, retries included.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max_requests: Option<u64>,

    /// Leave this part of the upstream's rate limit to others, such as 20% or 50 requests. The limit is read from the answers of
    /// the cache, else asked of the upstream with the credentials given, so give those that the cache uses.
    #[arg(long, value_name = "PART", value_parser = Keep::parse)]
    keep_quota: Option<Keep>,

    /// The longest wait for a rate limit or a quota. If it is longer, the run ends, and lists what is not fetched.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(600),
        value_parser = DurationArg::within(DurationArg::from_secs(0)..=DurationArg::from_secs(1000 * 3600))
    )]
    max_wait: DurationArg,

    /// Timeout for the first byte of an answer, 1s to 1h. Some caches fetch a whole image before they answer.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(600),
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(3600))
    )]
    timeout: DurationArg,

    /// Output format. `json` is one object a line for each image, when it is done.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    #[command(flatten)]
    registries: RegistriesArgs,
}

const MORE_HELP: &str = "\
Exit codes:
  0  done: every image was fetched
  1  an image was not fetched, or not all of it
  2  wrong usage, invalid rules, unreadable input, or nothing was inspected

Examples:
  $ pullthrough warm --rules rules.yaml --dry-run
  $ pullthrough warm --rules rules.yaml --resume warm.resume
  $ pullthrough warm --rules rules.yaml --platform linux/amd64 deploy/
  $ pullthrough warm --rules rules.yaml --keep-quota 20% --max-wait 6h
  $ pullthrough scan -o names | pullthrough warm --rules rules.yaml --images -";

const CLUSTER_TIMEOUT: DurationArg = DurationArg::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The time between two requests.
#[derive(Debug, Clone, Copy)]
struct Interval(Duration);

fn parse_rate(text: &str) -> Result<Interval, String> {
    const FORM: &str = "write a number of requests and a unit (s, m or h), such as 10/s";
    let (number, unit) = text.split_once('/').ok_or(FORM)?;
    let number: u32 = number.parse().ok().filter(|number| *number > 0).ok_or(FORM)?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(FORM.to_owned()),
    };
    Ok(Interval(Duration::from_secs(secs) / number))
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        images,
        rules,
        platforms,
        referrers,
        dry_run,
        resume,
        resume_within,
        concurrency,
        rate,
        max_requests,
        keep_quota,
        max_wait,
        timeout,
        output,
        registries,
    } = args;
    let config = rules.load()?;
    let (caches, declared) = (config.settings.caches.clone(), config.manifests.clone());
    // Each attempt has to wait for its turn, so the client itself does not retry.
    let retries = Retries { attempts: 1, ..Retries::default() };
    let client = registries.client(&caches, timeout.get(), retries)?;
    let found = images.find(Policy::from(config), declared, CLUSTER_TIMEOUT)?;
    let gap = found.gap(true);
    let Images { targets, platforms: of_nodes, .. } = found;
    let images: Vec<Image> = targets.into_list().into_iter().filter_map(image).collect();
    if images.is_empty() {
        output::note("nothing to fetch: the rules rewrite none of the images");
        return Ok(end(gap, 0));
    }
    let platforms = if platforms.is_empty() { of_nodes.into_iter().collect() } else { platforms };
    let record = match &resume {
        Some(path) if dry_run => Record::read(path, resume_within.get())?,
        Some(path) => Record::open(path, resume_within.get())?,
        None => Record::default(),
    };
    if !dry_run {
        effects(&images, &caches).iter().for_each(output::note);
    }
    let limits = Limits {
        concurrency: concurrency.into(),
        interval: rate.map(|Interval(interval)| interval),
        max_requests,
        keep: keep_quota,
        max_wait: max_wait.get(),
    };
    let options = Options { platforms, referrers, is_dry_run: dry_run, limits };
    let all = images.len();
    let (mut entries, printed) = wait_for(async {
        let (events, mut incoming) = mpsc::unbounded_channel();
        let run = Run::new(client, caches, options, record, events);
        let tasks = LocalSet::new();
        let running = tasks.run_until(run.run(images));
        let (_, entries) = tokio::join!(running, async {
            let progress = Progress::new(output == Format::Json);
            let (mut entries, mut printed): (Vec<Entry>, _) = (Vec::new(), Ok(()));
            while let Some(event) = incoming.recv().await {
                match event {
                    Event::Note(note) => progress.pause(|| output::note(format_args!("note: {note}"))),
                    Event::Done(entry) => {
                        if output == Format::Json && printed.is_ok() {
                            printed = output::data(report::json(&entry));
                        }
                        entries.push(*entry);
                        progress.show("images", entries.len(), Some(all - entries.len()));
                    }
                }
            }
            progress.end();
            (entries, printed)
        });
        entries
    })?;
    // Those that need attention are last, where a terminal shows them.
    entries.sort_by(|a, b| (a.status, &a.image).cmp(&(b.status, &b.image)));
    let printed = match output {
        Format::Table => output::styled(report::table(&entries)),
        Format::Json => printed,
    };
    output::note(report::totals(&entries, dry_run));
    let is_done = entries.iter().all(|entry| entry.status.is_done());
    let code = end(gap, u8::from(!is_done));
    output::verdict(printed, 0).map(|_| code)
}

/// Returns the exit code, and prints why images may be missing.
fn end(gap: Option<String>, code: u8) -> ExitCode {
    match gap {
        Some(gap) => {
            output::talk(format_args!("error: {gap}"));
            ExitCode::from(2)
        }
        None => ExitCode::from(code),
    }
}

fn image(target: Target) -> Option<Image> {
    let Target { image: name, upstream: written, .. } = target;
    let repository = |image: &str| Repository::of(&ImageRef::parse(image).ok()?);
    let (cached, upstream) = (repository(&name)?, written.as_deref().and_then(repository));
    Some(Image { image: written.unwrap_or_else(|| name.clone()), name, repository: cached, upstream })
}

/// Returns a line for each registry: what the requests to it cause.
fn effects(images: &[Image], caches: &[Cache]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, Product), usize> = BTreeMap::new();
    for image in images {
        let product = Cache::product_of(caches, &image.repository.to_string());
        *counts.entry((image.repository.host(), product)).or_default() += 1;
    }
    let line = |((host, product), images): ((&str, Product), usize)| {
        let steps: Vec<&str> = Model::of(product).order.value.steps.iter().map(|step| step.as_str()).collect();
        let images = format!("{} {}", HumanCount(images as u64), if images == 1 { "image" } else { "images" });
        format!("note: {host} ({}) is asked for {images}: {}", product.as_str(), steps.join(", "))
    };
    counts.into_iter().map(line).collect()
}
