//! Whether the API server would trust a certificate, and if not, why.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pem::Pem;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::clock;

/// The certificates of a `caBundle`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(Vec<Ca>);

/// A certificate of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ca {
    der: CertificateDer<'static>,
    subject: String,
    validity: Validity,
}

impl Ca {
    /// Returns the SHA-256 of the certificate in DER, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Returns an error if the CA is expired or not yet valid at `now`.
    fn check(&self, now: SystemTime) -> Result<(), Distrust> {
        let subject = || self.subject.clone();
        self.validity.check(now).map_err(|distrust| match distrust {
            Distrust::Expired { not_after_secs } => Distrust::CaExpired { subject: subject(), not_after_secs },
            Distrust::NotYetValid { not_before_secs } => {
                Distrust::CaNotYetValid { subject: subject(), not_before_secs }
            }
            other => other,
        })
    }
}

impl TryFrom<CertificateDer<'_>> for Ca {
    type Error = String;

    fn try_from(der: CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| format!("not a certificate: {error}"))?;
        let (subject, validity) = (parsed.subject().to_string(), Validity::from(&parsed));
        Ok(Self { der: der.into_owned(), subject, validity })
    }
}

/// The validity period of a certificate, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before_secs: i64,
    pub not_after_secs: i64,
}

/// A renewal is overdue if less than this fraction of the lifetime is left: one quarter.
const EXPIRING_FRACTION: i64 = 4;
const WEEK_SECS: i64 = 7 * 24 * 60 * 60;
/// From this lifetime on, a renewal is overdue also if less than a week is left.
const LONG_LIFETIME_SECS: i64 = 28 * 24 * 60 * 60;

impl Validity {
    /// Reads the validity period of a certificate in DER.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self::from(&parsed))
    }

    pub fn contains(&self, now: SystemTime) -> bool {
        (self.not_before_secs..=self.not_after_secs).contains(&secs(now))
    }

    /// Returns an error if `now` is after or before the period.
    pub fn check(&self, now: SystemTime) -> Result<(), Distrust> {
        match secs(now) {
            now if now > self.not_after_secs => Err(Distrust::Expired { not_after_secs: self.not_after_secs }),
            now if now < self.not_before_secs => Err(Distrust::NotYetValid { not_before_secs: self.not_before_secs }),
            _ => Ok(()),
        }
    }

    /// Returns whether a renewal is overdue: less than a quarter is left, or less than a week of a long lifetime.
    pub fn is_expiring(&self, now: SystemTime) -> bool {
        let (lifetime, left) = (self.span_secs(), self.left_secs(now));
        left < lifetime / EXPIRING_FRACTION || (lifetime >= LONG_LIFETIME_SECS && left < WEEK_SECS)
    }

    /// Returns the length of the period.
    pub fn span_secs(&self) -> i64 {
        self.not_after_secs.saturating_sub(self.not_before_secs)
    }

    /// Returns the time until the end; negative after it.
    pub fn left_secs(&self, now: SystemTime) -> i64 {
        self.not_after_secs.saturating_sub(secs(now))
    }
}

impl From<&X509Certificate<'_>> for Validity {
    fn from(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { not_before_secs: validity.not_before.timestamp(), not_after_secs: validity.not_after.timestamp() }
    }
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No published CA signed it.
    #[error("no trusted CA has signed it")]
    WrongCa,
    #[error("the CA that signed it, {subject}, expired at {}", clock::text(*not_after_secs))]
    CaExpired { subject: String, not_after_secs: i64 },
    #[error("the CA that signed it, {subject}, is not valid before {}", clock::text(*not_before_secs))]
    CaNotYetValid { subject: String, not_before_secs: i64 },
    #[error("it expired at {}", clock::text(*not_after_secs))]
    Expired { not_after_secs: i64 },
    #[error("it is not valid before {}", clock::text(*not_before_secs))]
    NotYetValid { not_before_secs: i64 },
    /// The names of its subjectAltName. Clients ignore its common name.
    #[error("{}", if names.is_empty() { "it has no subjectAltName".to_owned() } else { format!("it is for {}", names.join(", ")) })]
    WrongName { names: Vec<String> },
    #[error("it is not for servers: its extended key usage lacks serverAuth")]
    NotForServers,
    /// Another error.
    #[error("{0}")]
    Unusable(String),
}

impl Distrust {
    /// Returns the fix, as the end of a sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::WrongCa => "set caBundle to the CA that signed it",
            Self::CaExpired { .. } | Self::Expired { .. } => "renew it",
            Self::NotYetValid { .. } => "it is loaded when it becomes valid",
            Self::CaNotYetValid { .. } => "synchronise the clocks, or issue another CA and certificate",
            Self::WrongName { .. } => "issue one whose subjectAltName has the webhook's name, SERVICE.NAMESPACE.svc",
            Self::NotForServers => "issue one with serverAuth",
            Self::Unusable(_) => "issue another one",
        }
    }
}

/// The validity of a trusted certificate and of its CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    pub validity: Validity,
    /// If several CAs of the bundle signed it, the one that expires last. `None` if no CA alone is enough.
    pub ca_validity: Option<Validity>,
}

impl Bundle {
    /// Reads CAs in PEM.
    ///
    /// # Errors
    ///
    /// Returns an error if the PEM is damaged or has no certificate.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let cas: Vec<_> = cas(pem).collect::<Result<_, _>>()?;
        if cas.is_empty() { Err("it has no certificate".to_owned()) } else { Ok(Self(cas)) }
    }

    /// Reads the readable CAs of a PEM, possibly none.
    pub fn readable(pem: &[u8]) -> Self {
        Self(cas(pem).filter_map(Result::ok).collect())
    }

    pub fn contains(&self, ca: &Ca) -> bool {
        self.0.contains(ca)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Ca> {
        self.0.iter()
    }

    pub fn to_pem(&self) -> String {
        self.0.iter().map(|ca| pem::encode(&Pem::new("CERTIFICATE", ca.der.as_ref()))).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns subject and end of each expired CA.
    pub fn expired(&self, now: SystemTime) -> impl Iterator<Item = (&str, i64)> {
        let expired = self.0.iter().filter(move |ca| ca.validity.left_secs(now) < 0);
        expired.map(|ca| (ca.subject.as_str(), ca.validity.not_after_secs))
    }

    /// Checks whether the API server, which expects `name`, trusts a chain at `now`.
    ///
    /// Go, and so the API server, requires CAs to be valid too. webpki does not check that.
    ///
    /// # Errors
    ///
    /// Returns why the API server does not trust it.
    pub fn trusts(
        &self,
        chain: &[CertificateDer<'static>],
        name: &ServerName<'_>,
        now: SystemTime,
    ) -> Result<Trusted, Distrust> {
        let Some(leaf) = chain.first() else {
            return Err(Distrust::Unusable("the server presented no certificate".to_owned()));
        };
        let validity = Validity::of(leaf).ok_or_else(|| Distrust::Unusable("it is not a certificate".to_owned()))?;
        let (valid, invalid): (Vec<_>, Vec<_>) = self.0.iter().partition(|ca| ca.validity.contains(now));
        match verify(&valid, chain, name, now) {
            Ok(()) => {
                let issuers = valid.iter().filter(|ca| verify(&[**ca], chain, name, now).is_ok());
                let ca_validity = issuers.map(|ca| ca.validity).max_by_key(|validity| validity.not_after_secs);
                Ok(Trusted { validity, ca_validity })
            }
            Err(CertificateError::UnknownIssuer) => {
                let issuer = invalid
                    .iter()
                    .find(|ca| !matches!(verify(&[**ca], chain, name, now), Err(CertificateError::UnknownIssuer)));
                let Some(ca) = issuer else { return Err(Distrust::WrongCa) };
                validity.check(now)?;
                Err(ca.check(now).err().unwrap_or(Distrust::WrongCa))
            }
            Err(
                error @ (CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }),
            ) => {
                validity.check(now)?;
                let mut issuers = chain.iter().skip(1).filter_map(|der| Ca::try_from(der.clone()).ok());
                let invalid = issuers.find_map(|issuer| issuer.check(now).err());
                Err(invalid.unwrap_or_else(|| Distrust::Unusable(error.to_string())))
            }
            Err(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                Err(Distrust::WrongName { names: names(leaf) })
            }
            Err(CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }) => {
                Err(Distrust::NotForServers)
            }
            Err(error) => Err(Distrust::Unusable(error.to_string())),
        }
    }
}

impl FromIterator<Ca> for Bundle {
    /// Collects CAs without duplicates.
    fn from_iter<I: IntoIterator<Item = Ca>>(cas: I) -> Self {
        let mut bundle = Self::default();
        for ca in cas {
            if !bundle.0.contains(&ca) {
                bundle.0.push(ca);
            }
        }
        bundle
    }
}

fn cas(pem: &[u8]) -> impl Iterator<Item = Result<Ca, String>> {
    CertificateDer::pem_slice_iter(pem).map(|der| Ca::try_from(der.map_err(|error| format!("damaged PEM: {error}"))?))
}

fn verify(
    cas: &[&Ca],
    chain: &[CertificateDer<'static>],
    name: &ServerName<'_>,
    now: SystemTime,
) -> Result<(), CertificateError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(cas.iter().map(|ca| ca.der.clone()));
    let Some((leaf, issuers)) = chain.split_first().filter(|_| !roots.is_empty()) else {
        return Err(CertificateError::UnknownIssuer);
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|_| CertificateError::UnknownIssuer)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(secs(now).unsigned_abs()));
    match verifier.verify_server_cert(leaf, issuers, name, &[], now) {
        Ok(_) => Ok(()),
        // A CA with the same name and another key, such as the previous one.
        Err(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => Err(CertificateError::UnknownIssuer),
        Err(rustls::Error::InvalidCertificate(error)) => Err(error),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

/// Returns the names in a certificate's subjectAltName.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;

    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => address(bytes),
        other => other.to_string(),
    });
    names.collect()
}

fn address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(v4).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(v6) => std::net::Ipv6Addr::from(v6).to_string(),
        Err(_) => format!("{bytes:02x?}"),
    }
}

/// Returns seconds since 1970.
pub fn secs(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
