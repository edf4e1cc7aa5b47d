//! The proxy for a server, chosen as Go's clients do.
//!
//! The rules for the environment are those of Go's `golang.org/x/net/http/httpproxy`. kube's own are not used: they match
//! `NO_PROXY` against the proxy's address instead of the server's.

use std::net::IpAddr;

use anyhow::{anyhow, bail, ensure};
use http::Uri;
use http::uri::Authority;
use ipnet::IpNet;

const FORM: &str = "write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with special characters of a user \
                    name or password percent-encoded";

/// A proxy. Its `Debug` output has no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// It has the port, and credentials if the proxy needs them.
    pub url: Uri,
    /// The field or the variable that names it.
    pub source: &'static str,
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", without_credentials(&self.url), self.source)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Proxy({self})")
    }
}

impl Proxy {
    /// Returns the proxy that `proxy-url` names. `NO_PROXY` does not apply to it.
    pub fn explicit(value: &str) -> anyhow::Result<Self> {
        let url = parse("proxy-url", value, &["http", "https", "socks5"])?;
        Ok(Self { url, source: "proxy-url" })
    }

    /// Returns the proxy that the environment names for this server.
    pub fn from_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let set = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let names = match server.scheme_str() {
            Some("http") => ["HTTP_PROXY", "http_proxy"],
            _ => ["HTTPS_PROXY", "https_proxy"],
        };
        let Some((source, value)) = set(names) else { return Ok(None) };
        let exceptions = set(["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
        if is_exempt(server, &exceptions) {
            return Ok(None);
        }
        let value = if value.contains("://") { value } else { format!("http://{value}") };
        let url = parse(source, &value, &["http", "https", "socks5", "socks5h"])?;
        Ok(Some(Self { url, source }))
    }
}

/// Returns the URL without credentials, for messages.
pub fn without_credentials(url: &Uri) -> String {
    let scheme = url.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{place}{}", url.path().trim_end_matches('/'))
}

/// Parses the URL of a proxy. Errors do not show the value, which may have a password.
fn parse(source: &str, value: &str, schemes: &[&str]) -> anyhow::Result<Uri> {
    let Some((scheme, rest)) = value.split_once("://") else { bail!("{source} is not a proxy's URL; {FORM}") };
    let scheme = scheme.to_ascii_lowercase();
    ensure!(
        schemes.contains(&scheme.as_str()),
        "{source} names a proxy with the scheme {scheme}, which is not supported; use http, https or socks5"
    );
    // With both schemes of SOCKS, the proxy resolves names, as in Go.
    let (scheme, port) = match scheme.as_str() {
        "http" => ("http", 80),
        "https" => ("https", 443),
        _ => ("socks5", 1080),
    };
    let invalid = || anyhow!("{source} is not a proxy's URL; {FORM}");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A user name without a password has an empty one.
    let authority = match authority.rsplit_once('@') {
        Some((user, place)) if !user.contains(':') => format!("{user}:@{place}"),
        _ => authority.to_owned(),
    };
    let authority: Authority = authority.parse().map_err(|_| invalid())?;
    ensure!(!authority.host().is_empty(), invalid());
    let authority = match authority.port() {
        Some(_) => authority,
        None => format!("{}:{port}", authority.as_str().trim_end_matches(':')).parse().map_err(|_| invalid())?,
    };
    Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build().map_err(|_| invalid())
}

/// Returns whether the server is used without the proxy of the environment.
fn is_exempt(server: &Uri, exceptions: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_localhost = host == "localhost";
    let host = host.to_ascii_lowercase();
    let default = if server.scheme_str() == Some("http") { 80 } else { 443 };
    let port = server.port_u16().unwrap_or(default).to_string();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if is_localhost || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions.split(',').any(|entry| {
        let entry = entry.trim().to_lowercase();
        if entry == "*" {
            return true;
        }
        if let Ok(network) = entry.parse::<IpNet>() {
            return address.is_some_and(|address| canonical(network).contains(&address));
        }
        let (entry, of_port) = split_port(&entry);
        if of_port.is_some_and(|of_port| !of_port.is_empty() && of_port != port) {
            return false;
        }
        match (entry.parse::<IpAddr>(), address) {
            (Ok(entry), Some(address)) => entry.to_canonical() == address,
            (Ok(_), None) | (Err(_), Some(_)) => false,
            (Err(_), None) => is_domain_of(&host, entry),
        }
    })
}

/// Returns whether an entry matches a host. `example.com` also matches its subdomains; `.example.com` and `*.example.com` match
/// only these.
fn is_domain_of(host: &str, entry: &str) -> bool {
    let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    match entry.strip_prefix('.') {
        Some(_) => host.ends_with(entry),
        None => {
            !entry.is_empty() && (host == entry || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.')))
        }
    }
}

/// Splits `HOST:PORT` and `[IPv6]:PORT`. An IPv6 address without a port has no brackets here.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let Some((host, port)) = entry.rsplit_once(':') else { return (entry, None) };
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => (host, Some(port)),
        None if host.contains(':') => (entry, None),
        None => (host, Some(port)),
    }
}

/// Returns the IPv4 network of a mapped one: `10.0.0.0/8` for `::ffff:10.0.0.0/104`.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.network().to_ipv4_mapped();
    let inner = address.zip(mapped.prefix_len().checked_sub(96));
    inner.and_then(|(address, length)| IpNet::new(address.into(), length).ok()).unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(server: &str, variables: &[(&str, &str)]) -> anyhow::Result<Option<Proxy>> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Proxy::from_environment(&server.parse().unwrap(), variable)
    }

    #[test]
    fn no_proxy_is_matched_as_in_go() {
        for (server, exceptions, exempt) in [
            ("https://api.example.com", "", false),
            ("https://api.example.com", "*", true),
            ("https://api.example.com", " , *", true),
            ("https://api.example.com", "api.example.com", true),
            ("https://api.example.com", "API.Example.com", true),
            ("https://API.example.com", "api.example.com", true),
            ("https://api.example.com", "example.com", true),
            ("https://api.example.com", ".example.com", true),
            ("https://api.example.com", "*.example.com", true),
            ("https://example.com", ".example.com", false),
            ("https://example.com", "*.example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://api.example.com", "ample.com", false),
            ("https://api.example.com", "*example.com", false),
            ("https://api.example.com", "a.example.org, api.example.com", true),
            ("https://api.example.com", "api.example.com:443", true),
            ("https://api.example.com", "api.example.com:", true),
            ("https://api.example.com:6443", "api.example.com:443", false),
            ("https://api.example.com:6443", ".example.com:6443", true),
            ("https://api.example.com:6443", ":6443", false),
            ("http://api.example.com", "api.example.com:80", true),
            ("https://10.1.2.3", "10.0.0.0/8", true),
            ("https://10.1.2.3", "10.9.9.9/8", true),
            ("https://10.1.2.3", "11.0.0.0/8", false),
            ("https://10.1.2.3", "10.0.0.0/33", false),
            ("https://10.1.2.3", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://10.1.2.3", "2.3", false),
            ("https://10.1.2.3", ".2.3", false),
            ("https://10.1.2.3", "::ffff:10.1.2.3", true),
            ("https://10.1.2.3", "::ffff:10.0.0.0/104", true),
            ("https://10.1.2.3", "::/0", false),
            ("https://a.example", "[example]:443", true),
            ("https://LocalHost", "", false),
            ("https://[fd00::1]", "fd00::/8", true),
            ("https://[fd00::1]", "fd00::1", true),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", true),
            ("https://[fd00::1]", "[fd00::1]", false),
            ("https://api.example.com", "10.0.0.0/8,::/0,!!,[,a:b:c,//", false),
            ("https://localhost", "", true),
            ("https://127.9.9.9", "", true),
            ("https://[::1]", "", true),
            ("https://0.0.0.0", "", false),
        ] {
            let found =
                from(server, &[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", "http://p"), ("NO_PROXY", exceptions)]);
            assert_eq!(found.unwrap().is_none(), exempt, "{server} with NO_PROXY={exceptions}");
        }
    }

    #[test]
    fn the_variable_goes_by_the_scheme_and_the_proxy_has_a_port() {
        let server = "https://api.example.com";
        for (server, variables, url) in [
            (server, vec![("HTTPS_PROXY", "http://p:3128")], Some("http://p:3128/")),
            (server, vec![("https_proxy", "http://p")], Some("http://p:80/")),
            (server, vec![("HTTPS_PROXY", ""), ("https_proxy", "https://p/x")], Some("https://p:443/")),
            (server, vec![("HTTPS_PROXY", "http://a"), ("https_proxy", "http://b")], Some("http://a:80/")),
            (server, vec![("HTTPS_PROXY", "p:3128")], Some("http://p:3128/")),
            (server, vec![("HTTPS_PROXY", "p")], Some("http://p:80/")),
            (server, vec![("HTTPS_PROXY", "SOCKS5://u:w@[fd00::1]")], Some("socks5://u:w@[fd00::1]:1080/")),
            (server, vec![("HTTPS_PROXY", "socks5h://p")], Some("socks5://p:1080/")),
            (server, vec![("HTTP_PROXY", "http://p"), ("ALL_PROXY", "http://p")], None),
            ("http://api.example.com", vec![("HTTPS_PROXY", "http://p")], None),
            ("http://api.example.com", vec![("http_proxy", "http://p")], Some("http://p:80/")),
            (server, vec![("HTTPS_PROXY", "http://p"), ("no_proxy", "example.com")], None),
            (server, vec![("HTTPS_PROXY", "http://p"), ("NO_PROXY", "x"), ("no_proxy", "*")], Some("http://p:80/")),
        ] {
            let found = from(server, &variables).unwrap().map(|proxy| proxy.url.to_string());
            assert_eq!(found.as_deref(), url, "{server} with {variables:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_proxy_is_said_without_its_password() {
        for (value, part) in [
            ("ftp://user:hunter2@p", "a proxy with the scheme ftp"),
            ("http://user:hunter2#@p", "HTTPS_PROXY is not a proxy's URL"),
            ("http://user:hun ter2@p", "HTTPS_PROXY is not a proxy's URL"),
            ("http://", "HTTPS_PROXY is not a proxy's URL"),
            ("http://p:hunter2", "HTTPS_PROXY is not a proxy's URL"),
        ] {
            let error = from("https://api.example.com", &[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2") && !error.contains("ter2"), "{value}: {error}");
        }
        for value in ["socks5h://p", "p:3128", "p"] {
            assert!(Proxy::explicit(value).is_err(), "{value}");
        }
        let shown = Proxy::explicit("socks5://user:hunter2@p").unwrap().to_string();
        assert_eq!(shown, "socks5://p:1080 (proxy-url)");
    }
}
