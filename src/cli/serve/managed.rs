//! `--manage-certificates`: certificates that are made in the cluster, kept there and renewed there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use tokio::time::sleep;

use super::certificate::{Certificate, Pair};
use crate::certificate::clock::Clock;
use crate::cluster::api::{Api, Failure};
use crate::cluster::certificates::{Certificates, Generation, Names, Trouble};
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::probes::Distrust;

/// Between two looks at the cluster.
const POLL: Duration = Duration::from_secs(3);
/// For one request. An API server that takes longer is as good as down.
const DEADLINE: Duration = Duration::from_secs(10);
/// Somebody else, such as another replica, was faster.
const CONFLICT: u16 = 409;
/// More in a row are nobody who was faster.
const CONFLICTS: u32 = 20;
/// While a change is under way, or another replica was faster.
const SOON: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Managed certificates")]
pub(super) struct ManageArgs {
    /// Make the serving certificate and its CA, keep them in a Secret, publish the CA in the webhook configuration, and
    /// renew them
    ///
    /// Every replica does, and they agree by way of the Secret. A Secret or a caBundle that somebody deletes or
    /// overwrites is repaired. It is done by way of the Pod's service account, or of the current kubeconfig.
    #[arg(long, env = "PULLTHROUGH_MANAGE_CERTIFICATES", conflicts_with_all = ["tls_cert", "write_ca"], value_parser = clap::builder::FalseyValueParser::new())]
    pub(super) manage_certificates: bool,

    /// The Secret, in the Pod's own namespace
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_CERTIFICATE_SECRET", default_value = "pullthrough-tls")]
    certificate_secret: String,

    /// The MutatingWebhookConfiguration, whose Service's name the certificate is made for
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_WEBHOOK_CONFIGURATION", default_value = crate::export::webhook::CONFIGURATION_NAME)]
    webhook_configuration: String,

    /// How long a certificate is valid; half of that before its end it is renewed
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_CERTIFICATE_LIFETIME_SECS", default_value_t = 90 * 86_400, value_parser = lifetime())]
    certificate_lifetime_secs: u64,
}

/// A minute is for trying it out.
fn lifetime() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(60..=10 * 365 * 86_400)
}

/// What looks after the certificates of one server.
pub(super) struct Managed {
    pub(super) args: ManageArgs,
    pub(super) certificate: Arc<Certificate>,
    pub(super) clock: Arc<Clock>,
    pub(super) distrust: Distrust,
    pub(super) metrics: Arc<Metrics>,
}

impl Managed {
    /// Starts looking after the certificates, for as long as the runtime lives.
    pub(super) async fn start(self) -> anyhow::Result<()> {
        self.distrust.store(Some(Arc::new("none was made yet".to_owned())));
        let config = kube::Config::infer().await.context(
            "--manage-certificates needs to reach the API server, by way of a mounted service account token or of a \
             kubeconfig",
        )?;
        let token_file = config.auth_info.token_file.clone().map(PathBuf::from);
        let names = Names {
            namespace: config.default_namespace.clone(),
            secret: self.args.certificate_secret.clone(),
            configuration: self.args.webhook_configuration.clone(),
        };
        let api = Api::new(config, DEADLINE).await.context("--manage-certificates can't make a client")?;
        let lifetime = Duration::from_secs(self.args.certificate_lifetime_secs);
        let clock = Arc::clone(&self.clock);
        let certificates = Certificates::new(api, names, lifetime, clock, token_file);
        let metrics = Arc::clone(&self.metrics);
        let looking_after = tokio::spawn(self.run(certificates));
        tokio::spawn(async move {
            if let Err(error) = looking_after.await {
                metrics.reload(Reloaded::Certificate, false);
                tracing::error!(%error, "nobody looks after the certificates any more, by a defect; restart this Pod");
            }
        });
        Ok(())
    }

    async fn run(self, mut certificates: Certificates) {
        let mut known: Option<Trouble> = None;
        let mut conflicts = 0;
        loop {
            let mut wait = POLL;
            let trouble = match certificates.round().await {
                Ok(round) => {
                    if round.unsettled {
                        wait = SOON;
                    }
                    if let Some(generation) = round.serve {
                        self.take_over(generation);
                    }
                    round.trouble
                }
                Err(trouble) => Some(trouble),
            };
            let is_conflict = matches!(trouble, Some(Trouble::Api(Failure::Refused { code: CONFLICT, .. })));
            conflicts = if is_conflict { conflicts + 1 } else { 0 };
            match trouble {
                Some(_) if is_conflict && conflicts < CONFLICTS => wait = SOON,
                Some(trouble) => {
                    if known.as_ref() == Some(&trouble) {
                        self.metrics.out_of_order(Reloaded::Certificate);
                    } else {
                        self.metrics.reload(Reloaded::Certificate, false);
                        tracing::warn!(error = %trouble, "can't look after the certificates; trying on");
                    }
                    known = Some(trouble);
                }
                None => {
                    if known.take().is_some() {
                        self.metrics.in_order(Reloaded::Certificate);
                        tracing::info!("the certificates are looked after again");
                    }
                }
            }
            self.distrust.store(certificates.trust().err().map(Arc::new));
            sleep(wait).await;
        }
    }

    fn take_over(&self, generation: Generation) {
        let Generation { certificate, key, .. } = generation;
        match self.certificate.replace(Pair { place: "the Secret", certificate, key }) {
            Ok(()) => {
                self.metrics.reload(Reloaded::Certificate, true);
                tracing::info!("serving the certificate of the Secret");
            }
            // It was read as a pair, so this is a defect.
            Err(error) => {
                self.metrics.reload(Reloaded::Certificate, false);
                tracing::error!(%error, "can't serve the certificate of the Secret");
            }
        }
    }
}
