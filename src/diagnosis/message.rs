//! The causes that a node names: containerd's words in the events and the status of a Pod.

use super::Cause;
use crate::products::Model;

/// What a phrase of a message means.
enum Meaning {
    Causes(&'static [Cause]),
    /// The status of the cache's answer. The model of the product has its causes.
    Status(u16),
}

use Meaning::{Causes, Status};

/// Phrases in lower case. The first one in a message applies, so a phrase is before those that occur beside it.
///
/// Sources: `core/remotes/docker` of containerd 2.4 (`resolver.go`, `authorizer.go`, `errcode.go`), `pkg/images` of Kubernetes
/// 1.36, and `net`, `net/http`, `crypto/tls` and `crypto/x509` of Go.
const PHRASES: &[(&str, Meaning)] = &[
    ("x509: certificate signed by unknown authority", Causes(&[Cause::UnknownCa])),
    ("x509: certificate is valid for", Causes(&[Cause::WrongCertificateName])),
    ("x509: certificate is not valid for any names", Causes(&[Cause::WrongCertificateName])),
    ("doesn't contain any ip sans", Causes(&[Cause::WrongCertificateName])),
    ("x509: certificate has expired or is not yet valid", Causes(&[Cause::CertificateTime])),
    ("server gave http response to https client", Causes(&[Cause::PlainHttp])),
    ("first record does not look like a tls handshake", Causes(&[Cause::PlainHttp])),
    ("tls: certificate required", Causes(&[Cause::ClientCertificate])),
    ("tls: bad certificate", Causes(&[Cause::ClientCertificate])),
    ("proxyconnect", Causes(&[Cause::Proxy])),
    ("no such host", Causes(&[Cause::Dns])),
    ("server misbehaving", Causes(&[Cause::Dns])),
    ("temporary failure in name resolution", Causes(&[Cause::Dns])),
    ("connection refused", Causes(&[Cause::ConnectionRefused])),
    ("connection reset by peer", Causes(&[Cause::ConnectionClosed])),
    ("timeout awaiting response headers", Causes(&[Cause::Timeout])),
    ("tls handshake timeout", Causes(&[Cause::Timeout])),
    ("i/o timeout", Causes(&[Cause::Timeout])),
    ("no route to host", Causes(&[Cause::Network])),
    ("network is unreachable", Causes(&[Cause::Network])),
    ("tls: ", Causes(&[Cause::Tls])),
    ("toomanyrequests", Status(429)),
    ("429 too many requests", Status(429)),
    ("no basic auth credentials", Causes(&[Cause::NoCredentials])),
    ("failed to fetch anonymous token", Causes(&[Cause::NoCredentials])),
    // The registry's error code names no image: it is missing, or the credentials are.
    ("pull access denied", Causes(&[Cause::NoCredentials, Cause::Rights, Cause::Path, Cause::Absent])),
    ("insufficient_scope", Causes(&[Cause::Rights, Cause::NoCredentials])),
    ("401 unauthorized", Status(401)),
    ("403 forbidden", Status(403)),
    ("500 internal server error", Status(500)),
    ("502 bad gateway", Status(502)),
    ("503 service unavailable", Status(503)),
    ("504 gateway timeout", Status(504)),
    ("no match for platform in manifest", Causes(&[Cause::PlatformAbsent, Cause::IndexTrimmed])),
    ("unexpected commit digest", Causes(&[Cause::Damaged])),
    ("unexpected commit size", Causes(&[Cause::Damaged])),
    ("context deadline exceeded", Causes(&[Cause::Timeout])),
    ("denied:", Status(403)),
    ("manifest unknown", Status(404)),
    ("name unknown", Status(404)),
    ("404 not found", Status(404)),
    (": not found", Status(404)),
    (": eof", Causes(&[Cause::ConnectionClosed])),
];

/// Returns the causes that the message of a failed pull leaves; none if it names none. The causes of a status are those of the
/// product.
pub fn causes_of_message(model: &Model, message: &str) -> Vec<Cause> {
    let message = message.to_lowercase();
    match PHRASES.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, meaning)| meaning) {
        Some(Causes(causes)) => causes.to_vec(),
        Some(Status(status)) => model.causes(*status).iter().map(|cause| Cause::from(*cause)).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Product;

    /// Messages as kubelets report them.
    #[test]
    fn the_words_of_containerd_name_the_cause() {
        let resolve = r#"failed to pull and unpack image "c.example/hub/app:1": failed to resolve reference "c.example/hub/app:1": "#;
        for (rest, expected) in [
            (
                r#"failed to do request: Head "https://c.example/v2/hub/app/manifests/1": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
                Cause::UnknownCa,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": tls: failed to verify certificate: x509: certificate is valid for a.example, not c.example"#,
                Cause::WrongCertificateName,
            ),
            (
                r#"failed to do request: Head "https://10.0.0.1/v2/": tls: failed to verify certificate: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"#,
                Cause::WrongCertificateName,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-27T10:00:00Z is after 2026-01-01T00:00:00Z"#,
                Cause::CertificateTime,
            ),
            (
                r#"failed to do request: Head "https://c.example:5000/v2/": http: server gave HTTP response to HTTPS client"#,
                Cause::PlainHttp,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": dial tcp: lookup c.example on 10.0.0.10:53: no such host"#,
                Cause::Dns,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": dial tcp 10.0.0.1:443: connect: connection refused"#,
                Cause::ConnectionRefused,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": proxyconnect tcp: dial tcp 10.0.0.2:3128: connect: connection refused"#,
                Cause::Proxy,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": dial tcp 10.0.0.1:443: i/o timeout"#,
                Cause::Timeout,
            ),
            (
                r#"failed to do request: Head "https://c.example/v2/": net/http: timeout awaiting response headers"#,
                Cause::Timeout,
            ),
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://c.example/token: 401 Unauthorized",
                Cause::NoCredentials,
            ),
            (
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                Cause::NoCredentials,
            ),
            (
                "unexpected status from HEAD request to https://c.example/v2/hub/app/manifests/1: 403 Forbidden",
                Cause::Rights,
            ),
            (
                "unexpected status from HEAD request to https://c.example/v2/hub/app/manifests/1: 429 Too Many Requests",
                Cause::UpstreamLimit,
            ),
            ("c.example/hub/app:1: not found", Cause::Absent),
        ] {
            let message = format!("rpc error: code = Unknown desc = {resolve}{rest}");
            let causes = causes_of_message(Model::of(Product::Harbor), &message);
            assert_eq!(causes.first(), Some(&expected), "{rest}: {causes:?}");
        }
        let platform = r#"no match for platform in manifest: not found"#;
        assert_eq!(causes_of_message(Model::of(Product::Harbor), platform)[0], Cause::PlatformAbsent);
        assert_eq!(causes_of_message(Model::of(Product::Harbor), "no space left on device"), []);
    }

    /// As a 404 by another way proves nothing, neither does one that a node reports.
    #[test]
    fn a_404_has_the_causes_of_the_product() {
        for &product in Product::ALL {
            let model = Model::of(product);
            assert_eq!(causes_of_message(model, "x: not found").len(), model.causes(404).len(), "{product:?}");
        }
    }
}
