//! `pullthrough drill`: what would start if the upstreams vanished now.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail, ensure};

use k8s_openapi::jiff::Timestamp;

use super::duration::DurationArg;
use super::images::{Collect, Images, ImagesArgs};
use super::output;
use super::registries::RegistriesArgs;
use super::rules::RulesArgs;
use super::scan::progress::Progress;
use super::wait::wait_for;
use crate::drill::{
    Api, Collected, Drill, Drilled, Ecr, Inventories, Storage, Verdict, Warmed, Workloads, html, json, table,
};
use crate::engine::{Cache, ImageRef, Policy, Product};
use crate::products::Model;
use crate::registry::{Client, Platform, Retries};
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

    /// Ask the API of this cache what it holds, of the product `harbor` or `zot`; repeat it for several caches. Only requests are
    /// sent that the cache answers without its upstream.
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    inventory: Vec<String>,

    /// The storage of a cache of the product `distribution`: the `rootdirectory` of its filesystem driver; repeat it for several
    /// caches.
    #[arg(long, value_name = "HOST=FOLDER", value_parser = parse_storage)]
    storage: Vec<(String, PathBuf)>,

    /// Don't read the layers of --storage. A damaged layer of the right size is then `yes`.
    #[arg(long, requires = "storage")]
    trust_sizes: bool,

    /// Outputs of `aws ecr batch-get-image`, `aws ecr batch-check-layer-availability` and `aws ecr describe-images` for a repository
    /// of a cache of the product `ecr`, as JSON, one after the other in a file; repeat it for several repositories.
    #[arg(long, value_name = "HOST/REPOSITORY=FILE", value_parser = parse_ecr)]
    ecr: Vec<(String, String, PathBuf)>,

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
    registries: RegistriesArgs,
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
        inventory,
        storage,
        trust_sizes,
        ecr,
        warmed: records,
        output: format,
        platforms,
        outage,
        fail_on,
        allow_unknown,
        timeout,
        registries,
    } = args;
    let config = rules.load()?;
    let (declared, caches) = (config.manifests.clone(), config.settings.caches.clone());
    let mut inventories = open(storage, trust_sizes, ecr, &caches)?;
    if !inventory.is_empty() {
        let client = registries.client(&caches, timeout.get(), Retries::default())?;
        ask(inventory, &client, &caches, &mut inventories)?;
    }
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

/// Returns a host in canonical form.
fn parse_host(host: &str) -> Result<String, String> {
    let image = format!("{host}/x");
    let image = ImageRef::parse(&image).ok().filter(ImageRef::host_is_written);
    let registry = image.as_ref().and_then(|image| image.registry()).filter(|_| !host.contains('/'));
    registry.map(str::to_owned).ok_or_else(|| "write HOST or HOST:PORT, such as harbor.example.com".to_owned())
}

fn parse_storage(text: &str) -> Result<(String, PathBuf), String> {
    let form = || "write HOST=FOLDER, such as cache.example.com=/var/lib/registry".to_owned();
    let (host, folder) = text.split_once('=').filter(|(_, folder)| !folder.is_empty()).ok_or_else(form)?;
    Ok((parse_host(host).map_err(|_| form())?, PathBuf::from(folder)))
}

fn parse_ecr(text: &str) -> Result<(String, String, PathBuf), String> {
    let form = || "write HOST/REPOSITORY=FILE".to_owned();
    let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(form)?;
    let image = ImageRef::parse(name).ok().filter(ImageRef::host_is_written).filter(|image| image.tag().is_none());
    let (host, repository) =
        image.as_ref().and_then(|image| Some((image.registry()?, image.repository()))).ok_or_else(form)?;
    Ok((host.to_owned(), repository.to_owned(), PathBuf::from(file)))
}

/// Opens the inventories.
fn open(
    storage: Vec<(String, PathBuf)>,
    trust_sizes: bool,
    ecr: Vec<(String, String, PathBuf)>,
    caches: &[Cache],
) -> anyhow::Result<Inventories> {
    let mut inventories = Inventories::new();
    for (host, folder) in storage {
        check_product(caches, "--storage", &host, &host, Product::Distribution)?;
        let opened = Storage::open(&folder, trust_sizes).map_err(|why| anyhow!("--storage {host}: {why}"))?;
        let known = inventories.insert(host.clone(), Box::new(opened));
        ensure!(known.is_none(), "{host} has several inventories; remove all but one");
        if Model::of(Product::Distribution).offline.value.starts == Some(false) {
            output::note(format_args!(
                "note: {host} does not start while its upstream is unreachable; `yes` needs that it keeps running"
            ));
        }
    }
    let mut registries: BTreeMap<String, Ecr> = BTreeMap::new();
    for (host, repository, file) in ecr {
        let name = format!("{host}/{repository}");
        check_product(caches, "--ecr", &host, &name, Product::Ecr)?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("--ecr {name}: {} is unreadable; fix the path", file.display()))?;
        let added = registries.entry(host).or_default().add(&repository, &text);
        added.map_err(|why| anyhow!("--ecr {name}: {} is not an output of the AWS CLI: {why}", file.display()))?;
    }
    for (host, registry) in registries {
        let known = inventories.insert(host.clone(), Box::new(registry));
        ensure!(known.is_none(), "{host} has several inventories; remove all but one");
    }
    Ok(inventories)
}

/// Adds the caches whose APIs are asked.
fn ask(hosts: Vec<String>, client: &Client, caches: &[Cache], inventories: &mut Inventories) -> anyhow::Result<()> {
    for host in hosts {
        let of_host = || caches.iter().filter(|cache| cache.prefix.host() == host).map(|cache| cache.product);
        let product = of_host().find(|product| Api::is_supported(*product));
        let Some(api) = product.and_then(|product| Api::new(&host, product, client.clone())) else {
            let declared = of_host().next().unwrap_or_else(|| Cache::product_of(caches, &host));
            bail!(
                "--inventory {host}: the product of this cache is {}, whose API is not supported; set `product: harbor` or \
                 `product: zot` in `caches` of the rules file if it is one of them, or remove --inventory",
                declared.as_str()
            );
        };
        output::note(format_args!("note: {}", api.effect()));
        let known = inventories.insert(host.clone(), Box::new(api));
        ensure!(known.is_none(), "{host} has several inventories; remove all but one");
    }
    Ok(())
}

/// An inventory means nothing for a cache of another product.
fn check_product(caches: &[Cache], flag: &str, host: &str, name: &str, needed: Product) -> anyhow::Result<()> {
    let mut of_host = caches.iter().filter(|cache| cache.prefix.host() == host).map(|cache| cache.product);
    let declared = Cache::product_of(caches, name);
    if declared == needed || (name == host && of_host.any(|product| product == needed)) {
        return Ok(());
    }
    bail!(
        "{flag} {name}: the product of this cache is {}; set `product: {}` in `caches` of the rules file, or remove {flag}",
        declared.as_str(),
        needed.as_str()
    )
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
