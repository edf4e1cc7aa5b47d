//! Registries that mean harm, or are broken.

use std::time::Duration;

use pullthrough::registry::{Content, Credentials, Digest, Invalid, MAX_MANIFEST_BYTES, Outcome, Unreachable};

use super::content::{INDEX, descriptor};
use super::server::{Server, answer, client, client_of, name};

/// Settings of a server that is asked with plain HTTP at once.
fn plain() -> pullthrough::registry::HostSettings {
    pullthrough::registry::HostSettings { is_plain_http: true, ..Default::default() }
}

#[tokio::test]
async fn bodies_without_end_are_bounded() {
    const CHUNK: &[u8] = &[b'a'; 1 << 16];
    const CHUNKED: &[u8] = b"1000\r\n................................................................";
    for (head, more) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", CHUNK),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", CHUNK),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CHUNKED),
    ] {
        let server = Server::endless(head, more, Duration::ZERO).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let client = client_of(&server.host(), plain(), Credentials::Anonymous);
        let answer = client.manifest(&repository, &tag).await;
        match &answer.outcome {
            Outcome::Invalid(Invalid::TooLarge { limit_bytes }) => assert_eq!(*limit_bytes, MAX_MANIFEST_BYTES as u64),
            Outcome::Invalid(Invalid::NotHttp { .. }) if more == CHUNKED => {}
            Outcome::Unreachable(Unreachable::Network { .. }) if more == CHUNKED => {}
            other => panic!("{other:?}"),
        }
        let blob = client.blob(&repository, &descriptor(&Digest::of(b""), 1000), &|_| {}).await;
        if more == CHUNK {
            assert_eq!(blob.outcome, Outcome::Invalid(Invalid::TooLarge { limit_bytes: 1000 }));
        }
    }
}

#[tokio::test]
async fn an_error_without_end_is_cut() {
    let server = Server::endless("HTTP/1.1 403 Forbidden\r\n\r\n", &[b'a'; 1 << 16], Duration::ZERO).await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client_of(&server.host(), plain(), Credentials::Anonymous).manifest(&repository, &tag).await;
    assert!(matches!(answer.outcome, Outcome::Denied(_)), "{answer:?}");
    assert_eq!(answer.trace.page.unwrap().chars().count(), 301);
}

#[tokio::test]
async fn headers_without_end_are_bounded() {
    const LARGE: &[u8] = &[b'a'; 1 << 16];
    for (head, more) in [("HTTP/1.1 200 OK\r\n", super::server::HEADERS), ("HTTP/1.1 200 OK\r\nx: ", LARGE)] {
        let server = Server::endless(head, more, Duration::ZERO).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client_of(&server.host(), plain(), Credentials::Anonymous).manifest(&repository, &tag).await;
        assert!(matches!(answer.outcome, Outcome::Invalid(Invalid::HeadersTooLarge { .. })), "{answer:?}");
    }
    // Interim responses come before the one that is waited for.
    let server = Server::endless("", b"HTTP/1.1 102 Processing\r\n\r\n", Duration::from_millis(1)).await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let start = std::time::Instant::now();
    let answer = client_of(&server.host(), plain(), Credentials::Anonymous).manifest(&repository, &tag).await;
    assert!(matches!(answer.outcome, Outcome::Unreachable(Unreachable::Timeout { .. })), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn content_with_another_digest_is_not_served() {
    let (right, wrong) = (Digest::of(b"right"), Digest::of(b"wrong"));
    let of_header = right.to_string();
    let server = Server::plain(move |seen| {
        let headers = [("docker-content-digest", &*of_header)];
        answer(200, if seen.path.ends_with("/tag") { &headers } else { &[] }, "wrong")
    })
    .await;
    let client = client(Credentials::Anonymous);
    let mismatch = Invalid::WrongDigest { expected: right.clone(), found: wrong.clone() };
    for reference in ["app:tag".to_owned(), format!("app@{right}"), format!("app:tag@{right}")] {
        let (repository, reference) = name(&format!("{}/{reference}", server.host()));
        let answer = client.manifest(&repository, &reference).await;
        assert_eq!(answer.outcome, Outcome::Invalid(mismatch.clone()), "{reference}");
    }
    let (repository, by_digest) = name(&format!("{}/app@{wrong}", server.host()));
    let blob = client.blob(&repository, &descriptor(&right, 5), &|_| {}).await;
    assert_eq!(blob.outcome, Outcome::Invalid(mismatch));
    let longer = Invalid::Truncated { expected_bytes: 6, found_bytes: 5 };
    assert_eq!(client.blob(&repository, &descriptor(&wrong, 6), &|_| {}).await.outcome, Outcome::Invalid(longer));
    let shorter = Invalid::TooLarge { limit_bytes: 4 };
    assert_eq!(client.blob(&repository, &descriptor(&wrong, 4), &|_| {}).await.outcome, Outcome::Invalid(shorter));
    assert!(client.blob(&repository, &descriptor(&wrong, 5), &|_| {}).await.served().is_some());
    let outcome = client.manifest(&repository, &by_digest).await.outcome;
    assert!(matches!(outcome, Outcome::Invalid(Invalid::Manifest { .. })), "{outcome:?}");

    let of_header = wrong.to_string();
    let server = Server::plain(move |_| answer(200, &[("docker-content-digest", &of_header)], "")).await;
    let (repository, reference) = name(&format!("{}/app@{right}", server.host()));
    let head = client.head(&repository, &reference).await;
    assert_eq!(head.outcome, Outcome::Invalid(Invalid::WrongDigest { expected: right, found: wrong }));
}

#[tokio::test]
async fn a_page_is_no_manifest() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, part) in [("<html>Log in</html>".to_owned(), "not JSON"), ("{}".to_owned(), "neither"), (deep, "not")] {
        let server = Server::plain(move |_| answer(200, &[("content-type", "text/html")], body.clone())).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        let Outcome::Invalid(Invalid::Manifest { reason }) = answer.outcome else { panic!("{answer:?}") };
        assert!(reason.contains(part), "{reason}");
    }
}

#[tokio::test]
async fn compressed_bodies_are_not_read() {
    for encoding in ["gzip", "zstd", "br"] {
        let server = Server::plain(move |_| answer(200, &[("content-encoding", encoding)], "...")).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        assert_eq!(answer.outcome, Outcome::Invalid(Invalid::Compressed(encoding.to_owned())));
    }
}

#[tokio::test]
async fn an_index_may_be_as_large_as_a_manifest_may_be() {
    let child = serde_json::json!({"mediaType": "m", "digest": Digest::of(b"").as_str(), "size": 1});
    let index =
        |count: usize| serde_json::json!({"mediaType": INDEX, "manifests": vec![child.clone(); count]}).to_string();
    for (text, is_served) in [(index(30_000), true), (index(60_000), false)] {
        let server = Server::plain(move |_| answer(200, &[], text.clone())).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        match (&answer.outcome, is_served) {
            (Outcome::Served(manifest), true) => {
                assert!(matches!(&manifest.content, Content::Index(children) if children.len() == 30_000));
            }
            (Outcome::Invalid(Invalid::TooLarge { .. }), false) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    let server = Server::raw(|mut stream| async move {
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n").await);
        super::server::read_head(&mut stream).await;
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client_of(&server.host(), plain(), Credentials::Anonymous).manifest(&repository, &tag).await;
    assert!(matches!(answer.outcome, Outcome::Invalid(Invalid::NotHttp { .. })), "{answer:?}");
    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert!(matches!(answer.outcome, Outcome::Unreachable(Unreachable::Tls { .. })), "{answer:?}");
}
