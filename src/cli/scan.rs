pub(super) mod cluster;
mod fail_on;
pub(super) mod output;
pub(super) mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use k8s_openapi::jiff::Timestamp;

use self::fail_on::FailOn;
use self::output::{Output, OutputOptions, ReportFormat};
use super::catalogue::CatalogueArgs;
use super::duration::DurationArg;
use super::kubeconfig::KubeconfigArgs;
use super::rules::RulesArgs;
use crate::config::fingerprint;
use crate::engine::Policy;
use crate::export::webhook::CONFIGURATION_NAME;
use crate::manifest::{Contents, Known};
use crate::scan::files::{self, FileScan};
use crate::scan::report::names::Naming;
use crate::scan::{Report, Rollout};

/// The namespace of manifests without one.
const DEFAULT_NAMESPACE: &str = "default";

/// List the images of a cluster or of manifests, by registry
///
/// Without PATH, it reads the cluster of the kubeconfig: Pods, templates of Pods, and images that nodes hold. With PATH, it
/// reads files. With rules, it shows what they do to each image, or why the image is unchanged. Nothing is changed.
///
/// Old revisions are not counted as templates: ReplicaSets and ReplicationControllers that their owner scaled to 0. Finished
/// Jobs are not counted either.
#[derive(clap::Args)]
#[command(
    after_long_help = MORE_HELP,
    mut_group("RulesArgs", |group| group.required(false)),
    mut_arg("kubeconfig", |arg| arg.conflicts_with("paths")),
    mut_arg("context", |arg| arg.conflicts_with("paths")),
    mut_arg("no_catalogue", |arg| arg.requires("paths")),
)]
pub struct Args {
    /// Files, and folders with manifests; `-` is standard input, such as the output of `helm template`.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: Option<RulesArgs>,

    /// Read only this namespace, and no nodes; repeat it for several. With PATH: the namespace of manifests without one.
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = super::parse_namespace)]
    namespaces: Vec<String>,

    /// Output format. `json` is one object a line for each image at each place. `sarif` is for code scanning, `markdown`
    /// for an issue, and `html` a self-contained page. `names` is one image a line, sorted and unique, for programs that
    /// fetch images.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: ReportFormat,

    /// With -o names: print images as the rules rewrite them. Without it, images are printed as written.
    #[arg(long)]
    rewritten: bool,

    /// The heading of a report in Markdown or HTML, such as "Production, before the migration".
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Print only the summary of the table: images by registry, and totals.
    #[arg(long)]
    summary: bool,

    /// Exit with 1 if an image is from one of these registries or paths, also if the rules rewrite it. Images that nodes only
    /// hold don't count, except the sandbox image.
    #[arg(long, value_name = "REGISTRY", value_delimiter = ',')]
    fail_on: Vec<String>,

    /// With --fail-on: allow what is not understood. This is: fields that look like images in objects of unknown kinds,
    /// templates in folders, and paths without Kubernetes objects. If there is nothing to inspect, --fail-on still fails.
    #[arg(long, requires = "fail_on")]
    allow_unknown: bool,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    /// With PATH: also read texts that are YAML or JSON, such as data of ConfigMaps and Secrets, annotations and scripts.
    /// Without it, fields that look like images in such texts are reported as not understood.
    #[arg(long, requires = "paths")]
    deep: bool,

    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// The MutatingWebhookConfiguration, whose selectors show what the webhook does not cover.
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = super::parse_object_name, conflicts_with = "paths")]
    configuration: String,

    /// Timeout of each request to the cluster, 1s to 10m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(30),
        conflicts_with = "paths",
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(600))
    )]
    timeout: DurationArg,
}

const MORE_HELP: &str = "\
Exit codes:
  0  done
  1  an image is from a registry of --fail-on
  2  wrong usage, invalid rules, or an unreadable cluster or named file; with
     --fail-on also if nothing was inspected, anything was skipped, or something
     was not understood

Examples:
  $ pullthrough scan --rules rules.yaml
  $ pullthrough scan --rules rules.yaml -n shop -o json \\
      | jq -r 'select(.reason == \"no_rule\").image'
  $ pullthrough scan --rules rules.yaml -o html > images.html
  $ pullthrough scan -o names > images.txt
  $ pullthrough scan --fail-on registry.k8s.io,docker.io deploy/
  $ helm template charts/web | pullthrough scan --fail-on registry.k8s.io -";

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        paths,
        rules,
        namespaces,
        output,
        rewritten,
        summary,
        title,
        fail_on,
        allow_unknown,
        catalogue,
        deep,
        kubeconfig,
        configuration,
        timeout,
    } = args;
    ensure!(!summary || output == ReportFormat::Table, "--summary needs the table; remove --summary or --output");
    ensure!(
        title.is_none() || output.has_title(),
        "--title needs -o markdown or -o html; the other formats have no heading"
    );
    ensure!(
        !rewritten || output == ReportFormat::Names,
        "--rewritten needs -o names; the other formats print both names"
    );
    ensure!(!rewritten || rules.is_some(), "--rewritten needs rules; add --rules FILE or --cache PREFIX");
    let fail_on = FailOn::parse(&fail_on)?;
    let subject = files::subject(&paths);
    let (policy, declared, rules, rules_hash) = match rules {
        Some(rules) => {
            let (config, content) = rules.read()?;
            let declared = config.manifests.clone();
            (Some(Policy::from(config)), declared, Some(rules.name()), Some(fingerprint(&content)))
        }
        None => (None, Vec::new(), None, None),
    };
    // Other reports of files have the same bytes for the same files.
    let is_dated = paths.is_empty() || output == ReportFormat::Html;
    let generated = is_dated.then(|| Timestamp::now().strftime("%F %H:%M UTC").to_string());
    let mut report = Report::new(subject, rules, fail_on.names(), output.places_kept());
    report.rollouts = policy.as_ref().map(Rollout::of).unwrap_or_default();
    (report.title, report.rules_hash, report.generated) = (title, rules_hash, generated);
    let options = OutputOptions {
        format: output,
        is_summary: summary,
        naming: if rewritten { Naming::Rewritten } else { Naming::AsWritten },
        allow_unknown,
        what: if paths.is_empty() { "object" } else { "file" },
        folder: files::folder(&paths).filter(|_| output.is_for_people()),
    };
    let mut output = Output::new(options, report, fail_on);
    if paths.is_empty() {
        // In a cluster, Pods have the images of custom resources. These are listed only if they are declared.
        let known = Known { declared, ..Known::default() };
        let options = crate::cluster::scan::ScanOptions {
            namespaces,
            configuration,
            policy,
            known,
            keeps_json: false,
            keeps_pull_access: false,
        };
        cluster::scan(kubeconfig, timeout.get(), options, &mut output)?;
    } else {
        let known = Known { declared, catalogue: catalogue.for_reading()?, deep, ..Known::default() };
        let namespace = match &*namespaces {
            [] => DEFAULT_NAMESPACE,
            [namespace] => namespace,
            [_, other, ..] => {
                bail!("with PATH, only one --namespace is allowed, for manifests without one; remove `{other}`")
            }
        };
        output.contents(Contents::default());
        let scan = FileScan { namespace, policy: policy.as_ref(), known: &known };
        scan.run(&paths, &mut |event| output.file_event(event))?;
    }
    output.end()
}
