use std::time::Duration;

use pullthrough::registry::{
    Client, Credentials, HostSettings, InvalidSettings, Outcome, Phase, Settings, Timeouts, TlsFault, Unreachable,
};
use rcgen::date_time_ymd;

use super::content::Store;
use super::proxy::ProxyKind;
use super::server::{Ca, Server, acceptor, answer, client, client_of, name, proxy, read_head, settings, trusting};

#[tokio::test]
async fn a_custom_ca_is_trusted_for_its_host() {
    let (ca, store) = (Ca::new(), Store::new());
    let server = Server::tls(ca.acceptor(&["127.0.0.1", "localhost"]), move |seen| store.answer(seen)).await;
    let client = client_of(&server.host(), trusting(&ca), Credentials::Anonymous);
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    assert!(client.manifest(&repository, &tag).await.served().is_some());
    let (repository, tag) = name(&format!("{}/app:1", server.at("localhost")));
    let answer = client.manifest(&repository, &tag).await;
    let fault = TlsFault::UnknownCa;
    assert_eq!(answer.outcome, Outcome::Unreachable(Unreachable::Tls { host: server.at("localhost"), fault }));
}

#[tokio::test]
async fn faults_of_certificates_are_told_apart() {
    let (ca, other) = (Ca::new(), Ca::new());
    let right = ca.issue(&["127.0.0.1"], |_| {});
    let wrong_name = ca.issue(&["harbor.example.com", "10.0.0.1"], |_| {});
    let expired = ca.issue(&["127.0.0.1"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = ca.issue(&["127.0.0.1"], |params| params.not_before = date_time_ymd(2090, 1, 1));
    let names = vec!["harbor.example.com".to_owned(), "10.0.0.1".to_owned()];
    for (certificate, trusted, fault) in [
        (&right, &ca, None),
        (&right, &other, Some(TlsFault::UnknownCa)),
        (&wrong_name, &ca, Some(TlsFault::WrongName { names })),
        (&expired, &ca, Some(TlsFault::Expired)),
        (&early, &ca, Some(TlsFault::NotYetValid)),
    ] {
        let server = Server::tls(acceptor(certificate, None), |_| answer(404, &[], "")).await;
        let client = client_of(&server.host(), trusting(trusted), Credentials::Anonymous);
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client.manifest(&repository, &tag).await;
        let expected = match fault {
            None => Outcome::Missing,
            Some(fault) => Outcome::Unreachable(Unreachable::Tls { host: server.host(), fault }),
        };
        assert_eq!(answer.outcome, expected);
        // None of them passes.
        assert_eq!(answer.trace.requests, 1);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_registry_alone() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let storage =
        Server::tls(acceptor(&ca.issue(&["127.0.0.1"], |_| {}), Some(&clients)), |_| answer(404, &[], "")).await;
    let location = format!("https://{}/", storage.host());
    let server =
        Server::tls(acceptor(&ca.issue(&["127.0.0.1"], |_| {}), Some(&clients)), move |seen| match &*seen.path {
            "/v2/app/manifests/elsewhere" => answer(302, &[("location", &location)], ""),
            _ => answer(404, &[], ""),
        })
        .await;
    let fault = |answer: Outcome<_>| {
        matches!(answer, Outcome::Unreachable(Unreachable::Tls { fault: TlsFault::ClientCertificate { .. }, .. }))
    };
    let ask = async |client_certificate, tag: &str| {
        let one = HostSettings { client_certificate, ..trusting(&ca) };
        let (repository, tag) = name(&format!("{}/app:{tag}", server.host()));
        client_of(&server.host(), one, Credentials::Anonymous).manifest(&repository, &tag).await.outcome
    };
    assert_eq!(ask(Some(clients.issue(&["jane"], |_| {})), "1").await, Outcome::Missing);
    assert!(fault(ask(None, "1").await));
    assert!(fault(ask(Some(ca.issue(&["jane"], |_| {})), "1").await));
    assert!(fault(ask(Some(clients.issue(&["jane"], |_| {})), "elsewhere").await));
    assert_eq!(storage.seen().len(), 0);
}

#[test]
fn unusable_files_are_named() {
    let ca = Ca::new();
    let certificate = ca.issue(&["jane"], |_| {});
    let with_key = |key: &[u8]| {
        let mut certificate = certificate.clone();
        certificate.key_pem = key.to_owned();
        HostSettings { client_certificate: Some(certificate), ..HostSettings::default() }
    };
    let with_ca = |pem: &[u8]| HostSettings { ca_pem: Some(pem.to_owned()), ..HostSettings::default() };
    for (one, is_ca) in [
        (with_ca(b""), true),
        (with_ca(b"-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"), true),
        (with_ca(b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"), true),
        (with_key(b"hunter2"), false),
        (with_key(&ca.issue(&["x"], |_| {}).key_pem), false),
    ] {
        let settings = Settings { hosts: [("r.example".to_owned(), one)].into(), ..settings() };
        let error = Client::new(settings, Credentials::Anonymous).unwrap_err();
        assert_eq!(matches!(error, InvalidSettings::Ca { .. }), is_ca, "{error}");
        assert!(
            error.to_string().contains("r.example") && !format!("{error} {error:?}").contains("hunter2"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn plain_http_is_for_loopback_or_where_it_is_asked_for() {
    let store = Store::new();
    let server = Server::plain(move |seen| store.answer(seen)).await;
    let proxy = proxy(ProxyKind::Http, None);
    let registry = server.at("registry.example.com");
    let (repository, tag) = name(&format!("{registry}/app:1"));
    let ask = async |is_plain_http| {
        let one = HostSettings { is_plain_http, ..HostSettings::default() };
        let settings = Settings {
            hosts: [(registry.clone(), one)].into(),
            proxies: [("HTTPS_PROXY", &*proxy.url("")), ("HTTP_PROXY", &proxy.url(""))].into(),
            ..settings()
        };
        Client::new(settings, Credentials::Anonymous).unwrap().manifest(&repository, &tag).await
    };
    let (host, fault) = (registry.clone(), TlsFault::PlainHttp);
    assert_eq!(ask(false).await.outcome, Outcome::Unreachable(Unreachable::Tls { host, fault }));
    assert_eq!(server.seen().len(), 0);
    let answer = ask(true).await;
    assert!(answer.served().is_some(), "{answer:?}");
}

#[tokio::test]
async fn proxies_lead_to_the_registry() {
    let (ca, store) = (Ca::new(), Store::new());
    let server = Server::tls(ca.acceptor(&["registry.example.com"]), move |seen| store.answer(seen)).await;
    let registry = server.at("registry.example.com");
    let (repository, tag) = name(&format!("{registry}/app:1"));
    let ask = async |proxy: &str, exceptions: &str| {
        let settings = Settings {
            hosts: [(registry.clone(), trusting(&ca))].into(),
            proxies: [("HTTPS_PROXY", proxy), ("NO_PROXY", exceptions)].into(),
            ..settings()
        };
        let client = Client::new(settings, Credentials::Anonymous).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
        client.manifest(&repository, &tag).await
    };
    for kind in [ProxyKind::Http, ProxyKind::Socks5] {
        for credentials in [None, Some(("jane", "hunter2"))] {
            let proxy = proxy(kind, credentials);
            let prefix = credentials.map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
            let answer = ask(&proxy.url(&prefix), "").await;
            assert!(answer.served().is_some(), "{kind:?} {answer:?}");
            assert_eq!(proxy.tunnels(), 1);
            if credentials.is_some() {
                let answer = ask(&proxy.url("jane:hunter3@"), "").await;
                let Outcome::Unreachable(Unreachable::Proxy { reason, .. }) = &answer.outcome else {
                    panic!("{answer:?}")
                };
                assert!(kind == ProxyKind::Socks5 || reason.contains("407"), "{reason}");
                assert!(!format!("{answer:?}").contains("hunter3"));
            }
        }
    }
    // The test's HTTPS proxy has a certificate that this machine does not trust.
    let proxy = proxy(ProxyKind::Https, None);
    let answer = ask(&proxy.url(""), "").await;
    let Outcome::Unreachable(Unreachable::Proxy { reason, .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert!(reason.contains("no trusted CA"), "{reason}");

    let answer = ask("ftp://jane:hunter2@proxy.example", "").await;
    let Outcome::Unreachable(Unreachable::Proxy { reason, .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert!(reason.contains("scheme ftp") && !reason.contains("hunter2"), "{reason}");

    let answer = ask("http://127.0.0.1:1", "").await;
    let Outcome::Unreachable(Unreachable::Proxy { proxy, reason, .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert_eq!(proxy, "http://127.0.0.1:1");
    assert!(reason.contains("refused"), "{reason}");

    // Without the proxy, the name leads nowhere.
    let answer = ask("http://127.0.0.1:1", "example.com").await;
    assert!(
        matches!(answer.outcome, Outcome::Unreachable(Unreachable::Dns { .. } | Unreachable::Timeout { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_answers_without_end_is_given_up() {
    let proxy = Server::endless("HTTP/1.1 200 OK\r\n", super::server::HEADERS, Duration::ZERO).await;
    let settings = Settings { proxies: [("HTTPS_PROXY", &*format!("http://{}", proxy.host()))].into(), ..settings() };
    let (repository, tag) = name("registry.example.com/app:1");
    let answer = Client::new(settings, Credentials::Anonymous).unwrap().manifest(&repository, &tag).await;
    let Outcome::Unreachable(Unreachable::Proxy { reason, .. }) = &answer.outcome else { panic!("{answer:?}") };
    assert!(reason.contains("too large"), "{reason}");
}

fn impatient() -> Settings {
    let millis = Duration::from_millis;
    let timeouts = Timeouts { connect: millis(300), headers: millis(300), stall: millis(300), total: millis(2000) };
    Settings { timeouts, ..settings() }
}

#[tokio::test]
async fn each_phase_has_a_timeout() {
    // No TLS handshake, no header, no body.
    let silent = Server::raw(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", silent.host()));
    let client = |is_plain_http, host: String| {
        let one = HostSettings { is_plain_http, ..HostSettings::default() };
        Client::new(Settings { hosts: [(host, one)].into(), ..impatient() }, Credentials::Anonymous).unwrap()
    };
    for (is_plain, expected) in [(false, Phase::Tls), (true, Phase::Headers)] {
        let answer = client(is_plain, silent.host()).manifest(&repository, &tag).await;
        assert!(
            matches!(&answer.outcome, Outcome::Unreachable(Unreachable::Timeout { phase, .. }) if *phase == expected),
            "{answer:?}"
        );
        assert_eq!(answer.trace.requests, 1);
    }
    let stalled = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await);
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    // It sends a byte now and then, so that no single wait is long.
    let slow =
        Server::endless("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x", Duration::from_millis(50)).await;
    for server in [stalled, slow] {
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let start = std::time::Instant::now();
        let answer = client(true, server.host()).manifest(&repository, &tag).await;
        assert!(
            matches!(answer.outcome, Outcome::Unreachable(Unreachable::Timeout { phase: Phase::Body, .. })),
            "{answer:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn an_answer_has_a_deadline_with_its_retries() {
    let server = Server::plain(|_| answer(503, &[("retry-after", "1")], "")).await;
    let timeouts = Timeouts { total: Duration::from_millis(1500), ..settings().timeouts };
    let client = Client::new(Settings { timeouts, ..settings() }, Credentials::Anonymous).unwrap();
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client.manifest(&repository, &tag).await;
    assert!(
        matches!(answer.outcome, Outcome::Unreachable(Unreachable::Timeout { phase: Phase::Total, .. })),
        "{answer:?}"
    );
    assert_eq!((server.seen().len(), answer.trace.status), (2, Some(503)));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_failure_of_dns() {
    let (repository, tag) = name("registry.invalid/app:1");
    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert!(matches!(answer.outcome, Outcome::Unreachable(Unreachable::Dns { .. })), "{answer:?}");
}
