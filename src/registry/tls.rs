//! TLS with a registry, and why it failed.

use std::io;
use std::sync::Arc;

use http::Uri;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::answer::TlsFault;
use super::settings::{ClientCertificate, HostSettings, InvalidSettings};
use super::stream::Stream;

/// The configurations for a registry, and for its token server and the targets of its redirects.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) registry: TlsConnector,
    pub(super) others: TlsConnector,
}

impl Tls {
    pub(super) fn new(machine: &RootCertStore, host: &str, settings: &HostSettings) -> Result<Self, InvalidSettings> {
        let mut roots = machine.clone();
        if let Some(pem) = &settings.ca_pem {
            add(&mut roots, pem).map_err(|reason| InvalidSettings::Ca { host: host.to_owned(), reason })?;
        }
        let others = config(&roots, None, host)?;
        let registry = match &settings.client_certificate {
            Some(certificate) => config(&roots, Some(certificate), host)?,
            None => others.clone(),
        };
        Ok(Self { registry: registry.into(), others: others.into() })
    }
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        count += 1;
    }
    if count == 0 { Err("it has no certificate".to_owned()) } else { Ok(()) }
}

fn config(
    roots: &RootCertStore,
    certificate: Option<&ClientCertificate>,
    host: &str,
) -> Result<Arc<ClientConfig>, InvalidSettings> {
    let invalid = |reason: String| InvalidSettings::ClientCertificate { host: host.to_owned(), reason };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(roots.clone());
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain_pem, key_pem }) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem)
                .collect::<Result<_, _>>()
                .map_err(|error| invalid(error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| invalid("its key is not PEM".to_owned()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| invalid(error.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the certificates that this machine trusts, possibly none.
pub(super) fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Does the handshake. The caller sets a deadline.
pub(super) async fn handshake(connector: &TlsConnector, url: &Uri, stream: Stream) -> Result<Stream, TlsFault> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|error| TlsFault::Other(error.to_string()))?;
    match connector.connect(name, stream).into_fallible().await {
        Ok(stream) => Ok(Stream::new(stream)),
        Err((_, stream)) if stream.is_http() => Err(TlsFault::PlainHttp),
        Err((error, _)) if is_closed(&error) => Err(TlsFault::Closed),
        Err((error, _)) => Err(find(&error).unwrap_or_else(|| TlsFault::Other(error.to_string()))),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// Returns the fault of TLS among an error's causes.
pub(super) fn find(error: &(dyn std::error::Error + 'static)) -> Option<TlsFault> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // The source of an `io::Error` is that of the error in it.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.map_or(error, |inner| inner as &(dyn std::error::Error + 'static));
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(fault(error));
        }
        cause = inner.source();
    }
    None
}

fn fault(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // Another CA with the same name, such as one that was renewed with another key, is a wrong signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownCa,
            CertificateError::NotValidForName => TlsFault::WrongName { names: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                // rustls writes `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
                let name = |text: &String| {
                    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
                    inner.unwrap_or(text).trim_matches('"').to_owned()
                };
                TlsFault::WrongName { names: presented.iter().map(name).collect() }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
            other => TlsFault::Other(other.to_string()),
        },
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => TlsFault::ClientCertificate { alert: format!("{alert:?}") },
        other => TlsFault::Other(other.to_string()),
    }
}
