//! The serving certificate, its key, and whose client certificates are accepted.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

/// HTTP/2, in ALPN.
pub const ALPN_HTTP2: &[u8] = b"h2";

/// HTTP/1.1, in ALPN.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A file's content and what errors call it.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Usually its path.
    pub name: &'a str,
    /// PEM.
    pub pem: &'a [u8],
}

/// Files that can't be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM around the data is damaged.
    #[error("{file}: damaged PEM: {error}; if it was just being written, it is read again")]
    Pem { file: String, error: pem::Error },
    /// There is no certificate in it.
    #[error(
        "{file}: holds no certificate; expected PEM blocks that begin with -----BEGIN CERTIFICATE-----, {expected}"
    )]
    NoCertificate {
        file: String,
        /// What should be there.
        expected: &'static str,
    },
    /// There is no key in it.
    #[error(
        "{file}: holds no private key; expected a PEM block of PKCS#8 (PRIVATE KEY), PKCS#1 (RSA PRIVATE KEY) or \
         SEC1 (EC PRIVATE KEY), not encrypted"
    )]
    NoKey { file: String },
    /// A certificate that is no X.509 certificate.
    #[error("{file}: not a certificate that can be used: {error}")]
    Certificate { file: String, error: String },
    /// A key of an unknown kind.
    #[error(
        "{file}: not a private key that can be used: {error}; RSA (2048 bits or more) and ECDSA (P-256, P-384, P-521) can"
    )]
    Key { file: String, error: String },
    /// Both can be read, and they are not a pair.
    #[error("{key} is not the private key of the first certificate in {certificate}; they must be replaced together")]
    NotAPair {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// Its time is over.
    #[error("{file}: the certificate has expired already")]
    Expired { file: String },
}

/// Whether a certificate can be used at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It can.
    Valid,
    /// Not any more.
    Expired,
    /// Not yet.
    NotYet,
}

/// All a TLS server needs, made of files that fit each other.
#[derive(Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    not_before_secs: i64,
    not_after_secs: i64,
}

impl Identity {
    /// Reads a certificate chain, its key, and, where client certificates are wanted, whose.
    pub fn from_pem(chain: File<'_>, key: File<'_>, client_ca: Option<File<'_>>) -> Result<Identity, TlsError> {
        let certificates = certificates(chain, "the serving certificate first, then its issuers")?;
        let private_key = PrivateKeyDer::from_pem_slice(key.pem).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { file: key.name.to_owned() },
            error => TlsError::Pem { file: key.name.to_owned(), error },
        })?;
        let (not_before_secs, not_after_secs) = validity_secs(&certificates[0], chain.name)?;

        // The provider is passed on, never the process' default: that one is whoever's comes first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate_error(chain, &error))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => builder.with_client_cert_verifier(client_verifier(ca, provider)?),
        };
        let mut config = builder.with_single_cert(certificates, private_key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::NotAPair { certificate: chain.name.to_owned(), key: key.name.to_owned() }
            }
            rustls::Error::General(error) => TlsError::Key { file: key.name.to_owned(), error },
            error => certificate_error(chain, &error),
        })?;
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        // The API server does not resume sessions, and a client CA that was replaced must not live on in them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity { config: Arc::new(config), not_before_secs, not_after_secs })
    }

    /// What a handshake needs.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// When the certificate expires, in seconds since 1970.
    pub fn not_after_secs(&self) -> i64 {
        self.not_after_secs
    }

    /// Whether the certificate can be used at `time`.
    pub fn validity(&self, time: SystemTime) -> Validity {
        let secs = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        if secs > self.not_after_secs {
            Validity::Expired
        } else if secs < self.not_before_secs {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }
}

fn certificates(file: File<'_>, expected: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(file.pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { file: file.name.to_owned(), error })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { file: file.name.to_owned(), expected });
    }
    Ok(certificates)
}

fn client_verifier(
    ca: File<'_>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "of the authorities that sign client certificates")? {
        roots.add(certificate).map_err(|error| certificate_error(ca, &error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| certificate_error(ca, &error))
}

fn validity_secs(certificate: &CertificateDer<'_>, name: &str) -> Result<(i64, i64), TlsError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| TlsError::Certificate { file: name.to_owned(), error: error.to_string() })?;
    let validity = parsed.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn certificate_error(file: File<'_>, error: &dyn std::error::Error) -> TlsError {
    TlsError::Certificate { file: file.name.to_owned(), error: error.to_string() }
}
