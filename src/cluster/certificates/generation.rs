//! The Secret that replicas share: a serving certificate, its key and the trusted CAs.
//!
//! A generation is one CA and the one certificate that it issued. CAs of earlier generations are trusted only while a replica
//! may serve their certificates. No other CA is trusted, even if the Secret or caBundle has it.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use super::annotations;
use super::previous::{Previous, Terms};
use crate::certificate::ca::{self, BACKDATED};
use crate::certificate::trust::{Bundle, Ca, Distrust, Validity};

pub const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The content of the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The CAs that signed the serving certificate; one, if replicas issued it.
    pub own: Bundle,
    pub previous: Previous,
    /// The serving certificate, possibly with intermediate ones.
    pub chain: Vec<CertificateDer<'static>>,
    /// The chain in PEM.
    pub certificate: String,
    /// The private key in PEM.
    pub key: String,
}

impl Generation {
    /// Issues a CA and a certificate, which are valid for the lifetime of the terms.
    pub fn make(hosts: &[String], terms: &Terms, previous: Previous) -> Result<Generation, rcgen::Error> {
        let made = ca::make(hosts.to_vec(), terms.now, terms.lifetime)?;
        let own = Bundle::readable(made.ca.as_bytes());
        let chain = certificates(&made.certificate).unwrap_or_default();
        Ok(Generation { own, previous, chain, certificate: made.certificate, key: made.key })
    }

    /// Reads a Secret.
    ///
    /// # Errors
    ///
    /// Returns why a server can't serve `hosts` with it.
    pub fn from_secret(secret: &Value, hosts: &[String], now: SystemTime) -> Result<Generation, String> {
        let text = |key: &str| -> Result<String, String> {
            let encoded = secret["data"][key].as_str().ok_or_else(|| format!("it has no {key}"))?;
            let bytes = STANDARD.decode(encoded).map_err(|error| format!("its {key} is not base64: {error}"))?;
            String::from_utf8(bytes).map_err(|_| format!("its {key} is not PEM"))
        };
        let bundle = Bundle::parse(text(CA)?.as_bytes()).map_err(|error| format!("its {CA}: {error}"))?;
        let (certificate, key) = (text(CERTIFICATE)?, text(KEY)?);
        let chain = certificates(&certificate).map_err(|error| format!("its {CERTIFICATE}: {error}"))?;
        let private_key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("its {KEY}: {error}"))?;
        CertifiedKey::from_der(chain.clone(), private_key, &aws_lc_rs::default_provider())
            .map_err(|error| format!("its {CERTIFICATE} and {KEY}: {error}"))?;
        is_trusted(&chain, &bundle, hosts, now).map_err(|why| format!("its certificate: {why}"))?;
        let has_signed = |ca: &Ca| is_trusted(&chain, &Bundle::from_iter([ca.clone()]), hosts, now).is_ok();
        let (own, others): (Vec<_>, Vec<_>) = bundle.iter().cloned().partition(has_signed);
        let previous = Previous::of(secret, others.into_iter());
        Ok(Generation { own: own.into_iter().collect(), previous, chain, certificate, key })
    }

    /// Returns the trusted CAs, its own first.
    pub fn trusted(&self) -> Bundle {
        self.own.iter().chain(self.previous.bundle().iter()).cloned().collect()
    }

    /// Returns the Secret with this content. Other keys stay.
    pub fn written_to(&self, mut secret: Value) -> Value {
        let parts = [(CA, &self.trusted().to_pem()), (CERTIFICATE, &self.certificate), (KEY, &self.key)];
        for (key, text) in parts {
            secret["data"][key] = json!(STANDARD.encode(text));
        }
        annotations::set_trusted_until(&mut secret, self.previous.records());
        secret
    }

    /// Returns why a renewal is due, `None` if it is not.
    pub fn due(&self, terms: &Terms, renew: &[String]) -> Option<&'static str> {
        let certificates = || self.chain.iter().filter_map(Validity::of);
        let mut all = certificates().chain(self.own.iter().map(Ca::validity));
        if self.own.iter().any(|ca| terms.is_revoked(ca)) {
            Some("its CA is revoked")
        } else if self.own.iter().any(|ca| renew.contains(&ca.sha256())) {
            Some("a renewal was requested")
        } else if all.any(|validity| terms.is_too_long(validity)) {
            Some("it is valid for longer than configured")
        } else if certificates().any(|validity| is_half_over(validity, terms)) {
            Some("half of its lifetime is over")
        } else {
            None
        }
    }

    /// Checks whether a client that trusts `bundle` accepts the certificate for all of `hosts`.
    pub fn is_trusted_by(&self, bundle: &Bundle, hosts: &[String], now: SystemTime) -> Result<(), Distrust> {
        is_trusted(&self.chain, bundle, hosts, now)
    }
}

fn is_trusted(
    chain: &[CertificateDer<'static>],
    bundle: &Bundle,
    hosts: &[String],
    now: SystemTime,
) -> Result<(), Distrust> {
    hosts.iter().try_for_each(|host| match ServerName::try_from(host.as_str()) {
        Ok(name) => bundle.trusts(chain, &name, now).map(drop),
        Err(_) => Err(Distrust::Unusable(format!("{host} is not valid in a certificate"))),
    })
}

/// Returns whether half of its lifetime is over, or of the configured lifetime if that is shorter.
fn is_half_over(validity: Validity, terms: &Terms) -> bool {
    let (span, backdated) = (validity.span_secs(), BACKDATED.as_secs().cast_signed());
    let span = if span > backdated { span - backdated } else { span };
    let lifetime = i64::try_from(terms.lifetime.as_secs()).unwrap_or(i64::MAX);
    validity.left_secs(terms.now) < span.min(lifetime) / 2
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(90 * 86_400);
    const MINUTE: Duration = Duration::from_secs(60);

    fn hosts() -> Vec<String> {
        vec!["pullthrough.pullthrough.svc".to_owned()]
    }

    fn terms(now: SystemTime) -> Terms {
        Terms { now, lifetime: LIFETIME, revoked: Vec::new() }
    }

    fn make(now: SystemTime, previous: Previous) -> Generation {
        Generation::make(&hosts(), &terms(now), previous).unwrap()
    }

    fn after(before: &Generation, terms: &Terms) -> Generation {
        let mut previous = before.previous.clone();
        previous.limit(terms);
        previous.extend(before.own.iter(), terms);
        Generation::make(&hosts(), terms, previous).unwrap()
    }

    fn secret(generation: &Generation) -> Value {
        generation.written_to(json!({"metadata": {"name": "s"}}))
    }

    fn sha256(generation: &Generation) -> String {
        generation.own.iter().next().unwrap().sha256()
    }

    #[test]
    fn a_secret_is_read_as_written() {
        let now = SystemTime::now();
        let first = make(now, Previous::default());
        let second = after(&first, &terms(now));
        assert_eq!(second.trusted().len(), 2);
        for generation in [first, second] {
            let secret = secret(&generation);
            assert_eq!(Generation::from_secret(&secret, &hosts(), now).as_ref(), Ok(&generation));
            assert_eq!(generation.written_to(secret.clone()), secret);
        }
    }

    #[test]
    fn an_unusable_secret_is_an_error() {
        let now = SystemTime::now();
        let (generation, other) = (make(now, Previous::default()), make(now, Previous::default()));
        let of_other = |key: &str| secret(&other)["data"][key].clone();
        let table: [(&str, Value, &str); 8] = [
            ("/data", Value::Null, "it has no ca.crt"),
            ("/data/tls.key", Value::Null, "it has no tls.key"),
            ("/data/tls.crt", json!("%"), "its tls.crt is not base64"),
            ("/data/tls.crt", json!("AAAA"), "its tls.crt and tls.key"),
            ("/data/tls.key", json!("AAAA"), "its tls.key: no items found"),
            ("/data/tls.key", of_other("tls.key"), "its tls.crt and tls.key: keys may not be consistent"),
            ("/data/ca.crt", json!(""), "its ca.crt: it has no certificate"),
            ("/data/ca.crt", of_other("ca.crt"), "its certificate: no trusted CA has signed it"),
        ];
        for (place, value, expected) in table {
            let mut secret = secret(&generation);
            *secret.pointer_mut(place).unwrap() = value;
            let error = Generation::from_secret(&secret, &hosts(), now).unwrap_err();
            assert!(error.starts_with(expected), "{place}: {error}");
        }
        let secret = secret(&generation);
        let error = |hosts: &[String], now| Generation::from_secret(&secret, hosts, now).unwrap_err();
        assert!(error(&hosts(), now + 2 * LIFETIME).starts_with("its certificate: it expired at "));
        let other = "other.pullthrough.svc".to_owned();
        assert_eq!(error(&[other], now), "its certificate: it is for pullthrough.pullthrough.svc");
    }

    #[test]
    fn a_ca_of_another_client_is_not_trusted() {
        let now = SystemTime::now();
        let (generation, planted) = (make(now, Previous::default()), make(now, Previous::default()));
        let mut secret = secret(&generation);
        let both = format!("{}{}", planted.own.to_pem(), generation.own.to_pem());
        secret["data"][CA] = json!(STANDARD.encode(both));
        assert_eq!(Generation::from_secret(&secret, &hosts(), now), Ok(generation));
        // If the annotation is forged too, the CA is trusted for an hour.
        annotations::set_trusted_until(&mut secret, [(sha256(&planted), i64::MAX / 1_000_000)]);
        let mut read = Generation::from_secret(&secret, &hosts(), now).unwrap();
        read.previous.limit(&terms(now));
        let records: Vec<_> = read.previous.records().collect();
        let hour = crate::certificate::trust::secs(now) + 3600;
        assert_eq!(records, [(sha256(&planted), hour)]);
    }

    #[test]
    fn a_ca_is_trusted_as_long_as_its_certificate_may_be_served() {
        let start = SystemTime::now();
        let first = make(start, Previous::default());
        let trusted_for = |terms: &Terms| -> Duration {
            let mut next = after(&first, terms);
            let times = (0..=120).map(|minutes| terms.now + MINUTE * minutes + MINUTE / 30);
            let last = times.take_while(|&now| {
                next.previous.limit(&Terms { now, lifetime: terms.lifetime, revoked: terms.revoked.clone() });
                first.is_trusted_by(&next.trusted(), &hosts(), now).is_ok()
            });
            MINUTE * u32::try_from(last.count()).unwrap()
        };
        assert_eq!(trusted_for(&terms(start)), MINUTE * 60);
        assert_eq!(trusted_for(&Terms { revoked: vec![sha256(&first)], ..terms(start) }), MINUTE);
        assert_eq!(trusted_for(&Terms { lifetime: LIFETIME / 2, ..terms(start) }), MINUTE);
        assert_eq!(trusted_for(&terms(start + LIFETIME - 10 * MINUTE)), MINUTE * 10);

        // Revoked later.
        let mut next = after(&first, &terms(start));
        next.previous.limit(&Terms { revoked: vec![sha256(&first)], ..terms(start + MINUTE) });
        next.previous.limit(&Terms { revoked: vec![sha256(&first)], ..terms(start + 2 * MINUTE) });
        assert!(first.is_trusted_by(&next.trusted(), &hosts(), start + 2 * MINUTE).is_err());

        let mut generation = first;
        for _ in 0..10 {
            generation = after(&generation, &terms(start));
        }
        assert_eq!(generation.trusted().len(), 8, "requested again and again");
    }

    #[test]
    fn a_renewal_is_due_for_each_reason() {
        let start = SystemTime::now();
        let generation = make(start, Previous::default());
        let due = |terms: &Terms, renew: &[String]| generation.due(terms, renew);
        let half = start + LIFETIME / 2;
        assert_eq!(due(&terms(half - MINUTE), &[]), None);
        assert_eq!(due(&terms(half + MINUTE), &[]), Some("half of its lifetime is over"));
        assert_eq!(due(&Terms { lifetime: 2 * LIFETIME, ..terms(half - MINUTE) }, &[]), None);
        assert_eq!(
            due(&Terms { lifetime: LIFETIME / 2, ..terms(start) }, &[]),
            Some("it is valid for longer than configured")
        );
        assert_eq!(due(&terms(start), &[sha256(&generation)]), Some("a renewal was requested"));
        let revoked = Terms { revoked: vec![sha256(&generation)], ..terms(start) };
        assert_eq!(due(&revoked, &[]), Some("its CA is revoked"));
        let another = make(start, Previous::default());
        assert_eq!(due(&Terms { revoked: vec![sha256(&another)], ..terms(start) }, &[sha256(&another)]), None);
    }
}
