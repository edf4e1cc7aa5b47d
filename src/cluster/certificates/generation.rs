//! What the replicas share in a Secret: a serving certificate, its key, and the authorities to trust.
//!
//! A generation is one authority and the one certificate that it vouches for. The authorities of the generations before
//! are trusted for as long as some replica may serve their certificates: until they expire, or a few generations later.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use serde_json::{Map, Value};

use crate::certificate::authority;
use crate::certificate::trust::{Bundle, Distrust, Validity};

/// Enough for replicas that lag, and an end for an authority from elsewhere that is valid for decades.
pub const AUTHORITIES: usize = 4;

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// All of a Secret's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The authorities to trust, the newest first.
    pub trusted: Bundle,
    /// The serving certificate, perhaps with intermediate ones.
    pub chain: Vec<CertificateDer<'static>>,
    /// The chain, in PEM.
    pub certificate: String,
    /// The private key, in PEM.
    pub key: String,
}

impl Generation {
    /// Makes an authority and a certificate, and goes on trusting what of `before` is still valid.
    pub fn make(
        hosts: &[String],
        now: SystemTime,
        lifetime: Duration,
        before: &[Bundle],
    ) -> Result<Generation, rcgen::Error> {
        let made = authority::make(hosts.to_vec(), now, lifetime)?;
        let mut trusted = Bundle::readable(made.ca.as_bytes());
        for bundle in before {
            trusted.extend(bundle, now, AUTHORITIES);
        }
        let chain = certificates(&made.certificate).unwrap_or_default();
        Ok(Generation { trusted, chain, certificate: made.certificate, key: made.key })
    }

    /// Reads a Secret, or says why a server can't serve these hosts with it.
    pub fn from_secret(secret: &Value, hosts: &[String], now: SystemTime) -> Result<Generation, String> {
        let text = |key: &str| -> Result<String, String> {
            let encoded = secret["data"][key].as_str().ok_or_else(|| format!("it has no {key}"))?;
            let bytes = STANDARD.decode(encoded).map_err(|error| format!("its {key} is no base64: {error}"))?;
            String::from_utf8(bytes).map_err(|_| format!("its {key} is no PEM"))
        };
        let trusted = Bundle::parse(text(CA)?.as_bytes()).map_err(|error| format!("its {CA}: {error}"))?;
        let (certificate, key) = (text(CERTIFICATE)?, text(KEY)?);
        let chain = certificates(&certificate).map_err(|error| format!("its {CERTIFICATE}: {error}"))?;
        let private_key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("its {KEY}: {error}"))?;
        CertifiedKey::from_der(chain.clone(), private_key, &aws_lc_rs::default_provider())
            .map_err(|error| format!("its {CERTIFICATE} and {KEY}: {error}"))?;
        let generation = Generation { trusted, chain, certificate, key };
        let is_trusted = generation.is_trusted_by(&generation.trusted, hosts, now);
        is_trusted.map_err(|why| format!("its certificate: {why}"))?;
        Ok(generation)
    }

    /// Its part of a Secret's `data`.
    pub fn data(&self) -> Map<String, Value> {
        let parts = [(CA, self.trusted.to_pem()), (CERTIFICATE, self.certificate.clone()), (KEY, self.key.clone())];
        parts.map(|(key, text)| (key.to_owned(), STANDARD.encode(text).into())).into_iter().collect()
    }

    /// Whether less than half of `lifetime` is left.
    pub fn is_due(&self, now: SystemTime, lifetime: Duration) -> bool {
        let ends = self.chain.iter().filter_map(Validity::of).map(|validity| validity.left_secs(now)).min();
        u64::try_from(ends.unwrap_or_default()).unwrap_or_default() < lifetime.as_secs() / 2
    }

    /// Whether a client that trusts a bundle accepts the certificate for all of `hosts`.
    pub fn is_trusted_by(&self, bundle: &Bundle, hosts: &[String], now: SystemTime) -> Result<(), Distrust> {
        hosts.iter().try_for_each(|host| match ServerName::try_from(host.as_str()) {
            Ok(name) => bundle.trusts(&self.chain, &name, now).map(drop),
            Err(_) => Err(Distrust::Unusable(format!("no certificate can be for {host}"))),
        })
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn hosts() -> Vec<String> {
        vec!["pullthrough.pullthrough.svc".to_owned()]
    }

    fn make(now: SystemTime, before: &[Bundle]) -> Generation {
        Generation::make(&hosts(), now, LIFETIME, before).unwrap()
    }

    #[test]
    fn a_secret_gives_back_what_was_put_in() {
        let now = SystemTime::now();
        let generation = make(now, &[]);
        let secret = json!({"data": generation.data()});
        assert_eq!(Generation::from_secret(&secret, &hosts(), now), Ok(generation));
    }

    #[test]
    fn what_cannot_be_served_is_told() {
        let now = SystemTime::now();
        let (generation, other) = (make(now, &[]), make(now, &[]));
        let table: [(&str, Value, &str); 8] = [
            ("/data", Value::Null, "it has no ca.crt"),
            ("/data/tls.key", Value::Null, "it has no tls.key"),
            ("/data/tls.crt", json!("%"), "its tls.crt is no base64"),
            ("/data/tls.crt", json!("AAAA"), "its tls.crt and tls.key"),
            ("/data/tls.key", json!("AAAA"), "its tls.key: no items found"),
            ("/data/tls.key", other.data()["tls.key"].clone(), "its tls.crt and tls.key: keys may not be consistent"),
            ("/data/ca.crt", json!(""), "its ca.crt: there is no certificate in it"),
            ("/data/ca.crt", other.data()["ca.crt"].clone(), "its certificate: no trusted authority has signed it"),
        ];
        for (place, value, expected) in table {
            let mut secret = json!({"data": generation.data()});
            *secret.pointer_mut(place).unwrap() = value;
            let error = Generation::from_secret(&secret, &hosts(), now).unwrap_err();
            assert!(error.starts_with(expected), "{place}: {error}");
        }
        let secret = json!({"data": generation.data()});
        let error = |hosts: &[String], now| Generation::from_secret(&secret, hosts, now).unwrap_err();
        assert_eq!(error(&hosts(), now + 2 * LIFETIME), "its certificate: it has expired");
        let other = "other.pullthrough.svc".to_owned();
        assert_eq!(error(&[other], now), "its certificate: it is for pullthrough.pullthrough.svc");
    }

    #[test]
    fn authorities_are_trusted_while_their_certificates_may_be_served() {
        let start = SystemTime::now();
        let trusts = |by: &Generation, generation: &Generation, now| {
            generation.is_trusted_by(&by.trusted, &hosts(), now).is_ok()
        };
        let first = make(start, &[]);
        let second = make(start + LIFETIME / 2, std::slice::from_ref(&first.trusted));
        assert!(trusts(&second, &first, start + LIFETIME / 2));
        assert!(trusts(&second, &second, start + LIFETIME));
        assert!(!trusts(&first, &second, start + LIFETIME / 2));
        let third = make(start + 2 * LIFETIME, &[second.trusted]);
        assert_eq!(third.trusted.len(), 1, "the others have expired");

        let mut generation = first;
        for _ in 0..10 {
            generation = make(start, &[generation.trusted]);
        }
        assert_eq!(generation.trusted.len(), AUTHORITIES);
        assert!(trusts(&generation, &generation, start));
    }

    #[test]
    fn renewal_is_due_at_half_of_the_lifetime() {
        let start = SystemTime::now();
        let generation = make(start, &[]);
        assert!(!generation.is_due(start + LIFETIME / 2 - Duration::from_secs(2), LIFETIME));
        assert!(generation.is_due(start + LIFETIME / 2 + Duration::from_secs(2), LIFETIME));
        assert!(generation.is_due(start + 2 * LIFETIME, LIFETIME));
    }
}
