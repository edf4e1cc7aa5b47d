//! Restricts client certificates of a CA to accepted names.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Accepts client certificates that the inner verifier accepts and that have one of the names.
#[derive(Debug)]
pub struct ClientNames {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

/// Error for a certificate without an accepted name.
#[derive(Debug, thiserror::Error)]
#[error("the client certificate is for {}; --client-name accepts {}", list(.has), list(.admitted))]
struct NotAdmitted {
    has: Vec<String>,
    admitted: Vec<String>,
}

impl ClientNames {
    pub fn new(verifier: Arc<dyn ClientCertVerifier>, names: &[String]) -> ClientNames {
        ClientNames { verifier, names: names.to_vec() }
    }
}

impl ClientCertVerifier for ClientNames {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let has = names(end_entity);
        if has.iter().any(|name| self.names.contains(name)) {
            return Ok(verified);
        }
        let error = NotAdmitted { has, admitted: self.names.clone() };
        Err(rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Returns the common names, and the DNS names, e-mail addresses and URIs of the subjectAltName.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned);
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let alternative = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    });
    common.chain(alternative).collect()
}

/// Lists names in quotes, as they come from a client.
fn list(names: &[String]) -> String {
    match names {
        [] => "no name".to_owned(),
        names => names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
    }
}
