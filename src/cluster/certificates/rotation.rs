//! A renewal that a user requests with an annotation of the Secret. Replicas do it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::generation::CA;
use super::webhook_configuration::WebhookConfiguration;
use super::{CONFLICT, Names, annotations};
use crate::certificate::trust::{Bundle, Ca};
use crate::cluster::api::{Api, Failure};

/// The interval between two reads of the cluster.
const POLL: Duration = Duration::from_secs(1);
/// Attempts to annotate the Secret. Replicas may write it at the same time.
const ATTEMPTS: u32 = 5;

/// Why a renewal could not be requested or followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the API server: {0}")]
    Api(#[from] Failure),
    #[error(
        "there is no Secret {secret} in namespace {namespace}; set --secret and --namespace to the Secret of --certificate-secret"
    )]
    NoSecret { namespace: String, secret: String },
    #[error(
        "the Secret {0} has no certificate in ca.crt; check the logs of replicas with --manage-certificates, which repair it"
    )]
    NoCa(String),
}

/// A renewal that was requested.
#[derive(Debug)]
pub struct Rotation {
    names: Names,
    /// The SHA-256 of the CAs that the Secret had.
    pub before: Vec<String>,
    is_revocation: bool,
}

/// The result of a renewal.
#[derive(Debug)]
pub struct Rotated {
    /// The SHA-256 of the CA of the new certificate.
    pub ca: String,
    /// The SHA-256 of the CAs that are still trusted besides it.
    pub still_trusted: Vec<String>,
}

impl Rotation {
    /// Requests another certificate from the replicas. A revocation also ends the trust in all CAs that the Secret has now.
    pub async fn request(api: &Api, names: Names, is_revocation: bool) -> Result<Rotation, Error> {
        let mut attempt = 1;
        loop {
            let mut secret = read_secret(api, &names).await?;
            let before: Vec<_> = cas(&secret).iter().map(Ca::sha256).collect();
            if before.is_empty() {
                return Err(Error::NoCa(names.secret));
            }
            let annotation = if is_revocation { annotations::REVOKE } else { annotations::RENEW };
            annotations::name(&mut secret, annotation, before.iter().cloned());
            match api.update(names.secret(true), &secret).await {
                Ok(_) => return Ok(Rotation { names, before, is_revocation }),
                Err(Failure::Rejected { code: CONFLICT, .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Waits until the new CA is published, and after a revocation until no revoked one is.
    pub async fn follow(&self, api: &Api) -> Result<Rotated, Error> {
        loop {
            let bundle = cas(&read_secret(api, &self.names).await?);
            let configuration = api.look_up(self.names.configuration()).await?.map(|found| found.body);
            let published = WebhookConfiguration::new(configuration.unwrap_or_default()).bundle();
            let published = Bundle::readable(&published);
            let [ca, still_trusted @ ..] = &published.iter().map(Ca::sha256).collect::<Vec<_>>()[..] else {
                tokio::time::sleep(POLL).await;
                continue;
            };
            let is_new = published == bundle && !self.before.contains(ca);
            let is_over = !self.is_revocation || !still_trusted.iter().any(|ca| self.before.contains(ca));
            if is_new && is_over {
                return Ok(Rotated { ca: ca.clone(), still_trusted: still_trusted.to_vec() });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn read_secret(api: &Api, names: &Names) -> Result<Value, Error> {
    let found = api.look_up(names.secret(true)).await?;
    let Names { namespace, secret, .. } = names.clone();
    found.map(|found| found.body).ok_or(Error::NoSecret { namespace, secret })
}

/// Returns the CAs of a Secret, that of its certificate first.
fn cas(secret: &Value) -> Bundle {
    let encoded = secret["data"][CA].as_str().unwrap_or_default();
    Bundle::readable(&STANDARD.decode(encoded).unwrap_or_default())
}
