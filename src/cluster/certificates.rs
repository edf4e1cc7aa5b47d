//! Certificates that look after themselves: made here, kept in a Secret, published in the webhook configuration.
//!
//! Every replica does the same, again and again, and none leads. A round reads the configuration and the Secret; makes a new
//! generation where the Secret has none that can be served or half of its lifetime is over; publishes the Secret's
//! authorities; and serves the Secret's certificate once they have been published for a while. Two that write at the same
//! time are told apart by `resourceVersion`: the second is refused, and reads again.

mod generation;
mod registration;

use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::generation::AUTHORITIES;
pub use self::generation::Generation;
use self::registration::Registration;
use super::api::{Api, Failure, Target};
use crate::certificate::clock::Clock;
use crate::certificate::trust::{Bundle, Distrust};

/// API servers learn of a changed configuration by a watch, which takes milliseconds, and longer where they are busy.
const SETTLE: Duration = Duration::from_secs(5);

/// Which objects.
#[derive(Debug, Clone)]
pub struct Names {
    pub namespace: String,
    pub secret: String,
    pub configuration: String,
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
    /// What the API server asks for and trusts, as far as this replica knows.
    asked: Option<Asked>,
    published: Option<Published>,
}

/// The authorities that are published, and since when, where this replica has seen that begin.
struct Published {
    bundle: String,
    since: Option<Instant>,
}

/// A client's side of a handshake.
struct Asked {
    hosts: Vec<String>,
    /// Of each webhook of the configuration.
    bundles: Vec<Bundle>,
}

impl Asked {
    fn trusts(&self, generation: &Generation, now: SystemTime) -> Result<(), Distrust> {
        self.bundles.iter().try_for_each(|bundle| generation.is_trusted_by(bundle, &self.hosts, now))
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
    #[error("the MutatingWebhookConfiguration {0} names no Service and no URL, so no certificate can be made for it")]
    NoHost(String),
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("no certificate can be made for what is registered: {0}")]
    Unusable(Distrust),
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
        Certificates { api, names, lifetime, clock, token_file, serving: None, asked: None, published: None }
    }

    /// Does what is to be done now.
    pub async fn round(&mut self) -> Result<Round, Trouble> {
        let registration = self.registration().await?;
        let hosts = registration.hosts();
        if hosts.is_empty() {
            return Err(Trouble::NoHost(self.names.configuration.clone()));
        }
        let bundles = registration.bundles().map(|bundle| Bundle::readable(&bundle)).collect();
        self.asked = Some(Asked { hosts: hosts.clone(), bundles });
        let (generation, renewal) = self.generation(&registration, &hosts).await?;
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
        let Some(found) = self.api.look_up(self.configuration()).await? else {
            self.asked = None;
            return Err(Trouble::NotRegistered(self.names.configuration.clone()));
        };
        if let Some(ahead_secs) = found.date.and_then(|date| self.clock.set(date)) {
            tracing::warn!(ahead_secs, "this machine's clock is not the API server's, which counts for certificates");
        }
        Ok(Registration::new(found.body))
    }

    /// The Secret's content, made anew where it has to be; and whether it could be renewed.
    async fn generation(
        &self,
        registration: &Registration,
        hosts: &[String],
    ) -> Result<(Generation, Result<(), Trouble>), Trouble> {
        let now = self.clock.now();
        let secret = self.api.look_up(self.secret(true)).await?.map(|found| found.body);
        let kept = match &secret {
            Some(secret) => Generation::from_secret(secret, hosts, now),
            None => Err("there is none".to_owned()),
        };
        let known = self.known_authorities(registration);
        match kept {
            Ok(kept) if kept.is_due(now, self.lifetime) => {
                let renewed = Generation::make(hosts, now, self.lifetime, slice::from_ref(&kept.trusted))?;
                match self.keep(secret, &renewed, hosts, "half of its lifetime is over").await {
                    Ok(()) => Ok((renewed, Ok(()))),
                    // It is good for the other half.
                    Err(trouble) => Ok((kept, Err(trouble))),
                }
            }
            // Somebody else has put it there, and some replica serves with what was there before.
            Ok(mut kept) if !self.is_known_to(&kept, hosts, now) => {
                let own = kept.trusted.len();
                for bundle in &known {
                    kept.trusted.extend(bundle, now, AUTHORITIES);
                }
                if kept.trusted.len() > own {
                    self.keep(secret, &kept, hosts, "it does not trust what is served").await?;
                }
                Ok((kept, Ok(())))
            }
            Ok(kept) => Ok((kept, Ok(()))),
            Err(why) => {
                let made = Generation::make(hosts, now, self.lifetime, &known)?;
                self.keep(secret, &made, hosts, &why).await?;
                Ok((made, Ok(())))
            }
        }
    }

    /// Writes what all replicas are to serve, unless none could.
    async fn keep(
        &self,
        secret: Option<Value>,
        generation: &Generation,
        hosts: &[String],
        why: &str,
    ) -> Result<(), Trouble> {
        generation.is_trusted_by(&generation.trusted, hosts, self.clock.now()).map_err(Trouble::Unusable)?;
        match secret {
            Some(secret) => self.api.update(self.secret(true), &with_data(secret, generation)).await?,
            None => self.api.create(self.secret(false), "", &self.new_secret(generation).await).await?,
        };
        tracing::info!(secret = self.names.secret, why, "wrote the certificate and its authorities");
        Ok(())
    }

    /// Whether the Secret's authorities vouch for what this replica serves; or where it serves nothing yet, are among those
    /// that are published, so that others may serve with it.
    fn is_known_to(&self, kept: &Generation, hosts: &[String], now: SystemTime) -> bool {
        match &self.serving {
            Some(serving) => {
                serving.is_trusted_by(&kept.trusted, hosts, now).is_ok()
                    // What has ended is not to be saved.
                    || serving.is_trusted_by(&serving.trusted, hosts, now).is_err()
            }
            None => self.asked.as_ref().is_some_and(|asked| {
                let mut bundles = asked.bundles.iter().filter(|bundle| !bundle.is_empty());
                bundles.all(|bundle| kept.is_trusted_by(bundle, hosts, now).is_ok())
            }),
        }
    }

    /// What some replica may serve with: this one, first of all, and then whoever has published.
    fn known_authorities(&self, registration: &Registration) -> Vec<Bundle> {
        let serving = self.serving.iter().map(|serving| &serving.trusted);
        let own = serving.clone().map(Bundle::first);
        let published = registration.bundles().map(|bundle| Bundle::readable(&bundle));
        own.chain(published).chain(serving.cloned()).collect()
    }

    /// Has the API server trust the generation's authorities and no others.
    async fn publish(&mut self, registration: Registration, generation: &Generation) -> Result<(), Trouble> {
        let bundle = generation.trusted.to_pem();
        let is_there = registration.bundles().all(|published| published == bundle.as_bytes());
        if !is_there {
            self.api.update(self.configuration(), &registration.with_bundle(&bundle)).await?;
            tracing::info!(configuration = self.names.configuration, "published the authorities to trust");
            for published in self.asked.iter_mut().flat_map(|asked| &mut asked.bundles) {
                published.clone_from(&generation.trusted);
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
            if !is_settled && serving.is_trusted_by(&generation.trusted, hosts, self.clock.now()).is_ok() {
                return Round { unsettled: true, ..Round::default() };
            }
        }
        self.serving = Some(generation.clone());
        Round { serve: Some(generation), ..Round::default() }
    }

    async fn new_secret(&self, generation: &Generation) -> Value {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": self.names.secret,
                "labels": {"app.kubernetes.io/name": "pullthrough", "app.kubernetes.io/managed-by": "pullthrough"},
            },
            "data": generation.data(),
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

    fn configuration(&self) -> Target<'_> {
        Target {
            api: "apis/admissionregistration.k8s.io/v1",
            resource: "mutatingwebhookconfigurations",
            namespace: None,
            name: Some(&self.names.configuration),
        }
    }

    /// The Secret, or where it is to be created.
    fn secret(&self, exists: bool) -> Target<'_> {
        let name = exists.then_some(self.names.secret.as_str());
        Target { api: "api/v1", resource: "secrets", namespace: Some(&self.names.namespace), name }
    }
}

/// Whatever else is in the Secret stays.
fn with_data(mut secret: Value, generation: &Generation) -> Value {
    let mut data = secret["data"].as_object().cloned().unwrap_or_default();
    data.extend(generation.data());
    secret["data"] = data.into();
    secret
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
