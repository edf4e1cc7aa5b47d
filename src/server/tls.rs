//! The serving certificate, its key, and whose client certificates are accepted.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::client_names::ClientNames;
use crate::certificate::leaf::Leaf;
use crate::certificate::trust::Distrust;

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

/// Whose client certificates are admitted.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    /// The CAs that sign them.
    pub ca: File<'a>,
    /// The names of which they have one; empty: whatever their names.
    pub names: &'a [String],
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
}

/// All a TLS server needs, made of files that fit each other.
#[derive(Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    leaf: Leaf,
}

impl Identity {
    /// Reads a certificate chain, its key, and, where client certificates are wanted, whose. `hosts` are the names that
    /// clients ask for, as far as they are known.
    pub fn from_pem(
        chain: File<'_>,
        key: File<'_>,
        hosts: &[ServerName<'static>],
        clients: Option<Clients<'_>>,
    ) -> Result<Identity, TlsError> {
        let certificates = certificates(chain, "the serving certificate first, then its issuers")?;
        let private_key = PrivateKeyDer::from_pem_slice(key.pem).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { file: key.name.to_owned() },
            error => TlsError::Pem { file: key.name.to_owned(), error },
        })?;
        let leaf = Leaf::new(&certificates[0], hosts)
            .map_err(|error| TlsError::Certificate { file: chain.name.to_owned(), error })?;

        // The provider is passed on, never the process' default: that one is whoever's comes first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate_error(chain, &error))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(client_verifier(clients, provider)?),
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
        Ok(Identity { config: Arc::new(config), leaf })
    }

    /// What a handshake needs.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// When the certificate expires, in seconds since 1970.
    pub fn not_after_secs(&self) -> i64 {
        self.leaf.not_after_secs()
    }

    /// Returns why no client would accept the certificate at `time`.
    pub fn check(&self, time: SystemTime) -> Result<(), Distrust> {
        self.leaf.check(time)
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
    Clients { ca, names }: Clients<'_>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "of the CAs that sign client certificates")? {
        roots.add(certificate).map_err(|error| certificate_error(ca, &error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| certificate_error(ca, &error))?;
    Ok(if names.is_empty() { verifier } else { Arc::new(ClientNames::new(verifier, names)) })
}

fn certificate_error(file: File<'_>, error: &dyn std::error::Error) -> TlsError {
    TlsError::Certificate { file: file.name.to_owned(), error: error.to_string() }
}
