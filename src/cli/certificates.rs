//! `pullthrough certificates`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::duration::DurationArg;
use super::kubeconfig::KubeconfigArgs;
use super::output;
use super::wait::wait_for;
use crate::cluster::api::{Api, Failure};
use crate::cluster::certificates::rotation::{Error, Rotated, Rotation};
use crate::cluster::certificates::{Names, SECRET_NAME};
use crate::export::webhook::CONFIGURATION_NAME;

/// The timeout of one request to the API server.
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

/// Renew the managed certificate now; with --revoke, stop trusting the old CA
///
/// Annotates the Secret of `serve --manage-certificates`, and the replicas create the new certificate. The command waits until
/// caBundle has the new CA; with --revoke, until it no longer has the old ones. Admissions continue meanwhile.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  rotated
  1  not rotated in time
  2  wrong usage, or the request failed

Examples:
  $ pullthrough certificates rotate
  $ pullthrough certificates rotate --revoke --context production")]
struct RotateArgs {
    #[command(flatten)]
    kubeconfig: KubeconfigArgs,

    /// Revoke the CAs that are trusted now. Use it after a key or the Secret was disclosed
    ///
    /// They are removed from caBundle within a minute: 30s after the new certificate was created, when all replicas serve it.
    /// Without --revoke, they are removed after an hour.
    #[arg(long)]
    revoke: bool,

    /// The namespace of the Secret
    #[arg(short, long, value_name = "NAMESPACE", default_value = "pullthrough", value_parser = super::parse_namespace)]
    namespace: String,

    /// The Secret: the value of the replicas' --certificate-secret
    #[arg(long, value_name = "NAME", default_value = SECRET_NAME, value_parser = super::parse_object_name)]
    secret: String,

    /// The MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = CONFIGURATION_NAME, value_parser = super::parse_object_name)]
    configuration: String,

    /// How long to wait for the replicas, 1s to 1h
    #[arg(
        long,
        value_name = "DURATION",
        default_value_t = DurationArg::from_secs(120),
        value_parser = DurationArg::within(DurationArg::from_secs(1)..=DurationArg::from_secs(3600))
    )]
    timeout: DurationArg,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Rotate(args) = args.what;
    wait_for(rotate(args))?
}

async fn rotate(args: RotateArgs) -> anyhow::Result<ExitCode> {
    let RotateArgs { kubeconfig, revoke, namespace, secret, configuration, timeout } = args;
    let api = Api::new(kubeconfig.read(ANSWER).await?, ANSWER).await?;
    let place = format!("Secret {secret} in namespace {namespace}");
    let names = Names { namespace, secret, configuration };
    let rotation = Rotation::request(&api, names, revoke).await.map_err(explained)?;
    let what = if revoke { "revocation" } else { "renewal" };
    output::note(format_args!("{what} requested in {place}; waiting for the replicas"));
    match tokio::time::timeout(timeout.get(), rotation.follow(&api)).await {
        Ok(rotated) => output::verdict(output::data(text(&rotation, &rotated.map_err(explained)?)), 0),
        Err(_) => {
            output::talk(format_args!(
                "error: not rotated within {timeout}; run `pullthrough doctor`, check that replicas run with \
                 --manage-certificates, and read their logs. The request stays in the Secret"
            ));
            Ok(ExitCode::from(1))
        }
    }
}

fn explained(error: Error) -> anyhow::Error {
    let needs = match &error {
        Error::Api(Failure::Forbidden { needs, .. }) => Some(format!("no permission to {needs}; grant it")),
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
