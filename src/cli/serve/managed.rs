//! `--manage-certificates`: certificates that are made in the cluster, kept there and renewed there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::certificate::{Certificate, Pair};
use crate::certificate::clock::Clock;
use crate::cli::kubeconfig::Target;
use crate::cli::parse_object_name;
use crate::cluster::api::{Api, Failure};
use crate::cluster::certificates::{CONFLICT, Certificates, Generation, Names, SECRET_NAME, Trouble};
use crate::export::webhook::CONFIGURATION_NAME;
use crate::server::metrics::{Metrics, Reloaded, Task};
use crate::server::probes::Distrust;

/// Between two looks at the cluster.
const POLL: Duration = Duration::from_secs(3);
/// For one request. An API server that takes longer is as good as down.
const DEADLINE: Duration = Duration::from_secs(10);
/// More in a row are nobody who was faster.
const CONFLICTS: u32 = 20;
/// While a change is under way, or another replica was faster.
const SOON: Duration = Duration::from_millis(500);
/// After a panic. A bug that strikes again must not fill the log.
const AFTER_PANIC: Duration = Duration::from_secs(15);

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
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_CERTIFICATE_SECRET", default_value = SECRET_NAME, value_parser = parse_object_name)]
    certificate_secret: String,

    /// The MutatingWebhookConfiguration, whose Service's name the certificate is made for
    #[arg(long, value_name = "NAME", env = "PULLTHROUGH_WEBHOOK_CONFIGURATION", default_value = CONFIGURATION_NAME, value_parser = parse_object_name)]
    webhook_configuration: String,

    /// How long a certificate is valid; half of that before its end it is renewed
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_CERTIFICATE_LIFETIME_SECS", default_value_t = 90 * 86_400, value_parser = lifetime())]
    certificate_lifetime_secs: u64,
}

/// A minute is for trying it out.
fn lifetime() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(60..=10 * 365 * 86_400)
}

/// Looks again and again, each time in a task of its own, after the time that the last look returned.
async fn supervise(metrics: Arc<Metrics>, after_panic: Duration, look: impl Fn() -> JoinHandle<Duration>) {
    loop {
        let wait = match look().await {
            Ok(wait) => {
                metrics.task_ran(Task::Certificates);
                wait
            }
            Err(error) => {
                metrics.task_panicked(Task::Certificates);
                tracing::error!(%error, "certificate manager crashed (bug); retrying");
                after_panic
            }
        };
        sleep(wait).await;
    }
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
        let target = Target::find(None, None, DEADLINE).await.context(
            "--manage-certificates needs to reach the API server, by way of a mounted service account token or of a \
             kubeconfig",
        )?;
        tracing::info!(cluster = %target, "managing certificates");
        let config = target.config;
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
        // It survives a panic, so that what was served and published is still known.
        let manager = Arc::new(Mutex::new(Manager { managed: self, certificates, known: None, conflicts: 0 }));
        let look = move || {
            let manager = Arc::clone(&manager);
            tokio::spawn(async move { manager.lock().await.look().await })
        };
        tokio::spawn(supervise(metrics, AFTER_PANIC, look));
        Ok(())
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

/// The state from one look at the cluster to the next.
struct Manager {
    managed: Managed,
    certificates: Certificates,
    known: Option<Trouble>,
    conflicts: u32,
}

impl Manager {
    /// Does what is to be done now, and returns how long to wait until the next look.
    async fn look(&mut self) -> Duration {
        let Self { managed, certificates, known, conflicts } = self;
        let mut wait = POLL;
        let trouble = match certificates.round().await {
            Ok(round) => {
                if round.unsettled {
                    wait = SOON;
                }
                if let Some(generation) = round.serve {
                    managed.take_over(generation);
                }
                round.trouble
            }
            Err(trouble) => Some(trouble),
        };
        let is_conflict = matches!(trouble, Some(Trouble::Api(Failure::Refused { code: CONFLICT, .. })));
        *conflicts = if is_conflict { *conflicts + 1 } else { 0 };
        match trouble {
            Some(_) if is_conflict && *conflicts < CONFLICTS => wait = SOON,
            Some(trouble) => {
                if known.as_ref() == Some(&trouble) {
                    managed.metrics.out_of_order(Reloaded::Certificate);
                } else {
                    managed.metrics.reload(Reloaded::Certificate, false);
                    tracing::warn!(error = %trouble, "certificate renewal failed; retrying");
                }
                *known = Some(trouble);
            }
            None => {
                if known.take().is_some() {
                    managed.metrics.in_order(Reloaded::Certificate);
                    tracing::info!("certificate renewal works again");
                }
            }
        }
        managed.distrust.store(certificates.trust().err().map(Arc::new));
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::server::ledger::{Bounds, Usage};
    use crate::server::lines::Lost;

    #[tokio::test]
    async fn a_panic_does_not_end_the_manager() {
        let metrics = Arc::new(Metrics::new(Lost::default()).unwrap());
        let looks = Arc::new(AtomicUsize::new(0));
        let look = {
            let looks = Arc::clone(&looks);
            move || {
                let count = looks.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    assert!(count != 1, "injected");
                    Duration::from_millis(1)
                })
            }
        };
        let supervised = tokio::spawn(supervise(Arc::clone(&metrics), Duration::from_millis(1), look));
        while looks.load(Ordering::Relaxed) < 4 {
            sleep(Duration::from_millis(1)).await;
        }
        supervised.abort();
        let text = metrics.text(0, Usage::default(), Bounds::default()).unwrap();
        assert!(text.contains("pullthrough_task_panics_total{task=\"certificates\"} 1"), "{text}");
        assert!(text.contains("pullthrough_task_last_run_timestamp_seconds{task=\"certificates\"} "), "{text}");
    }
}
