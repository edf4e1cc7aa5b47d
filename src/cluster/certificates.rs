//! Managed certificates: made here, kept in a Secret, published in the webhook configuration.
//!
//! Every replica does the same, again and again, and none leads. A round reads the configuration and the Secret; makes a new
//! generation where the Secret has none that can be served or one that is due; drops CAs that no replica needs; publishes the
//! Secret's CAs; and serves the Secret's certificate once they have been published for a while. Two that write at the same
//! time are told apart by `resourceVersion`: the second is rejected, and reads again.

pub mod annotations;
mod generation;
mod previous;
mod registration;
pub mod rotation;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::annotations::{Invalid, Orders};
pub use self::generation::Generation;
use self::previous::Terms;
use self::registration::Registration;
use super::WEBHOOKS;
use super::api::{Api, Failure, Target};
use crate::certificate::clock::Clock;
use crate::certificate::trust::{Authority, Bundle, Distrust};
use crate::export::webhook::WEBHOOK_NAME;

/// API servers learn of a changed configuration by a watch, which takes milliseconds, and longer where they are busy.
const SETTLE: Duration = Duration::from_secs(5);

/// The API server's answer to a write of an object that somebody else has written meanwhile.
pub const CONFLICT: u16 = 409;

/// The Secret, if nobody names another one.
pub const SECRET_NAME: &str = "pullthrough-tls";

/// For replicas that serve already to write what they need; they look every 3 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which objects.
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

    /// The Secret, or where it is to be created.
    fn secret(&self, exists: bool) -> Target<'_> {
        let name = exists.then_some(self.secret.as_str());
        Target { api: "api/v1", resource: "secrets", namespace: Some(&self.namespace), name }
    }
}

/// One replica's part.
pub struct Certificates {
    api: Api,
    names: Names,
    lifetime: Duration,
    clock: Arc<Clock>,
    /// Whose Pod this is, where it is one.
    token_file: Option<PathBuf>,
    /// What this replica serves.
    serving: Option<Generation>,
    /// What the Secret had at the last look, which other replicas may serve.
    last: Option<Generation>,
    /// Since when this replica waits for others.
    waiting: Option<Instant>,
    /// What the API server asks for and trusts, as far as this replica knows.
    asked: Option<Asked>,
    published: Option<Published>,
}

/// The CAs that are published, and since when, where this replica has seen that begin.
struct Published {
    bundle: String,
    since: Option<Instant>,
}

/// A client's side of a handshake.
struct Asked {
    hosts: Vec<String>,
    bundle: Bundle,
}

impl Asked {
    fn trusts(&self, generation: &Generation, now: SystemTime) -> Result<(), Distrust> {
        generation.is_trusted_by(&self.bundle, &self.hosts, now)
    }
}

/// Why a round came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the API server: {0}")]
    Api(#[from] Failure),
    #[error(
        "there is no MutatingWebhookConfiguration {0}; apply the one of the manifests, or of `pullthrough export webhook`"
    )]
    NotRegistered(String),
    #[error(
        "the MutatingWebhookConfiguration {0} has no webhook {WEBHOOK_NAME} with a Service or a URL to make a certificate for"
    )]
    NoHost(String),
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("no certificate can be made for what is registered: {0}")]
    Unusable(Distrust),
    #[error("the Secret {secret}: {invalid}")]
    Annotation { secret: String, invalid: Invalid },
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// To be served from now on.
    pub serve: Option<Generation>,
    /// Something is under way, so the next round should be soon.
    pub unsettled: bool,
    /// What could not be done, although what there is can be served.
    pub trouble: Option<Trouble>,
}

impl Certificates {
    /// The part of a new replica. The Secret will belong to the service account of the token, and go with it.
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
            asked: None,
            published: None,
        }
    }

    /// Does what is to be done now.
    pub async fn round(&mut self) -> Result<Round, Trouble> {
        let registration = self.registration().await?;
        let hosts = registration.hosts();
        if hosts.is_empty() {
            return Err(Trouble::NoHost(self.names.configuration.clone()));
        }
        let bundle = Bundle::readable(&registration.bundle());
        self.asked = Some(Asked { hosts: hosts.clone(), bundle: bundle.clone() });
        let Some((generation, renewal)) = self.generation(&bundle, &hosts).await? else {
            return Ok(Round { unsettled: true, ..Round::default() });
        };
        self.last = Some(generation.clone());
        let publication = self.publish(registration, &generation).await;
        if let Err(trouble) = &publication
            && self.asked.as_ref().is_none_or(|asked| asked.trusts(&generation, self.clock.now()).is_err())
        {
            return Err(trouble.clone());
        }
        Ok(Round { trouble: renewal.err().or(publication.err()), ..self.serve(generation, &hosts) })
    }

    /// Whether the API server accepts what is served, as far as is known; or why not.
    pub fn trust(&self) -> Result<(), String> {
        let serving = self.serving.as_ref().ok_or("there is none yet")?;
        let asked = self.asked.as_ref().ok_or("nothing is registered")?;
        asked.trusts(serving, self.clock.now()).map_err(|why| why.to_string())
    }

    async fn registration(&mut self) -> Result<Registration, Trouble> {
        let Some(found) = self.api.look_up(self.names.configuration()).await? else {
            self.asked = None;
            return Err(Trouble::NotRegistered(self.names.configuration.clone()));
        };
        if let Some(ahead_secs) = found.date.and_then(|date| self.clock.set(date)) {
            tracing::warn!(ahead_secs, "this machine's clock is not the API server's, which counts for certificates");
        }
        Ok(Registration::new(found.body))
    }

    /// The Secret's content, made anew where it has to be, and whether it could be written. `None`: wait for other replicas.
    async fn generation(
        &mut self,
        published: &Bundle,
        hosts: &[String],
    ) -> Result<Option<(Generation, Result<(), Trouble>)>, Trouble> {
        let now = self.clock.now();
        let secret = self.api.look_up(self.names.secret(true)).await?.map(|found| found.body);
        let kept = match &secret {
            Some(secret) => Generation::from_secret(secret, hosts, now),
            None => Err("there is none".to_owned()),
        };
        if self.is_to_wait(kept.as_ref().ok(), published, hosts, now) {
            return Ok(None);
        }
        let Orders { renew, revoke, invalid } = secret.as_ref().map(Orders::of).unwrap_or_default();
        let terms = Terms { now, lifetime: self.lifetime, revoked: revoke };
        let mut previous = kept.as_ref().map(|kept| kept.previous.clone()).unwrap_or_default();
        previous.limit(&terms);
        let served = self.served(published);
        let (wanted, why) = match &kept {
            Ok(kept) => match kept.due(&terms, &renew) {
                Some(why) => {
                    previous.extend(kept.own.iter().chain(served), &terms);
                    (Generation::make(hosts, &terms, previous)?, why)
                }
                None => {
                    let served = served.filter(|ca| !kept.own.contains(ca) && !terms.is_revoked(ca));
                    previous.extend(served, &terms);
                    (Generation { previous, ..kept.clone() }, "the CAs to trust changed")
                }
            },
            Err(why) => {
                previous.extend(served, &terms);
                (Generation::make(hosts, &terms, previous)?, why.as_str())
            }
        };
        let is_written = secret.as_ref().is_some_and(|secret| wanted.written_to(secret.clone()) == *secret);
        let written = if is_written { Ok(()) } else { self.keep(secret, &wanted, hosts, why).await };
        let invalid = invalid.map(|invalid| Trouble::Annotation { secret: self.names.secret.clone(), invalid });
        match (written, kept) {
            (Ok(()), _) => Ok(Some((wanted, invalid.map_or(Ok(()), Err)))),
            // What can't be renewed is served on.
            (Err(trouble), Ok(kept)) => Ok(Some((kept, Err(trouble)))),
            (Err(trouble), Err(_)) => Err(trouble),
        }
    }

    /// Whether replicas that serve already should write first: one that has just started knows nothing of the CAs that are
    /// published, neither whether some replica needs them nor who wrote them.
    fn is_to_wait(&mut self, kept: Option<&Generation>, published: &Bundle, hosts: &[String], now: SystemTime) -> bool {
        let is_known = kept.is_some_and(|kept| kept.is_trusted_by(published, hosts, now).is_ok());
        if self.serving.is_some() || published.is_empty() || is_known {
            return false;
        }
        self.waiting.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    /// Of the published CAs, those whose certificates may be served: by this replica, or by others that have read the Secret
    /// as it was until now.
    fn served<'a>(&'a self, published: &'a Bundle) -> impl Iterator<Item = &'a Authority> {
        let generations = self.serving.iter().chain(&self.last);
        generations.flat_map(|generation| generation.own.iter()).filter(|ca| published.contains(ca))
    }

    /// Writes what all replicas are to serve, unless none could.
    async fn keep(
        &self,
        secret: Option<Value>,
        generation: &Generation,
        hosts: &[String],
        why: &str,
    ) -> Result<(), Trouble> {
        generation.is_trusted_by(&generation.own, hosts, self.clock.now()).map_err(Trouble::Unusable)?;
        match secret {
            Some(secret) => self.api.update(self.names.secret(true), &generation.written_to(secret)).await?,
            None => {
                let secret = generation.written_to(self.new_secret().await);
                self.api.create(self.names.secret(false), &PostParams::default(), &secret).await?
            }
        };
        tracing::info!(secret = self.names.secret, why, "wrote the certificate and the CAs to trust");
        Ok(())
    }

    /// Has the API server trust the generation's CAs and no others.
    async fn publish(&mut self, registration: Registration, generation: &Generation) -> Result<(), Trouble> {
        let trusted = generation.trusted();
        let bundle = trusted.to_pem();
        let is_there = registration.bundle() == bundle.as_bytes();
        if !is_there {
            self.api.update(self.names.configuration(), &registration.with_bundle(&bundle)).await?;
            tracing::info!(configuration = self.names.configuration, "published the CAs to trust");
            if let Some(asked) = &mut self.asked {
                asked.bundle = trusted;
            }
        }
        let is_known = self.published.as_ref().is_some_and(|published| published.bundle == bundle);
        if !is_there || !is_known {
            // What was there before this replica came has been there for long enough.
            let is_first_look = is_there && self.published.is_none();
            self.published = Some(Published { bundle, since: (!is_first_look).then(Instant::now) });
        }
        Ok(())
    }

    /// Goes over to a new certificate, at once where the one that is served is none that a client would accept.
    fn serve(&mut self, generation: Generation, hosts: &[String]) -> Round {
        if let Some(serving) = &self.serving {
            if serving.chain == generation.chain && serving.key == generation.key {
                return Round::default();
            }
            let settle = SETTLE.min(self.lifetime / 10);
            let since = self.published.as_ref().and_then(|published| published.since);
            let is_settled = since.is_none_or(|since| since.elapsed() >= settle);
            if !is_settled && serving.is_trusted_by(&generation.trusted(), hosts, self.clock.now()).is_ok() {
                return Round { unsettled: true, ..Round::default() };
            }
        }
        self.serving = Some(generation.clone());
        Round { serve: Some(generation), ..Round::default() }
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

/// The service account that a token is of, as an owner of what is in its namespace.
///
/// Its name and UID are in the token (`kubernetes.io` claims), so no right to read the service account is needed.
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
