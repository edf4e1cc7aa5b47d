//! The next steps after `serve` was started by hand.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Args;
use crate::ADMISSION_PATH;
use crate::certificate::ca::Made;
use crate::server::Bound;

/// A review as the API server sends it. It is a dry run, so metrics count it as one.
const REVIEW: &str = concat!(
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"try-it","#,
    r#""kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"#,
    r#""operation":"CREATE","namespace":"default","name":"try-it","dryRun":true,"#,
    r#""object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"try-it"},"#,
    r#""spec":{"containers":[{"name":"pause","image":"registry.k8s.io/pause:3.10"}]}}}}"#
);

pub fn text(args: &Args, made: &Made, bound: &Bound) -> String {
    let url = url(bound);
    let mut text = String::from("\nA certificate was created in memory; it is lost when this process ends.\n");
    if args.client_ca.is_none() {
        let trust = match &args.write_ca {
            Some(path) => format!("--cacert {}", quoted_path(path)),
            None => {
                format!("--insecure --pinnedpubkey 'sha256//{}'", STANDARD.encode(made.public_key_sha256))
            }
        };
        let _ = write!(
            text,
            "\nTry it:\n\n  curl -sS {trust} -H 'Content-Type: application/json' --data-binary '{REVIEW}' {url}\n"
        );
    }
    let rules = match (&args.rules.rules, &args.rules.cache) {
        (Some(path), _) => format!("--rules {}", quoted_path(path)),
        (None, prefix) => format!("--cache {}", quoted(prefix.as_deref().unwrap_or_default())),
    };
    let (note, ca) = match &args.write_ca {
        Some(path) => ("", quoted_path(path)),
        None => (" (restart with --write-ca ca.pem first)", "ca.pem".to_owned()),
    };
    let _ = write!(
        text,
        "\nRegister it with an API server that can connect to this address{note}:\n\n  \
         pullthrough export webhook {rules} --url {url} --ca-file {ca} | kubectl apply -f -\n"
    );
    text
}

/// Returns the URL of the first address that this machine can connect to.
fn url(bound: &Bound) -> String {
    let address = bound.listen.first().copied().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)));
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}{ADMISSION_PATH}", SocketAddr::new(ip, address.port()))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// Returns the word quoted for `sh`; a plain word is unchanged.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_sh() {
        assert_eq!(quoted("/tmp/ca.pem"), "/tmp/ca.pem");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
