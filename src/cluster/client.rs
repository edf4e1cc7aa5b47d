//! The HTTP client of an API server.
//!
//! kube provides it. This module adds what kube 5.0 does not support: SOCKS5 proxies with credentials, and token files that
//! end in a newline.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::legacy::{Client as HyperClient, Error as HyperError};
use hyper_util::rt::TokioExecutor;
use kube::client::{AuthError, Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use percent_encoding::percent_decode_str;
use tower::util::{BoxService, MapRequestLayer};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::failure::{Failure, chain};

/// A token file is read again once the token is older than this, as in client-go.
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// Makes a client. Blocks until the exec plugin of the kubeconfig returns.
pub(super) fn client(mut config: Config) -> Result<Client, Failure> {
    let token = config.auth_info.token_file.take().map(TokenFile::read).transpose()?.map(Arc::new);
    let authorize = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(value) = token.as_ref().map(|token| token.header()) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request
    });
    let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
    let made = match config.proxy_url.as_ref().and_then(socks_credentials) {
        Some(credentials) => over_socks(&config, credentials).map(|made| made.with_layer(&authorize).build()),
        None => ClientBuilder::try_from(config).map(|made| made.with_layer(&authorize).build()),
    };
    made.map_err(|error| {
        Failure::Broken(match &error {
            kube::Error::Auth(error) => of_credentials(error, plugin.as_deref()),
            error => of_client(error),
        })
    })
}

/// Describes an error of the client, without the names of the client's layers.
pub(super) fn of_client(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Service(inner) => match inner.downcast_ref() {
            Some(error) => of_credentials(error, None),
            None => chain(&**inner),
        },
        kube::Error::HyperError(inner) => chain(inner),
        other => chain(other),
    };
    let text = text.trim_start_matches("client error (Connect): ");
    // A wrong clock of this machine is a common cause.
    let is_of_time = text.contains("certificate expired") || text.contains("certificate not valid yet");
    if is_of_time { format!("{text} (is this machine's clock right?)") } else { text.to_owned() }
}

/// Returns whether there was no connection, without which there is no TLS handshake.
pub(super) fn has_no_connection(error: &kube::Error) -> bool {
    let causes = || successors(error.source(), |&cause| cause.source());
    let is_of_tls = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
    };
    causes().any(|cause| cause.downcast_ref().is_some_and(HyperError::is_connect)) && !causes().any(is_of_tls)
}

/// Describes an error about credentials, without the plugin's environment and standard output, which have secrets.
fn of_credentials(error: &AuthError, plugin: Option<&str>) -> String {
    let failure = match error {
        AuthError::AuthExecStart(error) => format!("can't be run: {error}; install it, or fix its `command`"),
        AuthError::AuthExecRun { out, .. } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let last = stderr.trim().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
            format!("failed ({}){last}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "printed no ExecCredential with a status".to_owned()
        }
        error => return chain(error),
    };
    let plugin = plugin.map(|plugin| format!(" `{plugin}`")).unwrap_or_default();
    format!("the exec plugin{plugin} {failure}")
}

fn socks_credentials(proxy: &Uri) -> Option<(String, String)> {
    let (credentials, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (proxy.scheme_str() == Some("socks5")).then(|| (decoded(user), decoded(password)))
}

type OverSocks = BoxService<Request<Body>, Response<Incoming>, BoxError>;

/// Builds a client with the same layers as kube's, through a SOCKS5 proxy that requires credentials.
fn over_socks(config: &Config, (user, password): (String, String)) -> kube::Result<ClientBuilder<OverSocks>> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let proxy = config.proxy_url.clone().unwrap_or_default();
    let connector = SocksV5::new(proxy, connector).with_auth(user, password);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HyperClient::builder(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service.boxed(), config.default_namespace.clone()))
}

/// A bearer token in a file that other programs replace.
struct TokenFile {
    path: PathBuf,
    current: Mutex<(HeaderValue, Instant)>,
}

impl TokenFile {
    fn read(path: String) -> Result<Self, Failure> {
        let path = PathBuf::from(path);
        let header = header(&path)
            .map_err(|error| Failure::Broken(format!("unusable token file {}: {error}", path.display())))?;
        Ok(Self { path, current: Mutex::new((header, Instant::now())) })
    }

    /// Returns the `Authorization` header. If the file has become unreadable, the last token stays.
    fn header(&self) -> HeaderValue {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= TOKEN_AGE {
            let read = header(&self.path).unwrap_or_else(|_| current.0.clone());
            *current = (read, Instant::now());
        }
        current.0.clone()
    }
}

fn header(path: &std::path::Path) -> Result<HeaderValue, String> {
    let token = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = token.trim();
    if token.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "it has characters that are not allowed in a token".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
