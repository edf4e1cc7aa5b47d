//! Manages certificates in the cluster: stores, publishes and renews them there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Config;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::certificate::{Certificate, Pair};
use crate::certificate::clock::Clock;
use crate::cluster::api::{Api, Failure};
use crate::cluster::certificates::{CONFLICT, Certificates, Generation, Names, ReconcileError};
use crate::server::metrics::{Metrics, Reloaded, Task};
use crate::server::probes::SharedDistrust;

/// Interval of looks at the cluster.
const POLL: Duration = Duration::from_secs(3);
/// Timeout of one request. A slower API server counts as down.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// More conflicts in a row are a fault, not another replica that was faster.
const CONFLICTS: u32 = 20;
/// Interval of looks during a change, or after another replica was faster.
const SOON: Duration = Duration::from_millis(500);
/// Delay after a panic. A repeated panic must not flood the log.
const AFTER_PANIC: Duration = Duration::from_secs(15);

/// The objects that hold and publish the certificates, and the certificates' lifetime.
#[derive(Debug, Clone)]
pub struct ManageOptions {
    /// The Secret, in the Pod's own namespace.
    pub secret: String,
    /// The MutatingWebhookConfiguration. Its Service's name is the certificate's.
    pub configuration: String,
    pub lifetime: Duration,
}

/// Repeats looks, each in its own task, after the delay that the last one returned.
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

/// Manages the certificates of one server.
pub(super) struct Managed {
    pub(super) options: ManageOptions,
    pub(super) certificate: Arc<Certificate>,
    pub(super) clock: Arc<Clock>,
    pub(super) distrust: SharedDistrust,
    pub(super) metrics: Arc<Metrics>,
}

impl Managed {
    /// Starts managing the certificates in the cluster of `config`, until the runtime ends.
    pub(super) async fn start(self, config: Config) -> anyhow::Result<()> {
        self.distrust.store(Some(Arc::new("not generated yet".to_owned())));
        let token_file = config.auth_info.token_file.clone().map(PathBuf::from);
        let names = Names {
            namespace: config.default_namespace.clone(),
            secret: self.options.secret.clone(),
            configuration: self.options.configuration.clone(),
        };
        let api = Api::new(config, DEADLINE).await.context("--manage-certificates can't create a Kubernetes client")?;
        let clock = Arc::clone(&self.clock);
        let certificates = Certificates::new(api, names, self.options.lifetime, clock, token_file);
        let metrics = Arc::clone(&self.metrics);
        // It outlives a panic, so that the served and published certificates are still known.
        let manager = Arc::new(Mutex::new(Manager { managed: self, certificates, known: None, conflicts: 0 }));
        let look = move || {
            let manager = Arc::clone(&manager);
            tokio::spawn(async move { manager.lock().await.look().await })
        };
        tokio::spawn(supervise(metrics, AFTER_PANIC, look));
        Ok(())
    }

    fn load(&self, generation: Generation) {
        let Generation { certificate, key, .. } = generation;
        match self.certificate.replace(Pair { place: "the Secret", certificate, key }) {
            Ok(()) => {
                self.metrics.reload(Reloaded::Certificate, true);
                tracing::info!("loaded the certificate of the Secret");
            }
            // It was validated before, so this is a bug.
            Err(error) => {
                self.metrics.reload(Reloaded::Certificate, false);
                tracing::error!(%error, "can't load the certificate of the Secret (bug); the last one stays loaded; please report it");
            }
        }
    }
}

/// The state between looks at the cluster.
struct Manager {
    managed: Managed,
    certificates: Certificates,
    known: Option<ReconcileError>,
    conflicts: u32,
}

impl Manager {
    /// Looks at the cluster once, acts on it, and returns the delay until the next look.
    async fn look(&mut self) -> Duration {
        let Self { managed, certificates, known, conflicts } = self;
        let mut wait = POLL;
        let trouble = match certificates.reconcile().await {
            Ok(round) => {
                if round.unsettled {
                    wait = SOON;
                }
                if let Some(generation) = round.serve {
                    managed.load(generation);
                }
                round.error
            }
            Err(trouble) => Some(trouble),
        };
        let is_conflict = matches!(trouble, Some(ReconcileError::Api(Failure::Rejected { code: CONFLICT, .. })));
        *conflicts = if is_conflict { *conflicts + 1 } else { 0 };
        match trouble {
            Some(_) if is_conflict && *conflicts < CONFLICTS => wait = SOON,
            Some(trouble) => {
                if known.as_ref() == Some(&trouble) {
                    managed.metrics.files_still_invalid(Reloaded::Certificate);
                } else {
                    managed.metrics.reload(Reloaded::Certificate, false);
                    tracing::warn!(error = %trouble, "certificate renewal failed; retrying");
                }
                *known = Some(trouble);
            }
            None => {
                if known.take().is_some() {
                    managed.metrics.files_match(Reloaded::Certificate);
                    tracing::info!("certificate renewal succeeded again");
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
    use crate::server::metrics::RecreateLoops;

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
        let text = metrics.text(0, RecreateLoops::default(), Usage::default(), Bounds::default()).unwrap();
        assert!(text.contains("pullthrough_task_panics_total{task=\"certificates\"} 1"), "{text}");
        assert!(text.contains("pullthrough_task_last_run_timestamp_seconds{task=\"certificates\"} "), "{text}");
    }
}
