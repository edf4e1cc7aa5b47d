//! The address of the webhook, and its certificate chain.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::handshake::{self, Chain};
use crate::cluster::api::{Api, Failure, Seen, found};
use crate::cluster::our_webhook;

const HTTPS: u16 = 443;

/// The address of the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Url(String),
    Service { namespace: String, name: String, port: i32 },
}

/// Returns the address in the webhook configuration, or else the Service of the manifests.
pub fn of(configuration: &Seen<MutatingWebhookConfiguration>, namespace: &str, name: &str) -> Endpoint {
    let client = found(configuration).and_then(our_webhook).map(|webhook| &webhook.client_config);
    match client.map(|client| (&client.url, &client.service)) {
        Some((Some(url), _)) => Endpoint::Url(url.clone()),
        Some((None, Some(service))) => Endpoint::Service {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: service.port.unwrap_or(HTTPS.into()),
        },
        _ => Endpoint::Service { namespace: namespace.to_owned(), name: name.to_owned(), port: HTTPS.into() },
    }
}

/// Returns the host and the port of a URL.
fn address(url: &str) -> Option<(String, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, uri.port_u16().unwrap_or(HTTPS)))
}

/// Returns the name that the API server expects in the certificate.
pub fn server_name(endpoint: &Endpoint) -> Option<ServerName<'static>> {
    let host = match endpoint {
        Endpoint::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        Endpoint::Url(url) => address(url)?.0,
    };
    ServerName::try_from(host).ok()
}

/// Returns the certificate chain of the server behind a URL.
pub async fn shown(api: &Api, url: &str) -> Result<Chain, Failure> {
    let wrong = || Failure::Broken(format!("{url} has no host to connect to"));
    let (host, port) = address(url).ok_or_else(wrong)?;
    let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
    api.within(async {
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|error| Failure::Broken(format!("connect to {host}, port {port}: {error}")))?;
        handshake::shown(stream, &name).await
    })
    .await
}
