use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use k8s_openapi::jiff::Timestamp;

use super::duration::DurationArg;
use super::images::{Asked, Images, ImagesArgs};
use super::output;
use super::registries::RegistriesArgs;
use super::rules::RulesArgs;
use super::scan::progress::Progress;
use super::wait::wait_for;
use crate::engine::Policy;
use crate::registry::{Client, Platform, Retries};
use crate::verify::report::Report;
use crate::verify::{Finding, Options, Target, Verification, Verified, effects, html, json, markdown, sarif, table};
use crate::words::count;

/// Ask caches whether they serve the rewritten images
///
/// Each image that the rules rewrite, or would rewrite if they enforced, is asked for under its rewritten name, as a node asks.
/// If a cache answers 404 or fails, the upstream is asked too, since some caches answer 404 for any failure of it. Each image that
/// is not served gets its causes and their fixes; causes that look alike from outside are all listed.
///
/// Images are those of the cluster, of PATH, or of --images. A check has effects: some caches store or import what they are asked
/// for. They are printed before the check starts.
#[derive(clap::Args)]
#[command(after_long_help = MORE_HELP)]
pub struct Args {
    #[command(flatten)]
    images: ImagesArgs,

    #[command(flatten)]
    rules: RulesArgs,

    /// Output format. `json` is one object a line for each rewritten image. `sarif` is for code scanning, `markdown` for an
    /// issue, and `html` a self-contained page.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    /// Require these platforms of each image, such as linux/arm64. Default: those of the cluster's nodes, if they are read.
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',', value_parser = Platform::parse)]
    platforms: Vec<Platform>,

    /// Compare the digest of each tag with the upstream's. Needs a request to the upstream for each tag, with HEAD, and more for
    /// tags that differ.
    #[arg(long)]
    digest_proof: bool,

    /// Don't ask upstreams. A 404 of a cache then has the status `unknown`.
    #[arg(long, conflicts_with = "digest_proof")]
    no_upstream: bool,

    /// Exit with 1 if an image has one of these statuses, or with --digest-proof one of these results.
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = finding())]
    fail_on: Vec<Finding>,

    /// With --fail-on: allow what is not understood. This is: fields that look like images in objects of unknown kinds,
    /// templates in folders, and paths without Kubernetes objects.
    #[arg(long, requires = "fail_on")]
    allow_unknown: bool,

    /// The most images that a registry is asked for at the same time, 1 to 64.
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,

    /// Timeout of each request, 1s to 10m. containerd 2.3 and later wait 30 s for the first header.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(30),
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600))
    )]
    timeout: DurationArg,

    /// Read the pull Secrets that Pods name from the cluster, and ask for each image with those of its Pods. The order is the
    /// kubelet's: Secrets of the Pod, --pull-secret, then plugins. Needs the permissions to get secrets and serviceaccounts.
    #[arg(long, help_heading = "Registries", conflicts_with_all = ["docker_config", "anonymous"])]
    read_pull_secrets: bool,

    #[command(flatten)]
    registries: RegistriesArgs,
}

const MORE_HELP: &str = "\
Exit codes:
  0  done
  1  an image has a status of --fail-on
  2  wrong usage, invalid rules, or an unreadable cluster or file; with --fail-on
     also if nothing was inspected, anything was skipped, or something was not
     understood

Examples:
  $ pullthrough verify --rules rules.yaml
  $ pullthrough verify --rules rules.yaml --platform linux/amd64,linux/arm64 deploy/
  $ pullthrough verify --rules rules.yaml --read-pull-secrets --fail-on denied
  $ pullthrough verify --rules rules.yaml --images images.txt --pull-secret secret.json
  $ helm template charts/web | pullthrough verify --rules rules.yaml --fail-on missing,denied -
  $ pullthrough verify --rules rules.yaml --digest-proof --fail-on stale,different";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Sarif,
    Markdown,
    Html,
}

/// Reads a word of `--fail-on`.
fn finding() -> impl TypedValueParser<Value = Finding> {
    let words = Finding::ALL.into_iter().filter(|finding| *finding != Finding::NotCompared);
    let parse = |word: String| {
        Finding::ALL.into_iter().find(|finding| finding.as_str() == word).ok_or("not a word of --fail-on")
    };
    PossibleValuesParser::new(words.map(Finding::as_str)).try_map(parse)
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        images,
        rules,
        output: format,
        platforms,
        digest_proof,
        no_upstream,
        fail_on,
        allow_unknown,
        concurrency,
        timeout,
        read_pull_secrets,
        registries,
    } = args;
    if let Some(word) = fail_on.iter().find(|word| word.is_of_digests() && !digest_proof) {
        anyhow::bail!("--fail-on {} needs --digest-proof; add it", word.as_str());
    }
    let config = rules.load()?;
    let (declared, caches) = (config.manifests.clone(), config.settings.caches.clone());
    let pull = registries.read_pull_secrets()?;
    let pull = (read_pull_secrets || !pull.is_empty()).then_some(pull);
    let client = registries.client_with(pull, &caches, timeout.get(), Retries::default())?;
    let policy = Policy::from(config);
    let (images, Asked { targets, others, unusable }) = if read_pull_secrets {
        images.find_with_pull_secrets(policy, declared, timeout)?.ask_with(&client)
    } else {
        images.find(policy, declared, timeout)?.ask_with(&client)
    };
    let platforms = if platforms.is_empty() { images.platforms.iter().cloned().collect() } else { platforms };
    tell_before(&targets, &caches, &platforms, no_upstream);
    let verification = Verification {
        caches,
        options: Options {
            platforms,
            proves_digests: digest_proof,
            asks_upstreams: !no_upstream,
            concurrency: usize::from(concurrency),
        },
    };
    let verified = ask(verification, targets)?;
    let (rules, date) = (rules.name(), Timestamp::now().strftime("%F %H:%M UTC").to_string());
    let report = Report {
        subject: &images.subject,
        rules: &rules,
        date: &date,
        images: &verified,
        others,
        skipped: images.skipped(),
        unknowns: images.unknowns(),
    };
    let printed = match format {
        Format::Json => output::data(verified.iter().map(|verified| json::line(verified) + "\n").collect::<String>()),
        Format::Table => output::styled(table::table(&report, output::width())),
        Format::Sarif => output::data(sarif::sarif(&report)),
        Format::Markdown => output::data(markdown::markdown(&report)),
        Format::Html => output::data(html::html(&report)),
    };
    let gap = unusable_gap(unusable).or_else(|| digest_gap(&verified, &fail_on));
    end(printed, &images, &verified, &fail_on, allow_unknown, gap)
}

/// Says what the check is about to do.
fn tell_before(
    targets: &[(Target, Client)],
    caches: &[crate::engine::Cache],
    platforms: &[Platform],
    no_upstream: bool,
) {
    for line in effects(targets.iter().map(|(target, _)| target), caches) {
        output::note(format_args!("note: {line}"));
    }
    if targets.is_empty() {
        return;
    }
    if !no_upstream {
        output::note("note: upstreams are asked with HEAD for images that a cache does not serve");
    }
    if platforms.is_empty() {
        output::note("note: platforms are not checked; set --platform");
    } else {
        let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        output::note(format_args!("note: platforms that each image must have: {}", names.join(", ")));
    }
}

fn ask(verification: Verification, targets: Vec<(Target, Client)>) -> anyhow::Result<Vec<Verified>> {
    let progress = Progress::new(false);
    let all = targets.len();
    let verified = wait_for(verification.run(targets, |done| progress.show("images", done, Some(all - done))))?;
    progress.end();
    Ok(verified?)
}

/// Returns the exit code.
fn end(
    printed: anyhow::Result<()>,
    images: &Images<()>,
    verified: &[Verified],
    fail_on: &[Finding],
    allow_unknown: bool,
    gap: Option<String>,
) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = fail_on.iter().map(|word| word.as_str()).collect();
    let failing =
        verified.iter().filter(|verified| verified.findings().any(|finding| fail_on.contains(&finding))).count();
    images.end(printed, &words, failing, allow_unknown, || gap)
}

/// Returns why a gate fails that needs all pull Secrets.
fn unusable_gap(unusable: usize) -> Option<String> {
    (unusable > 0).then(|| {
        format!(
            "pull credentials are incomplete, since {} can't be used; fix what is listed as skipped",
            count(unusable, "object")
        )
    })
}

/// Returns why a gate fails that needs all digests.
fn digest_gap(verified: &[Verified], fail_on: &[Finding]) -> Option<String> {
    let is_uncompared = |verified: &&Verified| verified.findings().any(|finding| finding == Finding::NotCompared);
    let uncompared = verified.iter().filter(is_uncompared).count();
    (uncompared > 0 && fail_on.iter().any(|word| word.is_of_digests())).then(|| {
        format!("the digests of {} were not compared; fix what is listed as not compared", count(uncompared, "image"))
    })
}
