//! A server before a cache: it passes everything on, or fails as it is told.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

const LISTENS_AGAIN: Duration = Duration::from_millis(20);

/// What a front does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Passes,
    /// Its port is closed.
    Closed,
    /// It answers after this time.
    Slow(Duration),
    Answers(u16),
    /// Its certificate is expired.
    Expired,
}

/// A CA, and the certificates of fronts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn acceptor(&self, address: Ipv4Addr, is_expired: bool) -> Result<TlsAcceptor> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([address.to_string()])?;
        if is_expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.0)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

pub struct Front {
    address: SocketAddrV4,
    mode: watch::Sender<Mode>,
    _runtime: Runtime,
}

/// What a connection needs.
#[derive(Clone)]
struct Behind {
    cache: String,
    valid: TlsAcceptor,
    expired: TlsAcceptor,
}

impl Front {
    /// Listens with TLS, and passes on to a cache at `HOST:PORT`, which speaks plain HTTP.
    pub fn start(address: SocketAddrV4, cache: String, authority: &Authority) -> Result<Self> {
        let (valid, expired) = (authority.acceptor(*address.ip(), false)?, authority.acceptor(*address.ip(), true)?);
        let behind = Behind { cache, valid, expired };
        let (mode, seen) = watch::channel(Mode::Passes);
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind(address)).with_context(|| format!("listen on {address}"))?;
        runtime.spawn(serve(listener, behind, seen));
        Ok(Self { address, mode, _runtime: runtime })
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Returns the name of an image.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

async fn serve(listener: TcpListener, behind: Behind, mut mode: watch::Receiver<Mode>) {
    let address = listener.local_addr().expect("an address");
    let mut listener = Some(listener);
    loop {
        if *mode.borrow_and_update() == Mode::Closed {
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                Err(_) => {
                    sleep(LISTENS_AGAIN).await;
                    continue;
                }
            }
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            Ok((stream, _)) = accepted => {
                let (behind, mut mode) = (behind.clone(), mode.clone());
                tokio::spawn(async move {
                    let now = *mode.borrow_and_update();
                    // Connections do not outlive the mode that they began in.
                    tokio::select! {
                        _ = mode.changed() => {}
                        _ = answer(stream, behind, now) => {}
                    }
                });
            }
        }
    }
}

async fn answer(stream: TcpStream, behind: Behind, mode: Mode) -> Result<()> {
    let Behind { cache, valid, expired } = behind;
    let acceptor = if mode == Mode::Expired { expired } else { valid };
    let mut stream = acceptor.accept(stream).await?;
    match mode {
        Mode::Answers(status) => loop {
            read_head(&mut stream).await?;
            let head = format!("HTTP/1.1 {status} Test\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        },
        Mode::Slow(time) => sleep(time).await,
        Mode::Passes | Mode::Closed | Mode::Expired => {}
    }
    let mut cache = TcpStream::connect(cache).await?;
    copy_bidirectional(&mut stream, &mut cache).await?;
    Ok(())
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(Duration::from_secs(60), stream.read_u8()).await??);
    }
    Ok(())
}
