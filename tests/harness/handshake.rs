use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

/// Returns the certificates of a server, as the API server sees them. The client sends a name and trusts these CAs.
pub fn handshake(
    address: SocketAddr,
    name: &'static str,
    bundle: &[CertificateDer<'static>],
) -> io::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bundle.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.sock.set_read_timeout(Some(DEADLINE))?;
    stream.flush()?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).cloned();
    shown.ok_or_else(|| io::Error::other("no certificate"))
}

/// Returns the certificates of a field in base64, such as `caBundle` or a key of a Secret.
pub fn certificates(encoded: &Value) -> Vec<CertificateDer<'static>> {
    let pem = BASE64_STANDARD.decode(encoded.as_str().unwrap_or_default()).unwrap_or_default();
    CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()
}
