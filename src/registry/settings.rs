//! Settings of a client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Uri;
use thiserror::Error;

use crate::proxy::Proxy;

/// Settings of a client. `Default` reads nothing from the environment.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// By host as in canonical names, with its port: `harbor.example.com`, `localhost:5000`.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Hosts of token servers to which the credentials of any registry may be sent. Without them: those of the registry's own
    /// domain.
    pub token_servers: Vec<String>,
    pub proxies: ProxyVariables,
    pub timeouts: Timeouts,
    pub retries: Retries,
}

/// Settings of a registry.
#[derive(Clone, Default)]
pub struct HostSettings {
    /// CAs in PEM. They are trusted in addition to those of the machine, also for the registry's token server and redirects.
    pub ca_pem: Option<Vec<u8>>,
    /// It is shown to the registry only.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether it speaks plain HTTP. A loopback host may without this.
    pub is_plain_http: bool,
}

/// A certificate with its issuers, and its key, in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    pub chain_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for HostSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca_pem, client_certificate, is_plain_http } = self;
        formatter
            .debug_struct("HostSettings")
            .field("ca_pem", &ca_pem.is_some())
            .field("client_certificate", &client_certificate.is_some())
            .field("is_plain_http", is_plain_http)
            .finish()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// The variables that name proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in upper or lower case. Its `Debug` output has no
/// values.
#[derive(Clone, Default)]
pub struct ProxyVariables(BTreeMap<String, String>);

impl ProxyVariables {
    const NAMES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];

    /// Takes the variables of the process.
    pub fn from_environment() -> Self {
        Self(Self::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect())
    }

    /// Returns the proxy for a URL, if there is one.
    pub(super) fn proxy(&self, url: &Uri) -> anyhow::Result<Option<Proxy>> {
        Proxy::from_environment(url, |name| self.0.get(name).cloned())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for ProxyVariables {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For DNS, for the connection and for the TLS handshake, each.
    pub connect: Duration,
    /// From the request to the headers of its response. containerd 2.3 and later wait 30 s.
    pub headers: Duration,
    /// For the next bytes of a body. A body that comes with less than 1 KiB/s after this time is given up too.
    pub stall: Duration,
    /// For an answer with its retries, except that of [`blob`](super::Client::blob).
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { connect: secs(10), headers: secs(30), stall: secs(30), total: secs(120) }
    }
}

/// Retries of requests that failed for a reason that can pass: closed and refused connections, 408, 429, 500, 502, 503 and 504.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts in all: 1 is no retry.
    pub attempts: u32,
    /// The longest wait before the second attempt. It doubles with each attempt; each wait is a random part of it.
    pub backoff: Duration,
    /// The longest wait. If `Retry-After` is longer, the answer is given at once.
    pub max_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_millis(500), max_wait: Duration::from_secs(20) }
    }
}

/// Why settings are unusable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSettings {
    #[error("the CA for {host} is unusable: {reason}; give certificates in PEM")]
    Ca { host: String, reason: String },
    #[error("the client certificate for {host} is unusable: {reason}; give a certificate and its key in PEM")]
    ClientCertificate { host: String, reason: String },
}
