//! Whether the API server would believe a certificate, and if not, why.

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
pub struct Bundle(Vec<Authority>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    der: CertificateDer<'static>,
    subject: String,
    validity: Validity,
}

impl Authority {
    /// SHA-256 of the certificate in DER, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Returns on which side of its validity `now` is.
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

impl TryFrom<CertificateDer<'_>> for Authority {
    type Error = String;

    fn try_from(der: CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| format!("no certificate: {error}"))?;
        let (subject, validity) = (parsed.subject().to_string(), Validity::from(&parsed));
        Ok(Self { der: der.into_owned(), subject, validity })
    }
}

/// From when until when, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before_secs: i64,
    pub not_after_secs: i64,
}

/// Less is left of a certificate than it should be.
const ENDING_SHARE: i64 = 4;
const WEEK_SECS: i64 = 7 * 24 * 60 * 60;
/// From this lifetime on, a week is little.
const LONG_LIFETIME_SECS: i64 = 28 * 24 * 60 * 60;

impl Validity {
    /// Of a certificate in DER.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self::from(&parsed))
    }

    pub fn contains(&self, now: SystemTime) -> bool {
        (self.not_before_secs..=self.not_after_secs).contains(&secs(now))
    }

    /// Returns on which side of it `now` is.
    pub fn check(&self, now: SystemTime) -> Result<(), Distrust> {
        match secs(now) {
            now if now > self.not_after_secs => Err(Distrust::Expired { not_after_secs: self.not_after_secs }),
            now if now < self.not_before_secs => Err(Distrust::NotYetValid { not_before_secs: self.not_before_secs }),
            _ => Ok(()),
        }
    }

    /// Whether a renewal is overdue: less than a quarter is left, or of a long lifetime less than a week.
    pub fn is_ending(&self, now: SystemTime) -> bool {
        let (lifetime, left) = (self.span_secs(), self.left_secs(now));
        left < lifetime / ENDING_SHARE || (lifetime >= LONG_LIFETIME_SECS && left < WEEK_SECS)
    }

    /// How long from its begin to its end.
    pub fn span_secs(&self) -> i64 {
        self.not_after_secs.saturating_sub(self.not_before_secs)
    }

    /// How long until the end; negative after it.
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

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No published CA signed it.
    #[error("no trusted CA has signed it")]
    WrongCa,
    #[error("the CA that signed it, {subject}, is not valid now")]
    CaExpired { subject: String, not_after_secs: i64 },
    #[error("the CA that signed it, {subject}, is not valid before {}", clock::text(*not_before_secs))]
    CaNotYetValid { subject: String, not_before_secs: i64 },
    #[error("it expired at {}", clock::text(*not_after_secs))]
    Expired { not_after_secs: i64 },
    #[error("it is not valid before {}", clock::text(*not_before_secs))]
    NotYetValid { not_before_secs: i64 },
    /// The names it has; a common name is none, since no client goes by it.
    #[error("{}", if names.is_empty() { "it has no subjectAltName".to_owned() } else { format!("it is for {}", names.join(", ")) })]
    WrongName { names: Vec<String> },
    #[error("it is not for servers: its extended key usage lacks serverAuth")]
    NotForServers,
    /// Whatever else.
    #[error("{0}")]
    Unusable(String),
}

impl Distrust {
    /// What to do about it, as the end of a sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::WrongCa => "publish the CA that signed it in caBundle",
            Self::CaExpired { .. } | Self::Expired { .. } => "renew it",
            Self::NotYetValid { .. } => "it is loaded when it becomes valid",
            Self::CaNotYetValid { .. } => "set the clocks right, or issue another CA and certificate",
            Self::WrongName { .. } => "issue one whose subjectAltName has the webhook's name, SERVICE.NAMESPACE.svc",
            Self::NotForServers => "issue one with serverAuth",
            Self::Unusable(_) => "issue another one",
        }
    }
}

/// A certificate that is believed, and the end of the CA that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    pub validity: Validity,
    /// Of the CAs that each vouch for it alone, the one that lasts longest.
    pub ca_validity: Option<Validity>,
}

impl Bundle {
    /// # Errors
    ///
    /// What is wrong with the PEM; also where it has no certificate.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let authorities: Vec<_> = authorities(pem).collect::<Result<_, _>>()?;
        match authorities.is_empty() {
            true => Err("there is no certificate in it".to_owned()),
            false => Ok(Self(authorities)),
        }
    }

    /// What can be read of it, perhaps nothing.
    pub fn readable(pem: &[u8]) -> Self {
        Self(authorities(pem).filter_map(Result::ok).collect())
    }

    pub fn contains(&self, authority: &Authority) -> bool {
        self.0.contains(authority)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Authority> {
        self.0.iter()
    }

    pub fn to_pem(&self) -> String {
        self.0.iter().map(|authority| pem::encode(&Pem::new("CERTIFICATE", authority.der.as_ref()))).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The names and ends of CAs that have expired.
    pub fn expired(&self, now: SystemTime) -> impl Iterator<Item = (&str, i64)> {
        let expired = self.0.iter().filter(move |ca| ca.validity.left_secs(now) < 0);
        expired.map(|ca| (ca.subject.as_str(), ca.validity.not_after_secs))
    }

    /// Whether the API server, asking for `name` at `now`, believes a chain.
    ///
    /// Go, and so the API server, wants CAs to be valid at the time too; webpki does not look.
    pub fn trusts(
        &self,
        chain: &[CertificateDer<'static>],
        name: &ServerName<'_>,
        now: SystemTime,
    ) -> Result<Trusted, Distrust> {
        let Some(leaf) = chain.first() else { return Err(Distrust::Unusable("no certificate was shown".to_owned())) };
        let validity = Validity::of(leaf).ok_or_else(|| Distrust::Unusable("it can't be parsed".to_owned()))?;
        let (valid, invalid): (Vec<_>, Vec<_>) = self.0.iter().partition(|ca| ca.validity.contains(now));
        match verify(&valid, chain, name, now) {
            Ok(()) => {
                let vouching = valid.iter().filter(|ca| verify(&[**ca], chain, name, now).is_ok());
                let ca_validity = vouching.map(|ca| ca.validity).max_by_key(|validity| validity.not_after_secs);
                Ok(Trusted { validity, ca_validity })
            }
            Err(CertificateError::UnknownIssuer) => {
                let culprit = invalid
                    .iter()
                    .find(|ca| !matches!(verify(&[**ca], chain, name, now), Err(CertificateError::UnknownIssuer)));
                let Some(ca) = culprit else { return Err(Distrust::WrongCa) };
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
                let mut issuers = chain.iter().skip(1).filter_map(|der| Authority::try_from(der.clone()).ok());
                let culprit = issuers.find_map(|issuer| issuer.check(now).err());
                Err(culprit.unwrap_or_else(|| Distrust::Unusable(error.to_string())))
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

impl FromIterator<Authority> for Bundle {
    /// Takes each once.
    fn from_iter<I: IntoIterator<Item = Authority>>(authorities: I) -> Self {
        let mut bundle = Self::default();
        for authority in authorities {
            if !bundle.0.contains(&authority) {
                bundle.0.push(authority);
            }
        }
        bundle
    }
}

fn authorities(pem: &[u8]) -> impl Iterator<Item = Result<Authority, String>> {
    CertificateDer::pem_slice_iter(pem)
        .map(|der| Authority::try_from(der.map_err(|error| format!("damaged PEM: {error}"))?))
}

fn verify(
    authorities: &[&Authority],
    chain: &[CertificateDer<'static>],
    name: &ServerName<'_>,
    now: SystemTime,
) -> Result<(), CertificateError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().map(|ca| ca.der.clone()));
    let Some((leaf, issuers)) = chain.split_first().filter(|_| !roots.is_empty()) else {
        return Err(CertificateError::UnknownIssuer);
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|_| CertificateError::UnknownIssuer)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(secs(now).unsigned_abs()));
    match verifier.verify_server_cert(leaf, issuers, name, &[], now) {
        Ok(_) => Ok(()),
        // A CA of the same name with another key, such as the one before it.
        Err(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => Err(CertificateError::UnknownIssuer),
        Err(rustls::Error::InvalidCertificate(error)) => Err(error),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

/// The names that a certificate is for.
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

/// Seconds since 1970.
pub fn secs(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
