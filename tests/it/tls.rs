//! Versions of TLS and HTTP, kinds of certificates, client certificates.

use std::process::Command;

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::certificates::{Authority, Pair, Trust};
use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::review;

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

    for refused in [serving.trust(), serving.trust().with_identity(others.issue())] {
        // TLS 1.3 lets a client begin before it hears that it is refused.
        let answer = async { Client::http1(server.address, &refused).await?.admit(review()).await };
        assert!(answer.await.is_err());
    }
    let accepted = serving.trust().with_identity(clients.issue());
    let mut client = Client::http1(server.address, &accepted).await.unwrap();
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
    server.wait_for_metric("pullthrough_tls_handshake_errors_total", 2.0).await;
}

#[test]
fn files_that_can_not_be_served_with_are_named() {
    let authority = Authority::new();
    let (good, other) = (authority.issue(), authority.issue());
    let no_key = "holds no private key";
    let cases = [
        (good.chain.clone(), other.key.clone(), "is not the private key of the first certificate in"),
        (String::new(), good.key.clone(), "tls.crt: holds no certificate"),
        (good.key.clone(), good.key.clone(), "tls.crt: holds no certificate"),
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
