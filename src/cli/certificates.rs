//! `pullthrough certificates`: what people do with managed certificates.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::kubeconfig::KubeconfigArgs;
use super::output;
use crate::cluster::api::{Api, Failure};
use crate::cluster::certificates::rotation::{Error, Rotated, Rotation};
use crate::cluster::certificates::{Names, SECRET_NAME};
use crate::export::webhook::CONFIGURATION_NAME;

/// For one answer of the API server.
const ANSWER: Duration = Duration::from_secs(10);

/// Renew or revoke managed certificates
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Rotate(RotateArgs),
}

/// Renew the managed certificate now, and with --revoke stop trusting the old one
///
/// Annotates the Secret of `serve --manage-certificates`; its replicas make the new certificate. Then waits until the new CA is
/// in caBundle, and with --revoke until the old ones are not. Admissions go on meanwhile.
///
/// Exit codes: 0 rotated; 1 not rotated in time; 2 it could not be requested.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough certificates rotate
  $ pullthrough certificates rotate --revoke --context production")]
struct RotateArgs {
    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// Revoke the CAs that are trusted now, since a key or the Secret leaked
    ///
    /// They leave caBundle within a minute: 30 s after the new certificate was made, which replicas serve by then. Without
    /// --revoke they stay for an hour.
    #[arg(long)]
    revoke: bool,

    /// The namespace of the Secret
    #[arg(short, long, value_name = "NAMESPACE", default_value = "pullthrough", value_parser = super::parse_namespace)]
    namespace: String,

    /// The Secret, as --certificate-secret of the replicas names it
    #[arg(long, value_name = "NAME", default_value = SECRET_NAME, value_parser = super::parse_object_name)]
    secret: String,

    /// The MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = super::parse_object_name)]
    configuration: String,

    /// How long to wait for the replicas, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Rotate(args) = args.what;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    let result = runtime.block_on(rotate(args));
    // A lookup of a name that never ends must not keep the process.
    runtime.shutdown_background();
    result
}

async fn rotate(args: RotateArgs) -> anyhow::Result<ExitCode> {
    let RotateArgs { kubeconfig, revoke, namespace, secret, configuration, timeout } = args;
    let api = Api::new(kubeconfig.read(ANSWER).await?, ANSWER).await?;
    let place = format!("Secret {secret} in namespace {namespace}");
    let names = Names { namespace, secret, configuration };
    let rotation = Rotation::request(&api, names, revoke).await.map_err(explained)?;
    let what = if revoke { "revocation" } else { "renewal" };
    output::talk(format_args!("{what} requested in {place}; waiting for the replicas"));
    match tokio::time::timeout(Duration::from_secs(timeout), rotation.follow(&api)).await {
        Ok(rotated) => output::verdict(output::data(text(&rotation, &rotated.map_err(explained)?)), 0),
        Err(_) => {
            output::talk(format_args!(
                "error: not rotated within {timeout} s; check with `pullthrough doctor` that replicas run with \
                 --manage-certificates, and read their logs. The request stays in the Secret"
            ));
            Ok(ExitCode::from(1))
        }
    }
}

fn explained(error: Error) -> anyhow::Error {
    let needs = match &error {
        Error::Api(Failure::Forbidden { needs, .. }) => Some(format!("this needs permission to {needs}")),
        _ => None,
    };
    let error = anyhow::Error::from(error);
    match needs {
        Some(needs) => error.context(needs),
        None => error,
    }
}

fn text(rotation: &Rotation, rotated: &Rotated) -> String {
    let Rotated { ca, still_trusted } = rotated;
    let mut text = format!("new CA        {ca}\n");
    for ca in still_trusted {
        let _ = writeln!(text, "still trusted {ca}");
    }
    for ca in rotation.before.iter().filter(|ca| !still_trusted.contains(ca)) {
        let _ = writeln!(text, "not trusted   {ca}");
    }
    text
}
