//! Servers on loopback that answer as a test says, and remember what they were asked.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use pullthrough::engine::ImageRef;
use pullthrough::registry::{
    Client, ClientCertificate, Credentials, HostSettings, Keyring, Reference, Repository, Retries, Settings, Timeouts,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::proxy::{Proxy, ProxyKind};

pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A request that a server received.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub authorization: Option<String>,
    pub headers: hyper::HeaderMap,
    pub body: String,
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    accepting: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Starts a server with plain HTTP.
    pub async fn plain(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    pub async fn tls(tls: TlsAcceptor, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Some(tls), answer).await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let (seen, answer) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(answer));
        let of_server = Arc::clone(&seen);
        let mut server = Self::raw(move |stream| {
            let (tls, seen, answer) = (tls.clone(), Arc::clone(&seen), Arc::clone(&answer));
            async move {
                match tls {
                    None => serve(stream, seen, answer).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, seen, answer).await;
                        }
                    }
                }
            }
        })
        .await;
        server.seen = of_server;
        server
    }

    /// Starts a server that does as it likes with each connection.
    pub async fn raw<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<usize>>::default();
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                tokio::spawn(serve(stream));
            }
        });
        Self { address, seen: Arc::default(), connections, accepting: accepting.abort_handle() }
    }

    /// Starts a server that sends `head`, and then `more` for ever, with a pause after each.
    pub async fn endless(head: &'static str, more: &'static [u8], pause: Duration) -> Self {
        Self::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            drop(stream.write_all(head.as_bytes()).await);
            while stream.write_all(more).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        })
        .await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns method and path of the requests.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Returns the host with the port, as part of images.
    pub fn host(&self) -> String {
        self.at("127.0.0.1")
    }

    /// Returns another name of the same server.
    pub fn at(&self, name: &str) -> String {
        format!("{name}:{}", self.address.port())
    }
}

/// A thousand headers.
pub const HEADERS: &[u8] = LINES.as_flattened();
const LINES: &[[u8; 6]] = &[*b"x: y\r\n"; 1000];

/// Reads the head of a request; more than the first bytes of it is not needed by any test.
pub async fn read_head(stream: &mut TcpStream) {
    let mut head = [0; 4096];
    drop(tokio::io::AsyncReadExt::read(stream, &mut head).await);
}

async fn serve<S, F>(stream: S, seen: Arc<Mutex<Vec<Seen>>>, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: Fn(&Seen) -> Answer + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let one = Seen {
                method: head.method,
                path: head.uri.to_string(),
                authorization,
                headers: head.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            seen.lock().unwrap().push(one.clone());
            Ok::<_, Infallible>(answer(&one))
        }
    });
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// Returns a response with a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let response = headers
        .iter()
        .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
    response.body(Full::new(body.into()).boxed()).unwrap()
}

/// Returns an error of the specification.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
    answer(status, &[("content-type", "application/json")], body)
}

/// Returns an image's repository and reference.
pub fn name(image: &str) -> (Repository, Reference) {
    let image = ImageRef::parse(image).unwrap();
    (Repository::of(&image).unwrap(), Reference::of(&image))
}

/// Returns settings for tests: short waits.
pub fn settings() -> Settings {
    let secs = Duration::from_secs;
    Settings {
        timeouts: Timeouts { connect: secs(5), headers: secs(5), stall: secs(5), total: secs(20) },
        retries: Retries { attempts: 3, backoff: Duration::from_millis(5), max_wait: secs(2) },
        ..Settings::default()
    }
}

pub fn client(credentials: Credentials) -> Client {
    Client::new(settings(), credentials).unwrap()
}

/// Returns the settings of a host with a CA.
pub fn trusting(ca: &Ca) -> HostSettings {
    HostSettings { ca_pem: Some(ca.pem.clone().into()), ..HostSettings::default() }
}

/// Returns a client that trusts a CA for a host.
pub fn client_of(host: &str, one: HostSettings, credentials: Credentials) -> Client {
    Client::new(Settings { hosts: [(host.to_owned(), one)].into(), ..settings() }, credentials).unwrap()
}

/// Returns the credentials of a node with logins by keys.
pub fn logins(entries: &[(&str, &str, &str)]) -> Credentials {
    let auths: serde_json::Map<_, _> = entries
        .iter()
        .map(|(key, user, password)| ((*key).to_owned(), serde_json::json!({"username": user, "password": password})))
        .collect();
    let file = serde_json::json!({"auths": auths}).to_string();
    Credentials::Node { pull: Keyring::parse(file.as_bytes()).unwrap(), providers: None }
}

/// Starts a proxy, which connects every name to loopback, for the rest of the process: its runtime can't end within another one.
pub fn proxy(kind: ProxyKind, credentials: Option<(&'static str, &'static str)>) -> &'static Proxy {
    let started = std::thread::spawn(move || Proxy::start(kind, credentials).unwrap());
    Box::leak(Box::new(started.join().unwrap()))
}

/// A CA of the tests.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a certificate for names, with changed parameters.
    pub fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        ClientCertificate { chain_pem: chain.into(), key_pem: key.serialize_pem().into() }
    }

    pub fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        acceptor(&self.issue(names, |_| {}), None)
    }
}

/// Returns TLS with a certificate; with `clients`, the CA of clients' certificates, which are then required.
pub fn acceptor(certificate: &ClientCertificate, clients: Option<&Ca>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(&certificate.chain_pem).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&certificate.key_pem).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}
