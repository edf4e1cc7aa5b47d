//! Connections to a registry, its token server and the targets of its redirects.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::address::{is_forbidden, is_forbidden_name, is_local};
use super::answer::{Phase, Unreachable};
use super::credential::{Login, shown};
use super::name::is_loopback;
use super::settings::ProxyVariables;
use super::stream::Stream;
use super::tls::{self, Tls};
use super::url::{is_at, place, port};
use crate::proxy::{Proxy, without_credentials};

/// The limit on a proxy's response to CONNECT.
const MAX_PROXY_HEAD_BYTES: usize = 16 << 10;

/// Connects for one registry.
#[derive(Clone)]
pub(super) struct Connector {
    /// The registry's host, with its port.
    pub(super) registry: String,
    pub(super) tls: Tls,
    /// TLS with proxies.
    pub(super) proxy_tls: tokio_rustls::TlsConnector,
    pub(super) proxies: ProxyVariables,
    pub(super) timeout: Duration,
}

impl Connector {
    /// Connects to the host of a URL. With the connection comes the proxy to which requests have to name their whole URL.
    pub(super) async fn connect(&self, url: &Uri) -> Result<(Stream, Option<Proxy>), Unreachable> {
        let is_https = url.scheme_str() == Some("https");
        let is_registry = is_at(url, &self.registry);
        let proxy = self.proxies.proxy(url).map_err(|error| Unreachable::Proxy {
            proxy: "of the environment".to_owned(),
            host: place(url),
            reason: error.to_string(),
        })?;
        let stream = match proxy {
            None => self.dial(url, |address| self.is_allowed(address, is_registry)).await?,
            Some(proxy) => {
                self.check_unresolved(url, is_registry)?;
                let stream = self.through(&proxy, url).await?;
                if !is_https && proxy.url.scheme_str() != Some("socks5") {
                    return Ok((stream, Some(proxy)));
                }
                stream
            }
        };
        if !is_https {
            return Ok((stream, None));
        }
        let connector = if is_registry { &self.tls.registry } else { &self.tls.others };
        let handshake = self.within(url, Phase::Tls, tls::handshake(connector, url, stream)).await?;
        let stream = handshake.map_err(|fault| Unreachable::Tls { host: place(url), fault })?;
        Ok((stream, None))
    }

    /// A registry that is this machine may name this machine.
    fn is_allowed(&self, address: IpAddr, is_registry: bool) -> bool {
        !is_forbidden(address) && (is_registry || is_loopback(&self.registry) || !is_local(address))
    }

    /// Checks a host whose name the proxy resolves.
    fn check_unresolved(&self, url: &Uri, is_registry: bool) -> Result<(), Unreachable> {
        let host = url.host().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_allowed = address.map_or(!is_forbidden_name(host), |address| self.is_allowed(address, is_registry));
        let not_allowed = || Unreachable::NotAllowed { host: place(url), address: host.to_owned() };
        if is_allowed { Ok(()) } else { Err(not_allowed()) }
    }

    async fn dial(&self, url: &Uri, is_allowed: impl Fn(IpAddr) -> bool) -> Result<Stream, Unreachable> {
        let name = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let resolved = self.within(url, Phase::Dns, tokio::net::lookup_host((name, port(url)))).await?;
        let of_dns = |reason: String| Unreachable::Dns { host: name.to_owned(), reason };
        let resolved: Vec<SocketAddr> = resolved.map_err(|error| of_dns(error.to_string()))?.collect();
        let allowed: Vec<SocketAddr> = resolved.iter().copied().filter(|address| is_allowed(address.ip())).collect();
        if let (true, Some(address)) = (allowed.is_empty(), resolved.first()) {
            return Err(Unreachable::NotAllowed { host: place(url), address: address.ip().to_string() });
        }
        let mut failure = of_dns("it has no address".to_owned());
        let share = self.timeout / u32::try_from(allowed.len().max(1)).unwrap_or(u32::MAX);
        for address in allowed {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Without it, requests are only slower.
                    drop(stream.set_nodelay(true));
                    return Ok(Stream::new(stream));
                }
                Ok(Err(error)) => failure = of_io(&place(url), &error),
                Err(_) => failure = self.timeout(url, Phase::Connect),
            }
        }
        Err(failure)
    }

    /// Connects through a proxy: a tunnel, except for plain HTTP with a proxy for HTTP.
    async fn through(&self, proxy: &Proxy, url: &Uri) -> Result<Stream, Unreachable> {
        let failed = |reason: String| {
            let proxy = without_credentials(&proxy.url);
            Unreachable::Proxy { proxy, host: place(url), reason }
        };
        let late = |_| failed(format!("it did not connect within {:?}", self.timeout));
        let target = format!("{}:{}", url.host().unwrap_or_default(), port(url));
        let login = login(&proxy.url);
        if proxy.url.scheme_str() == Some("socks5") {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            let mut socks = SocksV5::new(proxy.url.clone(), connector);
            if let Some(Login { username, password }) = login {
                socks = socks.with_auth(username, password);
            }
            let url = Uri::builder().scheme("https").authority(target).path_and_query("/").build();
            let url = url.map_err(|error| failed(error.to_string()))?;
            let connected = tokio::time::timeout(self.timeout, socks.oneshot(url)).await.map_err(late)?;
            let connected = connected.map_err(|error| failed(shown(&error.to_string(), [])))?;
            return Ok(Stream::new(connected.into_inner()));
        }
        let mut stream = self.dial(&proxy.url, |_| true).await.map_err(|error| failed(error.to_string()))?;
        if proxy.url.scheme_str() == Some("https") {
            let handshake = tls::handshake(&self.proxy_tls, &proxy.url, stream);
            let handshake = tokio::time::timeout(self.timeout, handshake).await.map_err(late)?;
            stream = handshake.map_err(|fault| failed(format!("TLS with it failed: {fault}")))?;
        }
        if url.scheme_str() != Some("https") {
            return Ok(stream);
        }
        let tunnel = tunnel(&mut stream, &target, login.as_ref());
        match tokio::time::timeout(self.timeout, tunnel).await.map_err(late)? {
            Ok(()) => Ok(stream),
            Err(reason) => Err(failed(reason)),
        }
    }

    async fn within<T>(&self, url: &Uri, phase: Phase, future: impl Future<Output = T>) -> Result<T, Unreachable> {
        tokio::time::timeout(self.timeout, future).await.map_err(|_| self.timeout(url, phase))
    }

    fn timeout(&self, url: &Uri, phase: Phase) -> Unreachable {
        Unreachable::Timeout { host: place(url), phase, after: self.timeout }
    }
}

/// Returns the credentials in the URL of a proxy.
pub(super) fn login(proxy: &Uri) -> Option<Login> {
    let (credentials, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(Login { username: decoded(username), password: decoded(password) })
}

/// Has an HTTP proxy open a tunnel. Returns why it did not.
async fn tunnel(stream: &mut Stream, target: &str, login: Option<&Login>) -> Result<(), String> {
    let authorization =
        login.map(|login| format!("Proxy-Authorization: Basic {}\r\n", login.basic())).unwrap_or_default();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    // Byte by byte: what follows the head belongs to the tunnel.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_PROXY_HEAD_BYTES {
            return Err("its response to CONNECT is too large".to_owned());
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Err("it closed the connection during CONNECT".to_owned()),
        }
    }
    let status_line = String::from_utf8_lossy(&head);
    let status_line = status_line.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
        _ => Err(format!("it answered CONNECT with `{}`", shown(status_line, login.map(|login| &*login.password)))),
    }
}

/// Returns why a connection failed.
pub(super) fn of_io(host: &str, error: &io::Error) -> Unreachable {
    let host = host.to_owned();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::Refused { host },
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Unreachable::Closed { host },
        _ => Unreachable::Network { host, reason: error.to_string() },
    }
}
