//! Versions of TLS and HTTP, kinds of certificates, client certificates.

use std::process::Command;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
    SanType, date_time_ymd,
};
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::certificates::{Authority, Pair, Trust};
use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::{review, until};

const CACHE: [&str; 2] = ["--cache", "cache.example.com/k8s"];

async fn start(pair: &Pair, trust: Trust, more: &[&str]) -> (Server, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = pair.write(directory.path());
    let mut args = CACHE.to_vec();
    args.extend(["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    args.extend(more);
    (Server::start_with(&args, trust).await, directory)
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http() {
    let server = Server::start(&[]).await;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let versions: &'static [_] = Box::leak(Box::new([version]));
        let trust = server.trust.clone().with_versions(versions);
        for (alpn, http2) in [(&["http/1.1"][..], false), (&["h2"], true), (&["h2", "http/1.1"], true), (&[], false)] {
            let stream = client::tls(server.address, &trust, alpn).await.unwrap();
            let mut client = Client::new(stream).await.unwrap();
            assert_eq!((client.tls_version, client.is_http2()), (Some(expected), http2));
            for _ in 0..3 {
                assert_eq!(client.admit(review()).await.unwrap().status, 200);
            }
        }
    }
}

#[tokio::test]
async fn kinds_of_keys_and_chains() {
    let authority = Authority::new();
    let rsa = || authority.issue_for(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
    let p384 = authority.issue_for(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
    let pairs = [
        authority.issue(),
        authority.issue().with_key_as("EC PRIVATE KEY"),
        p384,
        rsa(),
        rsa().with_key_as("RSA PRIVATE KEY"),
        authority.issue_through_intermediate(),
    ];
    for pair in pairs {
        let (server, _directory) = start(&pair, authority.trust(), &[]).await;
        let mut client = Client::http1(server.address, &server.trust).await.unwrap();
        assert_eq!(client.certificate, pair.leaf_der());
        assert_eq!(client.admit(review()).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn only_clients_of_the_client_ca_may_ask() {
    let (serving, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &clients.pem).unwrap();
    let client_ca = ["--client-ca", ca.path().to_str().unwrap()];
    let (server, _directory) = start(&serving.issue(), serving.trust(), &client_ca).await;

    for rejected in [serving.trust(), serving.trust().with_identity(others.issue())] {
        // In TLS 1.3 a client may send data before it receives the rejection.
        let answer = async { Client::http1(server.address, &rejected).await?.admit(review()).await };
        assert!(answer.await.is_err());
    }
    let accepted = serving.trust().with_identity(clients.issue());
    let mut client = Client::http1(server.address, &accepted).await.unwrap();
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
    server.wait_for_metric("pullthrough_tls_handshake_errors_total", 2.0).await;
}

/// Returns whether each of the client certificates is accepted, in order. Asserts that rejections are counted.
async fn admitted(more: &[&str], clients: &Authority, identities: Vec<Pair>) -> (Server, Vec<bool>) {
    let serving = Authority::new();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &clients.pem).unwrap();
    let args = [&["--client-ca", ca.path().to_str().unwrap(), "--log-level=debug"], more].concat();
    let (server, _directory) = start(&serving.issue(), serving.trust(), &args).await;
    let mut admitted = Vec::new();
    for identity in identities {
        let trust = serving.trust().with_identity(identity);
        let answer = async { Client::http1(server.address, &trust).await?.admit(review()).await };
        admitted.push(answer.await.is_ok_and(|answer| answer.status == 200));
    }
    let rejected = admitted.iter().filter(|admitted| !**admitted).count();
    // The client may learn of it before the server counts it.
    server.wait_for_metric("pullthrough_tls_handshake_errors_total", rejected as f64).await;
    (server, admitted)
}

#[tokio::test]
async fn only_clients_with_one_of_the_names_may_ask() {
    type Change = fn(&mut CertificateParams);
    fn common_name(params: &mut CertificateParams, name: &str) {
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, name);
    }
    fn alternative(params: &mut CertificateParams, name: SanType) {
        common_name(params, "system:node:a");
        params.subject_alt_names.push(name);
    }
    let table: [(Change, bool); 10] = [
        (|params| common_name(params, "api-server"), true),
        (|params| common_name(params, "other"), true),
        (|params| common_name(params, "system:node:a"), false),
        (|params| common_name(params, "api-server.example.com"), false),
        (|params| common_name(params, "API-server"), false),
        (|params| alternative(params, SanType::DnsName("api-server".try_into().unwrap())), true),
        (|params| alternative(params, SanType::URI("spiffe://example.com/api".try_into().unwrap())), true),
        (|params| alternative(params, SanType::Rfc822Name("api@example.com".try_into().unwrap())), true),
        (|params| alternative(params, SanType::DnsName("*".try_into().unwrap())), false),
        (
            |params| {
                common_name(params, "api-server");
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            },
            false,
        ),
    ];
    let clients = Authority::new();
    let identities = table.iter().map(|(change, _)| clients.issue_with(change)).collect();
    let names =
        ["--client-name=api-server,other", "--client-name=spiffe://example.com/api", "--client-name=api@example.com"];
    let (server, admitted) = admitted(&names, &clients, identities).await;
    assert_eq!(admitted, table.map(|(_, expected)| expected));
    let line = server.wait_for_log(r#"is for \"system:node:a\";"#).await;
    assert!(line.contains(r#"--client-name accepts \"api-server\", \"other\", "#), "{line}");
    assert!(!server.log().contains("accepts every client certificate"));
}

#[tokio::test]
async fn without_names_every_client_of_the_client_ca_may_ask() {
    let clients = Authority::new();
    let node = clients.issue_with(|params| params.distinguished_name.push(DnType::CommonName, "system:node:a"));
    let (server, admitted) = admitted(&[], &clients, vec![node, Authority::new().issue()]).await;
    assert_eq!(admitted, [true, false]);
    server.wait_for_log("--client-ca accepts every client certificate of the CA; set --client-name").await;
}

#[tokio::test]
async fn a_certificate_that_no_client_accepts_is_served_and_not_ready() {
    type Change = fn(&mut CertificateParams);
    let table: [(Change, &[&str], &str); 5] = [
        (|params| params.not_after = date_time_ymd(2001, 1, 1), &[], "it expired at 2001-01-01T00:00:00Z; renew it"),
        (
            |params| params.not_before = date_time_ymd(2990, 1, 1),
            &[],
            "it is not valid before 2990-01-01T00:00:00Z; it is loaded when it becomes valid",
        ),
        (|params| params.subject_alt_names.clear(), &[], "it has no subjectAltName; issue one"),
        (
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            &[],
            "it is not for servers: its extended key usage lacks serverAuth; issue one",
        ),
        (|_| {}, &["--tls-name=localhost,pullthrough.pullthrough.svc"], "it is for localhost; issue one"),
    ];
    let authority = Authority::new();
    for (change, more, expected) in table {
        let more = [more, &["--reload-interval=10ms"]].concat();
        let (server, directory) = start(&authority.issue_with(change), authority.trust(), &more).await;
        let (status, text) = server.probe("/readyz").await;
        assert_eq!(status, 503);
        assert!(text.contains(&format!("the serving certificate is not valid: {expected}")), "{text}");
        server.wait_for_log("not ready; the serving certificate is not valid").await;
        let in_order = r#"pullthrough_last_reload_successful{what="certificate"}"#;
        server.wait_for_metric(in_order, 0.0).await;
        let names = ["localhost", "pullthrough.pullthrough.svc"].map(|name| SanType::DnsName(name.try_into().unwrap()));
        authority.issue_with(|params| params.subject_alt_names = names.to_vec()).write(directory.path());
        until("ready", async || server.probe("/readyz").await.0 == 200).await;
        server.wait_for_metric(in_order, 1.0).await;
    }
}

#[test]
fn files_that_can_not_be_served_with_are_named() {
    let authority = Authority::new();
    let (good, other) = (authority.issue(), authority.issue());
    let no_key = "no private key";
    let cases = [
        (good.chain.clone(), other.key.clone(), "is not the private key of the first certificate in"),
        (String::new(), good.key.clone(), "tls.crt: no certificate"),
        (good.key.clone(), good.key.clone(), "tls.crt: no certificate"),
        (good.chain.clone(), good.chain.clone(), no_key),
        (good.chain.clone(), "junk".to_owned(), no_key),
        (good.chain[..200].to_owned(), good.key.clone(), "tls.crt: damaged PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            good.key.clone(),
            "tls.crt: not a certificate that can be used",
        ),
        (
            good.chain.clone(),
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
            "tls.key: not a private key that can be used",
        ),
    ];
    for (chain, key, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = Pair { chain, key }.write(directory.path());
        let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(CACHE)
            .args(["--tls-cert".as_ref(), certificate.as_os_str(), "--tls-key".as_ref(), key.as_os_str()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected), "expected {expected:?} in {text}");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
    }
}
