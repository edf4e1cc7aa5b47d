use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// A proxy with HTTP CONNECT.
    Http,
    /// A proxy with HTTP CONNECT over TLS.
    Https,
    Socks5,
}

/// A proxy on loopback that counts its tunnels. It connects every name to 127.0.0.1.
pub struct Proxy {
    kind: ProxyKind,
    address: SocketAddr,
    ca: String,
    tunnels: Arc<AtomicUsize>,
    /// The runtime of the proxy. The proxy ends when it is dropped.
    _runtime: Runtime,
}

#[derive(Clone)]
struct Serving {
    is_socks: bool,
    credentials: Option<(&'static str, &'static str)>,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy. If it has credentials (user name and password), it rejects requests without them.
    pub fn start(kind: ProxyKind, credentials: Option<(&'static str, &'static str)>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("find a free port")?;
        let address = listener.local_addr()?;
        let (ca, tls) = tls()?;
        let tls = (kind == ProxyKind::Https).then_some(tls);
        let tunnels = Arc::<AtomicUsize>::default();
        let serving = Serving { is_socks: kind == ProxyKind::Socks5, credentials, tunnels: Arc::clone(&tunnels) };
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => serving.serve(tls.accept(client).await?).await,
                        None => serving.serve(client).await,
                    }
                });
            }
        });
        Ok(Self { kind, address, ca, tunnels, _runtime: runtime })
    }

    /// Returns the URL, with credentials such as `user:password@`, or with an empty text.
    pub fn url(&self, credentials: &str) -> String {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Https => "https",
            ProxyKind::Socks5 => "socks5",
        };
        format!("{scheme}://{credentials}{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CA certificate of an HTTPS proxy, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

impl Serving {
    async fn serve(self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let (port, request) = if self.is_socks {
            (self.socks(&mut client).await?, String::new())
        } else {
            self.http(&mut client).await?
        };
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        server.write_all(request.as_bytes()).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// Answers `CONNECT HOST:PORT`, or returns the head of a request for `http://HOST:PORT/` to forward.
    async fn http(&self, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(u16, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8(head)?;
        if let Some((user, password)) = self.credentials {
            let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
            let is_authorized = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value == basic);
            if !is_authorized {
                client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await?;
                bail!("not authorized");
            }
        }
        let forwarded = head.split_once(" http://").filter(|(method, _)| !method.contains(' '));
        if let Some(place) = forwarded.and_then(|(_, rest)| rest.split('/').next()) {
            return Ok((port(place)?, head));
        }
        let place = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
        let port = port(place.with_context(|| format!("not a CONNECT request: {head}"))?)?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        Ok((port, String::new()))
    }

    /// Answers a SOCKS5 request (RFC 1928), with a password if there is one (RFC 1929).
    async fn socks(&self, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<u16> {
        ensure!(client.read_u8().await? == 5, "SOCKS5");
        let methods = text(client).await?;
        let method = u8::from(self.credentials.is_some()) * 2;
        if !methods.contains(&method) {
            client.write_all(&[5, 0xFF]).await?;
            bail!("no common authentication method");
        }
        client.write_all(&[5, method]).await?;
        if let Some((user, password)) = self.credentials {
            ensure!(client.read_u8().await? == 1, "user name and password");
            let given = (text(client).await?, text(client).await?);
            let is_authorized = given == (user.into(), password.into());
            client.write_all(&[1, u8::from(!is_authorized)]).await?;
            ensure!(is_authorized, "not authorized");
        }
        let mut request = [0; 4];
        client.read_exact(&mut request).await?;
        ensure!(request[..3] == [5, 1, 0], "CONNECT");
        match request[3] {
            1 => drop(client.read_u32().await?),
            3 => drop(text(client).await?),
            4 => drop(client.read_u128().await?),
            other => bail!("address type {other}"),
        }
        let port = client.read_u16().await?;
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        Ok(port)
    }
}

/// Returns the port of `HOST:PORT`.
fn port(place: &str) -> Result<u16> {
    let (_, port) = place.rsplit_once(':').with_context(|| format!("no port: {place}"))?;
    Ok(port.parse()?)
}

/// Reads a length in one byte, and as many bytes.
async fn text(client: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut text = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut text).await?;
    Ok(text)
}

/// Returns a CA, and a server with a certificate of it for 127.0.0.1 and the usual names of API servers.
fn tls() -> Result<(String, TlsAcceptor)> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = ["127.0.0.1".to_owned(), "kubernetes".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((authority.pem(), TlsAcceptor::from(Arc::new(config))))
}
