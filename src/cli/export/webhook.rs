use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::note;
use crate::ADMISSION_PATH;
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace};
use crate::config::is_dns_label;
use crate::engine::Policy;
use crate::export::{Export, webhook};

/// Print the MutatingWebhookConfiguration
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  2  wrong usage, or unreadable rules or CA

Examples:
  $ pullthrough export webhook --rules rules.yaml \\
      --service pullthrough/pullthrough
  $ pullthrough export webhook --rules rules.yaml \\
      --url https://webhook.example.com:8443/mutate --ca-file ca.crt \\
      | kubectl apply -f -")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    #[command(flatten)]
    endpoint: EndpointArgs,

    /// The CA of the serving certificate (PEM). Without it, `caBundle` is not set, for cert-manager or --manage-certificates.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// What the API server does with a Pod while the webhook is unavailable: admit it unchanged (Ignore), or deny it (Fail).
    #[arg(long, value_name = "POLICY", default_value = "Ignore", ignore_case = true)]
    failure_policy: FailurePolicy,

    /// The field `timeoutSeconds`: how long the API server waits for a response, in whole seconds, 1 to 30.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(i32).range(1..=30))]
    timeout_seconds: i32,

    /// The namespace of pullthrough, whose Pods must not depend on the webhook. Default: the namespace of the Service, or
    /// `pullthrough` with --url.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    own_namespace: Option<String>,

    /// Call the webhook only for Pods with an image of a registry that a rule names
    ///
    /// Metrics don't count other Pods. The API server does not call the webhook again for such a Pod. A sidecar that
    /// another webhook injects later is then not covered.
    #[arg(long)]
    skip_unaffected_pods: bool,

    /// Call the webhook for workloads too, to warn users of `kubectl apply` about images that the rules rewrite
    ///
    /// For Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, PodTemplates, Jobs and CronJobs. A warning
    /// names the field, the image and the name to write. Workloads are neither changed nor denied. Service accounts and
    /// `system:` users get no warnings.
    #[arg(long)]
    warn_templates: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct EndpointArgs {
    /// The URL of the webhook for the API server, with its path: https://HOST:PORT/mutate.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    url: Option<String>,

    /// The Service of the webhook, as NAMESPACE/NAME or NAMESPACE/NAME:PORT.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_service)]
    service: Option<webhook::Service>,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(super) enum FailurePolicy {
    Ignore,
    Fail,
}

impl FailurePolicy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Fail => "Fail",
        }
    }
}

fn parse_service(text: &str) -> Result<webhook::Service, String> {
    let wrong = || "write NAMESPACE/NAME or NAMESPACE/NAME:PORT".to_owned();
    let (namespace, rest) = text.split_once('/').ok_or_else(wrong)?;
    let (name, port) = match rest.split_once(':') {
        Some((name, port)) => (name, port.parse::<NonZero<u16>>().map_err(|_| wrong())?.get()),
        None => (rest, 443),
    };
    if !is_dns_label(namespace) || !is_dns_label(name) {
        return Err(wrong());
    }
    Ok(webhook::Service { namespace: namespace.to_owned(), name: name.to_owned(), port })
}

fn parse_url(text: &str) -> Result<String, String> {
    let parts = text.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
    match parts {
        // The API server rejects a user, a query and a fragment.
        Some((host, path)) if !host.is_empty() && !path.is_empty() && !text.contains(['@', '?', '#']) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("write https://HOST:PORT{ADMISSION_PATH}")),
    }
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        rules,
        endpoint,
        ca_file,
        failure_policy,
        timeout_seconds,
        own_namespace,
        skip_unaffected_pods,
        warn_templates,
    } = args;
    let policy = Policy::from(rules.load()?);
    let endpoint = match endpoint {
        EndpointArgs { service: Some(service), .. } => webhook::Endpoint::Service(service),
        EndpointArgs { url, .. } => webhook::Endpoint::Url(url.unwrap_or_default()),
    };
    let (is_url, has_ca) = (matches!(endpoint, webhook::Endpoint::Url(_)), ca_file.is_some());
    let ca_bundle = ca_file.as_deref().map(certificates).transpose()?;
    let Export { what: configuration, notes, omissions: _ } = webhook::configuration(
        &policy,
        webhook::WebhookOptions {
            endpoint,
            ca_bundle: ca_bundle.map(String::into_bytes),
            failure_policy: failure_policy.as_str(),
            timeout_seconds,
            own_namespace,
            skip_unaffected_pods,
            warn_templates,
        },
    );
    note(&notes);
    if is_url && !has_ca {
        output::note(
            "note: caBundle is not set, so the API server trusts only CAs of its own system; unless one of them signed the \
             serving certificate, set --ca-file",
        );
    }
    output::data(serde_saphyr::to_string(&configuration)?)
}

/// Returns the certificates of a PEM file only. A key in the file must not be published.
pub(super) fn certificates(file: &Path) -> anyhow::Result<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read the CA file {}", file.display()))?;
    let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    let pem: String = blocks.map(|(block, _)| format!("{BEGIN}{block}{END}\n")).collect();
    anyhow::ensure!(!pem.is_empty(), "{} has no certificate in PEM ({BEGIN}); name another file", file.display());
    Ok(pem)
}
