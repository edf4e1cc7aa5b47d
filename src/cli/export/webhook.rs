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

/// Print the MutatingWebhookConfiguration that registers this webhook
///
/// Exit codes: 0 done; 2 wrong usage, or the rules or the CA can't be read.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export webhook --rules rules.yaml --service pullthrough/pullthrough
  $ pullthrough export webhook --rules rules.yaml --url https://webhook.example.com:8443/mutate \\
      --ca-file ca.crt | kubectl apply -f -")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    #[command(flatten)]
    endpoint: EndpointArgs,

    /// The CA that signed the serving certificate (PEM). Without it `caBundle` is left out, for cert-manager to fill in.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// What the API server does with a Pod when the webhook does not answer: let it pass as it is, or refuse it.
    #[arg(long, value_name = "POLICY", default_value = "Ignore", ignore_case = true)]
    failure_policy: FailurePolicy,

    /// How long the API server waits for an answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(i32).range(1..=30))]
    timeout_seconds: i32,

    /// The namespace that pullthrough itself runs in, which must not depend on it. Default: the Service's namespace, or
    /// `pullthrough` with --url.
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    own_namespace: Option<String>,

    /// Have the API server call the webhook only for Pods with an image on a registry that a rule names.
    ///
    /// A Pod that it does not call for is not counted. And a Pod that another webhook gives such an image after the
    /// API server decided not to call is not asked about again: a sidecar injected later escapes.
    #[arg(long)]
    skip_unaffected_pods: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct EndpointArgs {
    /// Where the API server reaches the webhook, with its path: https://HOST:PORT/mutate.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    url: Option<String>,

    /// The Service of the webhook, as NAMESPACE/NAME, perhaps with :PORT.
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
        // The API server refuses a user, a query and a fragment.
        Some((host, path)) if !host.is_empty() && !path.is_empty() && !text.contains(['@', '?', '#']) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("write https://HOST:PORT{ADMISSION_PATH}")),
    }
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { rules, endpoint, ca_file, failure_policy, timeout_seconds, own_namespace, skip_unaffected_pods } = args;
    let policy = Policy::from(rules.load()?);
    let endpoint = match endpoint {
        EndpointArgs { service: Some(service), .. } => webhook::Endpoint::Service(service),
        EndpointArgs { url, .. } => webhook::Endpoint::Url(url.unwrap_or_default()),
    };
    let ca_bundle = ca_file.as_deref().map(certificates).transpose()?;
    let Export { what: configuration, notes, omissions: _ } = webhook::configuration(
        &policy,
        webhook::Options {
            endpoint,
            ca_bundle: ca_bundle.map(String::into_bytes),
            failure_policy: failure_policy.as_str(),
            timeout_seconds,
            own_namespace,
            skip_unaffected_pods,
        },
    );
    note(&notes);
    output::data(serde_saphyr::to_string(&configuration)?)
}

/// The certificates of a PEM file and nothing else: a key beside them must not be published.
pub(super) fn certificates(file: &Path) -> anyhow::Result<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read the CA file {}", file.display()))?;
    let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    let pem: String = blocks.map(|(block, _)| format!("{BEGIN}{block}{END}\n")).collect();
    anyhow::ensure!(!pem.is_empty(), "{} has no certificate in PEM ({BEGIN})", file.display());
    Ok(pem)
}
