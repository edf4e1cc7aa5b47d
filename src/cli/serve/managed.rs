//! `--manage-certificates` and its options.

use anyhow::Context;
use kube::Config;

use crate::cli::duration::DurationArg;
use crate::cli::kubeconfig::Target;
use crate::cli::parse_object_name;
use crate::cluster::certificates::SECRET_NAME;
use crate::export::webhook::CONFIGURATION_NAME;
use crate::serve::managed::{DEADLINE, ManageOptions};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Managed certificates")]
pub(super) struct ManageArgs {
    /// Manage the serving certificate and its CA
    ///
    /// They are created, renewed and stored in a Secret, and the CA is written to caBundle.
    ///
    /// All replicas do this, and share the certificate in the Secret. If the Secret or caBundle is deleted or overwritten, it is
    /// restored. This needs the Pod's service account, or the current context of a kubeconfig.
    #[arg(long, env = "PULLTHROUGH_MANAGE_CERTIFICATES", conflicts_with_all = ["tls_cert", "tls_key", "tls_name", "write_ca"], value_parser = clap::builder::FalseyValueParser::new())]
    pub(super) manage_certificates: bool,

    /// The Secret, in the namespace of the Pod
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_CERTIFICATE_SECRET", default_value = SECRET_NAME, value_parser = parse_object_name)]
    pub(super) certificate_secret: String,

    /// The MutatingWebhookConfiguration. The certificate is for the name of its Service or URL
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_WEBHOOK_CONFIGURATION", default_value = CONFIGURATION_NAME, value_parser = parse_object_name)]
    pub(super) webhook_configuration: String,

    /// How long a certificate is valid, 1m to 87600h; it is renewed at half of it
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_CERTIFICATE_LIFETIME", default_value_t = DurationArg::from_secs(90 * 86_400), value_parser = lifetime())]
    pub(super) certificate_lifetime: DurationArg,
}

/// A minute is for tests.
fn lifetime() -> impl Fn(&str) -> Result<DurationArg, String> + Clone + Send + Sync + 'static {
    DurationArg::within(DurationArg::from_secs(60)..=DurationArg::from_secs(10 * 365 * 86_400))
}

impl From<&ManageArgs> for ManageOptions {
    fn from(args: &ManageArgs) -> Self {
        let ManageArgs { manage_certificates: _, certificate_secret, webhook_configuration, certificate_lifetime } =
            args;
        Self {
            secret: certificate_secret.clone(),
            configuration: webhook_configuration.clone(),
            lifetime: certificate_lifetime.get(),
        }
    }
}

/// Finds the cluster of the Secret.
pub(super) async fn cluster() -> anyhow::Result<Config> {
    let target = Target::find(None, None, DEADLINE).await.context("--manage-certificates")?;
    tracing::info!(cluster = %target, "managing certificates");
    Ok(target.config)
}
