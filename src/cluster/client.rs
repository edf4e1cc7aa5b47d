//! The HTTP client of an API server.
//!
//! kube makes it. What kube 5.0 does not support is added here: SOCKS5 proxies with credentials, and token files that end
//! in a newline.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioExecutor;
use kube::client::{AuthError, Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use percent_encoding::percent_decode_str;
use tower::util::{BoxService, MapRequestLayer};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::failure::{Failure, chain};

/// A token file is read again when the token is older, as client-go does.
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// Makes a client. It waits for the program that the kubeconfig names for credentials.
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

/// Without the client's own names for its layers.
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
    // As a clock that is months off has it.
    let is_of_time = text.contains("certificate expired") || text.contains("certificate not valid yet");
    if is_of_time { format!("{text} (is this machine's clock right?)") } else { text.to_owned() }
}

/// Without the plugin's environment and what it printed to standard output, which hold secrets.
fn of_credentials(error: &AuthError, plugin: Option<&str>) -> String {
    let failure = match error {
        AuthError::AuthExecStart(error) => format!("can't be run: {error}; install it, or correct its `command`"),
        AuthError::AuthExecRun { out, .. } => {
            let told = String::from_utf8_lossy(&out.stderr);
            let told = told.trim().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
            format!("failed ({}){told}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "printed no ExecCredential with a status".to_owned()
        }
        error => return chain(error),
    };
    let plugin = plugin.map(|plugin| format!(" `{plugin}`")).unwrap_or_default();
    format!("the exec plugin{plugin} {failure}")
}

/// Returns the URL as it may be shown.
pub fn without_credentials(url: &Uri) -> String {
    let scheme = url.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{place}{}", url.path().trim_end_matches('/'))
}

fn socks_credentials(proxy: &Uri) -> Option<(String, String)> {
    let (credentials, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    (proxy.scheme_str() == Some("socks5")).then(|| (decoded(user), decoded(password)))
}

type OverSocks = BoxService<Request<Body>, Response<Incoming>, BoxError>;

/// The same layers as kube's, over a proxy that wants credentials.
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

/// A bearer token in a file that others replace.
struct TokenFile {
    path: PathBuf,
    current: Mutex<(HeaderValue, Instant)>,
}

impl TokenFile {
    fn read(path: String) -> Result<Self, Failure> {
        let path = PathBuf::from(path);
        let header = header(&path)
            .map_err(|error| Failure::Broken(format!("can't use the token file {}: {error}", path.display())))?;
        Ok(Self { path, current: Mutex::new((header, Instant::now())) })
    }

    /// The last token, if the file has become unreadable.
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
        .map_err(|_| "it has characters that a token can't have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
