//! Managed certificates: issued here, stored in a Secret, and published in the webhook configuration.
//!
//! Every replica reconciles, and there is no leader. To reconcile, a replica reads the webhook configuration and the Secret. If
//! the Secret has no usable generation, or if a renewal is due, the replica issues a new one. It removes CAs that no replica
//! needs, and publishes the Secret's CAs in `caBundle`. It serves the Secret's certificate once its CA has been published for
//! a while. If two replicas write at the same time, the API server rejects the second by its `resourceVersion`, and the second
//! reads again.

pub mod annotations;
mod generation;
mod previous;
pub mod rotation;
mod webhook_configuration;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::annotations::{Invalid, Requests};
pub use self::generation::Generation;
use self::previous::Terms;
use self::webhook_configuration::WebhookConfiguration;
use super::WEBHOOKS;
use super::api::{Api, Failure, Target};
use crate::certificate::clock::Clock;
use crate::certificate::trust::{Bundle, Ca, Distrust};
use crate::export::webhook::WEBHOOK_NAME;

/// API servers read a changed configuration through a watch. That takes milliseconds, and longer if they are overloaded.
const SETTLE: Duration = Duration::from_secs(5);

/// The status of a write to an object that another client has changed since it was read.
pub const CONFLICT: u16 = 409;

/// The default name of the Secret.
pub const SECRET_NAME: &str = "pullthrough-tls";

/// How long a new replica waits for running replicas to write the Secret. They reconcile every 3 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// The names of the managed objects.
#[derive(Debug, Clone)]
pub struct Names {
    pub namespace: String,
    pub secret: String,
    pub configuration: String,
}

impl Names {
    fn configuration(&self) -> Target<'_> {
        Target { name: Some(&self.configuration), ..WEBHOOKS }
    }

    /// Returns the Secret, or its collection if it does not exist.
    fn secret(&self, exists: bool) -> Target<'_> {
        let name = exists.then_some(self.secret.as_str());
        Target { api: "api/v1", resource: "secrets", namespace: Some(&self.namespace), name }
    }
}

/// The state of one replica.
pub struct Certificates {
    api: Api,
    names: Names,
    lifetime: Duration,
    clock: Arc<Clock>,
    /// The file with the service account's token; `None` outside a Pod.
    token_file: Option<PathBuf>,
    /// The generation that this replica serves.
    serving: Option<Generation>,
    /// The generation that the Secret had last, which other replicas may serve.
    last: Option<Generation>,
    /// Since when this replica waits for others.
    waiting: Option<Instant>,
    /// The names that the API server expects and the CAs that it trusts, as far as this replica knows.
    client: Option<ApiServer>,
    published: Option<Published>,
}

/// The published CAs, and since when; `None` if they were published before this replica started.
struct Published {
    bundle: String,
    since: Option<Instant>,
}

/// The API server as a client of the webhook.
struct ApiServer {
    hosts: Vec<String>,
    bundle: Bundle,
}

impl ApiServer {
    fn trusts(&self, generation: &Generation, now: SystemTime) -> Result<(), Distrust> {
        generation.is_trusted_by(&self.bundle, &self.hosts, now)
    }
}

/// Why reconciling failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    #[error("the API server: {0}")]
    Api(#[from] Failure),
    #[error(
        "there is no MutatingWebhookConfiguration {0}; apply the one of the manifests or of `pullthrough export webhook`"
    )]
    NoWebhookConfiguration(String),
    #[error(
        "the MutatingWebhookConfiguration {0} has no webhook {WEBHOOK_NAME} with a Service or a URL; apply it again"
    )]
    NoHost(String),
    #[error("can't issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("can't issue a certificate for the host in the webhook configuration: {0}")]
    Unusable(Distrust),
    #[error("the Secret {secret}: {invalid}")]
    Annotation { secret: String, invalid: Invalid },
}

/// The result of reconciling.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The generation to serve from now on, if it changed.
    pub serve: Option<Generation>,
    /// Whether a change is in progress, so that the next time should be soon.
    pub unsettled: bool,
    /// What failed, although there is a certificate to serve.
    pub error: Option<ReconcileError>,
}

impl Certificates {
    /// Creates the state of a new replica. The service account of the token becomes the owner of the Secret, so that the
    /// Secret is deleted with it.
    pub fn new(
        api: Api,
        names: Names,
        lifetime: Duration,
        clock: Arc<Clock>,
        token_file: Option<PathBuf>,
    ) -> Certificates {
        Certificates {
            api,
            names,
            lifetime,
            clock,
            token_file,
            serving: None,
            last: None,
            waiting: None,
            client: None,
            published: None,
        }
    }

    /// Renews and publishes certificates as far as that is due.
    pub async fn reconcile(&mut self) -> Result<Reconciled, ReconcileError> {
        let configuration = self.webhook_configuration().await?;
        let hosts = configuration.hosts();
        if hosts.is_empty() {
            return Err(ReconcileError::NoHost(self.names.configuration.clone()));
        }
        let bundle = Bundle::readable(&configuration.bundle());
        self.client = Some(ApiServer { hosts: hosts.clone(), bundle: bundle.clone() });
        let Some((generation, renewal)) = self.generation(&bundle, &hosts).await? else {
            return Ok(Reconciled { unsettled: true, ..Reconciled::default() });
        };
        self.last = Some(generation.clone());
        let publication = self.publish(configuration, &generation).await;
        if let Err(error) = &publication
            && self.client.as_ref().is_none_or(|client| client.trusts(&generation, self.clock.now()).is_err())
        {
            return Err(error.clone());
        }
        Ok(Reconciled { error: renewal.err().or(publication.err()), ..self.serve(generation, &hosts) })
    }

    /// Checks whether the API server trusts the certificate that is served, as far as this replica knows.
    ///
    /// # Errors
    ///
    /// Returns why it does not.
    pub fn trust(&self) -> Result<(), String> {
        let serving = self.serving.as_ref().ok_or("no certificate was issued yet")?;
        let client = self.client.as_ref().ok_or("the webhook configuration is missing")?;
        client.trusts(serving, self.clock.now()).map_err(|why| why.to_string())
    }

    async fn webhook_configuration(&mut self) -> Result<WebhookConfiguration, ReconcileError> {
        let Some(found) = self.api.look_up(self.names.configuration()).await? else {
            self.client = None;
            return Err(ReconcileError::NoWebhookConfiguration(self.names.configuration.clone()));
        };
        if let Some(ahead_secs) = found.date.and_then(|date| self.clock.set(date)) {
            tracing::warn!(
                ahead_secs,
                "this machine's clock differs from the API server's; certificates use the API server's; synchronise the clocks"
            );
        }
        Ok(WebhookConfiguration::new(found.body))
    }

    /// Returns the generation to serve, a new one if that is due, and whether the Secret was written. `None`: wait for other
    /// replicas.
    async fn generation(
        &mut self,
        published: &Bundle,
        hosts: &[String],
    ) -> Result<Option<(Generation, Result<(), ReconcileError>)>, ReconcileError> {
        let now = self.clock.now();
        let secret = self.api.look_up(self.names.secret(true)).await?.map(|found| found.body);
        let stored = match &secret {
            Some(secret) => Generation::from_secret(secret, hosts, now),
            None => Err("missing".to_owned()),
        };
        if self.is_to_wait(stored.as_ref().ok(), published, hosts, now) {
            return Ok(None);
        }
        let Requests { renew, revoke, invalid } = secret.as_ref().map(Requests::of).unwrap_or_default();
        let terms = Terms { now, lifetime: self.lifetime, revoked: revoke };
        let mut previous = stored.as_ref().map(|stored| stored.previous.clone()).unwrap_or_default();
        previous.limit(&terms);
        let served = self.served(published);
        let (wanted, why) = match &stored {
            Ok(stored) => match stored.due(&terms, &renew) {
                Some(why) => {
                    previous.extend(stored.own.iter().chain(served), &terms);
                    (Generation::make(hosts, &terms, previous)?, why)
                }
                None => {
                    let served = served.filter(|ca| !stored.own.contains(ca) && !terms.is_revoked(ca));
                    previous.extend(served, &terms);
                    (Generation { previous, ..stored.clone() }, "the trusted CAs changed")
                }
            },
            Err(why) => {
                previous.extend(served, &terms);
                (Generation::make(hosts, &terms, previous)?, why.as_str())
            }
        };
        let is_written = secret.as_ref().is_some_and(|secret| wanted.written_to(secret.clone()) == *secret);
        let written = if is_written { Ok(()) } else { self.store(secret, &wanted, hosts, why).await };
        let invalid = invalid.map(|invalid| ReconcileError::Annotation { secret: self.names.secret.clone(), invalid });
        match (written, stored) {
            (Ok(()), _) => Ok(Some((wanted, invalid.map_or(Ok(()), Err)))),
            // If the renewal fails, the stored generation is still served.
            (Err(error), Ok(stored)) => Ok(Some((stored, Err(error)))),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Returns whether running replicas should write first. A replica that has just started does not know whether another
    /// replica needs the published CAs, or which client wrote them.
    fn is_to_wait(
        &mut self,
        stored: Option<&Generation>,
        published: &Bundle,
        hosts: &[String],
        now: SystemTime,
    ) -> bool {
        let is_known = stored.is_some_and(|stored| stored.is_trusted_by(published, hosts, now).is_ok());
        if self.serving.is_some() || published.is_empty() || is_known {
            return false;
        }
        self.waiting.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    /// Returns the published CAs whose certificates may be served: by this replica, or by others that have read the Secret as
    /// it was until now.
    fn served<'a>(&'a self, published: &'a Bundle) -> impl Iterator<Item = &'a Ca> {
        let generations = self.serving.iter().chain(&self.last);
        generations.flat_map(|generation| generation.own.iter()).filter(|ca| published.contains(ca))
    }

    /// Writes the generation that all replicas are to serve, unless the API server would not trust it.
    async fn store(
        &self,
        secret: Option<Value>,
        generation: &Generation,
        hosts: &[String],
        why: &str,
    ) -> Result<(), ReconcileError> {
        generation.is_trusted_by(&generation.own, hosts, self.clock.now()).map_err(ReconcileError::Unusable)?;
        match secret {
            Some(secret) => self.api.update(self.names.secret(true), &generation.written_to(secret)).await?,
            None => {
                let secret = generation.written_to(self.new_secret().await);
                self.api.create(self.names.secret(false), &PostParams::default(), &secret).await?
            }
        };
        tracing::info!(secret = self.names.secret, reason = why, "certificate and trusted CAs written to the Secret");
        Ok(())
    }

    /// Sets `caBundle` to the generation's CAs and no others.
    async fn publish(
        &mut self,
        configuration: WebhookConfiguration,
        generation: &Generation,
    ) -> Result<(), ReconcileError> {
        let trusted = generation.trusted();
        let bundle = trusted.to_pem();
        let is_current = configuration.has_bundle(&bundle);
        if !is_current {
            self.api.update(self.names.configuration(), &configuration.with_bundle(&bundle)).await?;
            tracing::info!(configuration = self.names.configuration, "trusted CAs published in caBundle");
            if let Some(client) = &mut self.client {
                client.bundle = trusted;
            }
        }
        let is_known = self.published.as_ref().is_some_and(|published| published.bundle == bundle);
        if !is_current || !is_known {
            // A bundle that was published before this replica started is old enough.
            let is_first = is_current && self.published.is_none();
            self.published = Some(Published { bundle, since: (!is_first).then(Instant::now) });
        }
        Ok(())
    }

    /// Changes to a new certificate: at once if clients would not accept the current one, else once the CA has settled.
    fn serve(&mut self, generation: Generation, hosts: &[String]) -> Reconciled {
        if let Some(serving) = &self.serving {
            if serving.chain == generation.chain && serving.key == generation.key {
                return Reconciled::default();
            }
            let settle = SETTLE.min(self.lifetime / 10);
            let since = self.published.as_ref().and_then(|published| published.since);
            let is_settled = since.is_none_or(|since| since.elapsed() >= settle);
            if !is_settled && serving.is_trusted_by(&generation.trusted(), hosts, self.clock.now()).is_ok() {
                return Reconciled { unsettled: true, ..Reconciled::default() };
            }
        }
        self.serving = Some(generation.clone());
        Reconciled { serve: Some(generation), ..Reconciled::default() }
    }

    async fn new_secret(&self) -> Value {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": self.names.secret,
                "labels": {"app.kubernetes.io/name": "pullthrough", "app.kubernetes.io/managed-by": "pullthrough"},
            },
        });
        let token = match &self.token_file {
            Some(file) => tokio::fs::read_to_string(file).await.ok(),
            None => None,
        };
        if let Some(owner) = token.and_then(|token| owner(&token, &self.names.namespace)) {
            secret["metadata"]["ownerReferences"] = json!([owner]);
        }
        secret
    }
}

/// Returns the service account of a token as an owner reference for objects in its namespace.
///
/// The token has its name and UID (`kubernetes.io` claims), so no permission to read the service account is needed.
fn owner(token: &str, namespace: &str) -> Option<Value> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let claims = &claims["kubernetes.io"];
    let account = &claims["serviceaccount"];
    let (name, uid) = (account["name"].as_str()?, account["uid"].as_str()?);
    (claims["namespace"] == namespace)
        .then(|| json!({"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": uid}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_in_the_token() {
        let claims = json!({"kubernetes.io": {"namespace": "here", "serviceaccount": {"name": "a", "uid": "u"}}});
        let token = format!("e30.{}.c2ln\n", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        let expected = json!({"apiVersion": "v1", "kind": "ServiceAccount", "name": "a", "uid": "u"});
        assert_eq!(owner(&token, "here"), Some(expected));
        assert_eq!(owner(&token, "elsewhere"), None);
        assert_eq!(owner("opaque", "here"), None);
        assert_eq!(owner("a.!.b", "here"), None);
    }
}
