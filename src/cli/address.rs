//! Addresses to listen on, as options name them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Returns an address, or what to write instead.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| fix(text.trim()))
}

fn fix(text: &str) -> String {
    const SHAPE: &str = "write IP:PORT, such as `0.0.0.0:PORT` for all addresses, or `127.0.0.1:PORT`";
    let with = |port: &str| SHAPE.replace("PORT`", &format!("{port}`"));
    if let Some((scheme, _)) = text.split_once("://") {
        return format!("addresses have no scheme; remove `{scheme}://`");
    }
    if is_port(text) {
        return with(text);
    }
    // An IPv6 address with a port is one without brackets too.
    if let Some((ip, port)) = text.rsplit_once(':')
        && text.parse::<Ipv6Addr>().is_ok()
        && ip.parse::<Ipv6Addr>().is_ok()
        && port.len() > 3
        && is_port(port)
    {
        return format!("put the IPv6 address in brackets: `[{ip}]:{port}`");
    }
    match text.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => return format!("add a port: `{ip}:PORT`"),
        Ok(IpAddr::V6(ip)) => return format!("add a port: `[{ip}]:PORT`"),
        Err(_) => {}
    }
    let Some((host, port)) = text.rsplit_once(':') else { return SHAPE.to_owned() };
    match host {
        _ if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !is_port(port) => {
            format!("`{port}` is not a port; write a number up to 65535")
        }
        _ if !is_port(port) => SHAPE.to_owned(),
        "" | "*" => with(port),
        "localhost" => format!("`localhost` is not an IP address; write `127.0.0.1:{port}`"),
        _ => format!("`{host}` is not an IP address; {}", with(port)),
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
}
