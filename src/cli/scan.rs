mod cluster;
mod fail_on;
mod files;
mod output;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::fail_on::FailOn;
use self::output::{Format, Output};
use super::catalogue::CatalogueArgs;
use super::kubeconfig::KubeconfigArgs;
use super::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::webhook::CONFIGURATION_NAME;
use crate::manifest::Known;
use crate::scan::Report;

/// Tell what a cluster or a tree of manifests pulls, and from where.
///
/// Without PATH it looks at the cluster of the kubeconfig: at every Pod, at every template that will create Pods, and at what
/// nodes hold. With PATH it looks at files. With rules it tells what they would do to each image, and why if nothing. It
/// changes nothing.
///
/// Not counted as templates: ReplicaSets and ReplicationControllers that their owner has scaled to 0, which are old revisions,
/// and Jobs that have ended.
///
/// Exit codes: 0 done; 1 an image is from a registry of --fail-on; 2 wrong usage, invalid rules, a cluster that can't be
/// looked at, a file that was named and can't be read. With --fail-on, 2 also if there was nothing to inspect, if anything
/// could not be looked at, or if something was not understood: a template, a path without a Kubernetes object, an object of
/// a kind that is not known with fields that look like images. --allow-unknown lets the latter pass.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, mut_group("RulesArgs", |group| group.required(false)))]
pub struct Args {
    /// Files, and folders with manifests; `-` is standard input, such as the output of `helm template`.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: Option<RulesArgs>,

    /// Look at this namespace alone, and not at nodes; can be given several times. With PATH: the namespace of manifests that
    /// name none.
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = super::parse_namespace)]
    namespaces: Vec<String>,

    /// How to print: a table for people, one JSON object a line for each image at each place, SARIF for code scanning,
    /// Markdown for an issue, or a page of HTML that stands alone.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    /// Exit with 1 if an image is from one of these registries, or from a path of one, whatever the rules would do. What nodes
    /// only hold does not count, the sandbox image does.
    #[arg(long, value_name = "REGISTRY", value_delimiter = ',')]
    fail_on: Vec<String>,

    /// With --fail-on: let pass what is not understood. These are objects of kinds that are not known with fields that look
    /// like images, templates below folders, and paths without a Kubernetes object. Nothing to inspect at all still fails.
    #[arg(long, requires = "fail_on")]
    allow_unknown: bool,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    /// With PATH: also read texts in fields, such as data of ConfigMaps and Secrets, annotations and scripts, where they are
    /// YAML or JSON. Without, fields in them that look like images are reported as not understood.
    #[arg(long, requires = "paths")]
    deep: bool,

    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// The MutatingWebhookConfiguration, whose selectors tell what the webhook does not reach.
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = super::parse_object_name)]
    configuration: String,

    /// How long to wait for each answer of the cluster, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  $ pullthrough scan --rules rules.yaml
  $ pullthrough scan --rules rules.yaml -n shop -o json | jq -r 'select(.reason == \"no_rule\").image'
  $ pullthrough scan --rules rules.yaml -o html > images.html
  $ pullthrough scan --fail-on registry.k8s.io,docker.io deploy/
  $ helm template charts/web | pullthrough scan --fail-on registry.k8s.io -";

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        paths,
        rules,
        namespaces,
        output,
        fail_on,
        allow_unknown,
        catalogue,
        deep,
        kubeconfig,
        configuration,
        timeout,
    } = args;
    let fail_on = FailOn::parse(&fail_on)?;
    let subject = files::subject(&paths);
    let (policy, declared, rules) = match rules {
        Some(rules) => {
            let name = rules.name();
            let config = rules.load()?;
            let declared = config.manifests.clone();
            (Some(Policy::from(config)), declared, Some(name))
        }
        None => (None, Vec::new(), None),
    };
    let report = Report::new(subject, rules, fail_on.names(), output.places_kept());
    let mut output =
        Output::new(output, report, fail_on, allow_unknown, if paths.is_empty() { "object" } else { "file" });
    match paths.is_empty() {
        true => {
            // Pods and what Kubernetes makes of them say it all there: a custom resource is listed if it is declared.
            let known = Known { declared, ..Known::default() };
            let options = crate::cluster::scan::Options { namespaces, configuration, policy, known };
            cluster::scan(kubeconfig, Duration::from_secs(timeout), options, &mut output)?;
        }
        false => {
            let known = Known { deep, ..catalogue.for_reading(declared)? };
            files::scan(&paths, &namespaces, policy.as_ref(), &known, &mut output)?;
        }
    }
    output.end()
}
