//! The serving certificate, its key, and the accepted client certificates.

use std::borrow::Cow;
use std::fmt;
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

/// A file's content, and its name in errors.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Usually its path.
    pub name: &'a str,
    /// PEM.
    pub pem: &'a [u8],
}

/// The accepted client certificates.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    /// Their CAs.
    pub ca: File<'a>,
    /// The accepted names. Empty: any name.
    pub names: &'a [String],
}

/// Error: the files are not valid for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM is damaged.
    #[error("{file}: damaged PEM: {error}; if it was just being written, it is read again")]
    Pem { file: String, error: pem::Error },
    /// The file has no certificate.
    #[error(
        "{file}: no certificate ({found}); expected PEM blocks that begin with -----BEGIN CERTIFICATE-----, {expected}"
    )]
    NoCertificate {
        file: String,
        found: String,
        /// The missing item.
        expected: &'static str,
    },
    /// The file has no key.
    #[error(
        "{file}: no private key ({found}); expected a PEM block of PKCS#8 (PRIVATE KEY), PKCS#1 (RSA PRIVATE KEY) or \
         SEC1 (EC PRIVATE KEY), not encrypted"
    )]
    NoKey { file: String, found: String },
    /// The key needs a passphrase.
    #[error(
        "{file}: the private key is encrypted, which is not supported; decrypt it with `openssl pkey -in {file} -out FILE`"
    )]
    EncryptedKey { file: String },
    /// The two files are swapped.
    #[error("{certificate} has a private key, and {key} a certificate: are --tls-cert and --tls-key swapped?")]
    Swapped {
        /// The file that should have the certificate.
        certificate: String,
        /// The file that should have the key.
        key: String,
    },
    /// Not an X.509 certificate.
    #[error("{file}: not a certificate that can be used: {error}")]
    Certificate { file: String, error: String },
    /// A key of an unsupported kind.
    #[error(
        "{file}: not a private key that can be used: {error}; RSA (2048 bits or more) and ECDSA (P-256, P-384, P-521) can"
    )]
    Key { file: String, error: String },
    /// Certificate and key do not belong together.
    #[error("{key} is not the private key of the first certificate in {certificate}; they must be replaced together")]
    NotAPair {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
}

/// Configuration of a TLS server, from files that belong together.
#[derive(Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    leaf: Leaf,
}

impl Identity {
    /// Reads a certificate chain, its key and the accepted clients, if any. `hosts` are the names that clients use, if known.
    pub fn from_pem(
        chain: File<'_>,
        key: File<'_>,
        hosts: &[ServerName<'static>],
        clients: Option<Clients<'_>>,
    ) -> Result<Identity, TlsError> {
        let (in_chain, in_key) = (Labels::of(chain.pem), Labels::of(key.pem));
        if in_chain.is_key() && in_key.is_certificate() {
            return Err(TlsError::Swapped { certificate: chain.name.to_owned(), key: key.name.to_owned() });
        }
        let certificates = certificates(chain, "the serving certificate first, then its issuers")?;
        if in_key.is_encrypted {
            return Err(TlsError::EncryptedKey { file: key.name.to_owned() });
        }
        let private_key = PrivateKeyDer::from_pem_slice(key.pem).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { file: key.name.to_owned(), found: in_key.to_string() },
            error => TlsError::Pem { file: key.name.to_owned(), error },
        })?;
        let leaf = Leaf::new(&certificates[0], hosts)
            .map_err(|error| TlsError::Certificate { file: chain.name.to_owned(), error })?;

        // The provider is passed explicitly: the process' default is the first that any library installs.
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
        // No resumption: the API server does not use it, and sessions would outlive a replaced client CA.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity { config: Arc::new(config), leaf })
    }

    /// Returns the configuration for handshakes.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Returns the certificate's expiry, in seconds since 1970.
    pub fn not_after_secs(&self) -> i64 {
        self.leaf.not_after_secs()
    }

    /// Fails if no client accepts the certificate at `time`.
    pub fn check(&self, time: SystemTime) -> Result<(), Distrust> {
        self.leaf.check(time)
    }
}

fn certificates(file: File<'_>, expected: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(file.pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { file: file.name.to_owned(), error })?;
    if certificates.is_empty() {
        let found = Labels::of(file.pem).to_string();
        return Err(TlsError::NoCertificate { file: file.name.to_owned(), found, expected });
    }
    Ok(certificates)
}

/// What the PEM blocks of a file say they are.
struct Labels<'a> {
    labels: Vec<Cow<'a, str>>,
    is_empty: bool,
    /// One of them is a private key that needs a passphrase.
    is_encrypted: bool,
}

impl<'a> Labels<'a> {
    fn of(pem: &'a [u8]) -> Self {
        const ENCRYPTED_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";
        let lines = || pem.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let label = |line: &'a [u8]| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----");
        let labels: Vec<_> = lines().filter_map(label).map(String::from_utf8_lossy).collect();
        let is_encrypted =
            labels.iter().any(|label| label == "ENCRYPTED PRIVATE KEY") || lines().any(|line| line == ENCRYPTED_HEADER);
        Self { labels, is_empty: pem.trim_ascii().is_empty(), is_encrypted }
    }

    fn is_key(&self) -> bool {
        !self.labels.is_empty() && self.labels.iter().all(|label| label.ends_with("PRIVATE KEY"))
    }

    fn is_certificate(&self) -> bool {
        !self.labels.is_empty() && self.labels.iter().all(|label| label == "CERTIFICATE")
    }
}

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.labels.first() {
            Some(label) => write!(f, "a PEM block of {label:?}"),
            None if self.is_empty => f.write_str("empty"),
            None => f.write_str("not PEM"),
        }
    }
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
