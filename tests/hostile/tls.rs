//! TLS clients: of the API server and of attackers.

use std::sync::Arc;

use anyhow::Result;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;

pub type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// The requested protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    Http1,
    Http2,
}

/// The configurations of all clients.
#[derive(Clone)]
pub struct Peers {
    ordinary: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    full: Arc<ClientConfig>,
}

impl Peers {
    pub fn new(ca_pem: &str) -> Result<Peers> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        let ordinary = builder()?.with_root_certificates(roots).with_no_client_auth();
        // An attacker saves the cost of verifying the certificate.
        let attacker = |alpn: &[u8]| -> Result<ClientConfig> {
            let verifier = Arc::new(Unverified(provider()));
            let mut config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(config)
        };
        let mut full = attacker(b"http/1.1")?;
        full.resumption = Resumption::disabled();
        Ok(Peers {
            ordinary: Arc::new(ordinary),
            http1: Arc::new(attacker(b"http/1.1")?),
            http2: Arc::new(attacker(b"h2")?),
            full: Arc::new(full),
        })
    }

    /// Returns the API server's configuration: it verifies, and requests no protocol (HTTP/1.1).
    pub fn ordinary(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.ordinary)
    }

    /// Returns an attacker's configuration, which resumes sessions.
    pub fn config(&self, alpn: Alpn) -> Arc<ClientConfig> {
        Arc::clone(match alpn {
            Alpn::Http1 => &self.http1,
            Alpn::Http2 => &self.http2,
        })
    }

    /// Returns an attacker's configuration without resumption. Full handshakes are the most expensive for the server.
    pub fn full(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.full)
    }
}

/// Returns the name in the certificate that the server creates for itself.
pub fn name() -> ServerName<'static> {
    ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    Ok(ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?)
}

#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
