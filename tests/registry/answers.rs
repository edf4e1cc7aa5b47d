use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pullthrough::registry::{
    Client, Credentials, Denied, Digest, Outcome, RateLimit, Reference, RegistryError, Retries, Settings, Unreachable,
};

use super::content::{INDEX, Store, children, parts};
use super::server::{Server, answer, client, error, name, settings};

#[tokio::test]
async fn an_image_is_read_from_its_tag_to_its_layers() {
    let store = Store::new();
    let index = store.index.clone().unwrap();
    let server = Server::plain(move |seen| store.answer(seen)).await;
    let client = client(Credentials::Anonymous);
    let (repository, tag) = name(&format!("{}/team/app:1", server.host()));

    assert_eq!(client.ping(&repository).await.outcome, Outcome::Served(()));
    let head = client.head(&repository, &tag).await;
    let head = head.served().unwrap();
    assert_eq!((head.digest.as_ref(), head.media_type.as_deref()), (Some(&index), Some(INDEX)));

    let answer = client.manifest(&repository, &tag).await;
    let manifest = answer.served().unwrap();
    assert_eq!((&manifest.digest, &*manifest.media_type), (&index, INDEX));
    assert_eq!(head.size_bytes, Some(manifest.bytes.len() as u64));
    let platforms: Vec<String> = manifest.platforms().iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8"]);
    assert!(children(manifest)[2].is_attestation());

    let read = AtomicU64::new(0);
    let mut expected = 0;
    for child in children(manifest) {
        let image = client.manifest(&repository, &Reference::Digest(child.digest.clone())).await;
        let (config, layers) = parts(image.served().unwrap());
        let platform = client.platform(&repository, config).await;
        if let Some(of_index) = child.platform.as_ref().filter(|_| !child.is_attestation()) {
            assert_eq!(platform.served(), Some(of_index));
        }
        for layer in layers {
            let head = client.head_blob(&repository, layer).await;
            assert_eq!(head.served().and_then(|head| head.size_bytes), Some(layer.size_bytes));
            let count = |bytes| {
                read.fetch_add(bytes, Ordering::Relaxed);
            };
            let blob = client.blob(&repository, layer, &count).await;
            assert_eq!(blob.served().unwrap().size_bytes, layer.size_bytes);
            expected += layer.size_bytes;
        }
    }
    assert_eq!((read.into_inner(), expected), (100_002, 100_002));
    // One connection that tried TLS, and one for all requests.
    assert_eq!(server.connections(), 2);
    assert!(server.seen().iter().all(|seen| seen.headers["accept-encoding"] == "identity"));
}

#[tokio::test]
async fn statuses_are_outcomes_with_what_the_registry_says() {
    for (status, code, expected) in [
        (404, "MANIFEST_UNKNOWN", Outcome::Missing),
        (404, "NAME_UNKNOWN", Outcome::Missing),
        (401, "UNAUTHORIZED", Outcome::Denied(Denied::Registry)),
        (403, "DENIED", Outcome::Denied(Denied::Registry)),
        (429, "TOOMANYREQUESTS", Outcome::RateLimited),
        (500, "UNKNOWN", Outcome::Other),
        (503, "UNAVAILABLE", Outcome::Other),
        (400, "NAME_INVALID", Outcome::Other),
        (418, "TEAPOT", Outcome::Other),
    ] {
        let server = Server::plain(move |_| error(status, code, "the\u{1b}[31m message")).await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        assert_eq!(answer.outcome, expected);
        assert_eq!(answer.trace.status, Some(status));
        let error = RegistryError { code: code.to_owned(), message: "the\u{fffd}[31m message".to_owned() };
        assert_eq!(answer.trace.errors, [error]);
        assert_eq!((answer.trace.host, answer.trace.credential), (Some(server.host()), None));
        let attempts = if matches!(status, 429 | 500 | 503) { 3 } else { 1 };
        assert_eq!(server.lines(), vec!["GET /v2/app/manifests/1"; attempts], "{status}");
    }
}

#[tokio::test]
async fn headers_beside_the_answer_are_seen() {
    let headers = [
        ("warning", "299 - \"this tag is going away\""),
        ("warning", "299 - \"this tag is going away\""),
        ("ratelimit-limit", "100;w=21600"),
        ("ratelimit-remaining", "76;w=21600"),
        ("retry-after", "3600"),
    ];
    let server = Server::plain(move |_| answer(429, &headers, "<html>Blocked by the proxy</html>")).await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert_eq!(answer.outcome, Outcome::RateLimited);
    assert_eq!(answer.trace.warnings, ["this tag is going away"]);
    let limit = RateLimit { limit: Some(100), remaining: Some(76), window_secs: Some(21_600) };
    assert_eq!(answer.trace.rate_limit, Some(limit));
    assert_eq!(answer.trace.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(answer.trace.page.as_deref(), Some("<html>Blocked by the proxy</html>"));
    // An hour is longer than a client waits.
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn failures_that_can_pass_are_retried() {
    let store = Store::new();
    for (retry_after, least) in [(None, 0), (Some("1"), 1), (Some("0"), 0), (Some("Thu, 01 Jan 1970 00:00:00 GMT"), 0)]
    {
        let (store, count) = (store.clone(), AtomicUsize::new(0));
        let server = Server::plain(move |seen| match count.fetch_add(1, Ordering::Relaxed) {
            0 => answer(503, &retry_after.map(|value| [("retry-after", value)]).unwrap_or([("x", "y")]), ""),
            _ => store.answer(seen),
        })
        .await;
        let (repository, tag) = name(&format!("{}/app:1", server.host()));
        let start = std::time::Instant::now();
        let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
        assert!(answer.served().is_some(), "{answer:?}");
        // The connection attempt with TLS counts too.
        assert_eq!((server.seen().len(), answer.trace.requests), (2, 3));
        assert!(start.elapsed() >= Duration::from_secs(least));
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_an_error() {
    // Each connection serves one request, and says nothing about its end.
    let server = Server::raw(|mut stream| async move {
        super::server::read_head(&mut stream).await;
        let response = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        drop(tokio::io::AsyncWriteExt::write_all(&mut stream, response.as_bytes()).await);
    })
    .await;
    let retries = Retries { attempts: 1, ..settings().retries };
    let client = Client::new(Settings { retries, ..settings() }, Credentials::Anonymous).unwrap();
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    for _ in 0..5 {
        assert_eq!(client.manifest(&repository, &tag).await.outcome, Outcome::Missing);
    }
}

#[tokio::test]
async fn a_blob_is_read_again_after_a_reset() {
    let body = vec![7; 1 << 20];
    let digest = Digest::of(&body);
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let server = Server::raw(move |mut stream| {
        let (body, count) = (body.clone(), std::sync::Arc::clone(&count));
        async move {
            let mut head = [0; 4096];
            let length = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap_or_default();
            if !head[..length].starts_with(b"GET") {
                // The handshake.
                drop(tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
                return;
            }
            let sent = if count.fetch_add(1, Ordering::Relaxed) == 0 { 1000 } else { body.len() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await);
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, &body[..sent]).await);
        }
    })
    .await;
    let (repository, _) = name(&format!("{}/app", server.host()));
    let blob = super::content::descriptor(&digest, 1 << 20);
    let answer = client(Credentials::Anonymous).blob(&repository, &blob, &|_| {}).await;
    assert_eq!(answer.served().map(|blob| blob.size_bytes), Some(1 << 20), "{answer:?}");
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn head_falls_back_to_get_where_it_is_not_supported() {
    let store = Store::new();
    let server = Server::plain(move |seen| match seen.method.as_str() {
        "HEAD" => answer(405, &[], ""),
        _ => store.answer(seen),
    })
    .await;
    let (repository, tag) = name(&format!("{}/app:1", server.host()));
    let answer = client(Credentials::Anonymous).head(&repository, &tag).await;
    assert!(answer.served().is_some(), "{answer:?}");
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"]);
}

#[tokio::test]
async fn a_challenge_is_a_good_answer_to_ping() {
    for (status, headers, up) in [
        (200, vec![], true),
        (401, vec![("www-authenticate", "Bearer realm=\"https://auth.example/token\"")], true),
        (401, vec![("www-authenticate", "Basic realm=x")], true),
        (401, vec![], false),
        (403, vec![], false),
        (404, vec![], false),
    ] {
        let server = Server::plain(move |_| answer(status, &headers, "")).await;
        let (repository, _) = name(&format!("{}/app", server.host()));
        let answer = client(super::server::logins(&[(&server.host(), "u", "p")])).ping(&repository).await;
        assert_eq!(answer.served().is_some(), up, "{status}");
        assert_eq!(server.seen()[0].authorization, None);
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_is_gone() {
    let server = Server::plain(|_| answer(200, &[], "")).await;
    let host = server.host();
    drop(server);
    let (repository, tag) = name(&format!("{host}/app:1"));
    let answer = client(Credentials::Anonymous).manifest(&repository, &tag).await;
    assert_eq!(answer.outcome, Outcome::Unreachable(Unreachable::Refused { host }));
    assert_eq!((answer.trace.requests, answer.trace.status), (3, None));
}
