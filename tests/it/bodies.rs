//! Bodies of hostile and of broken clients, sent to the real server.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::{review, until};

#[tokio::test]
async fn whatever_comes_is_answered_and_survived() {
    let mut server = Server::start(&[]).await;
    let nested = "[".repeat(100_000);
    let truncated = &review()[..100];
    let bodies: [(&[u8], u16); 6] = [
        (b"", 400),
        (truncated, 400),
        (b"{\"a\":\"\xff\xfe\"}", 400),
        (nested.as_bytes(), 400),
        (&vec![b' '; 20 * 1024 * 1024], 413),
        (&review(), 200),
    ];
    for (body, expected) in bodies {
        for http2 in [false, true] {
            let mut client = Client::of_version(server.address, &server.trust, http2).await.unwrap();
            assert_eq!(client.is_http2(), http2);
            let answer = client.admit(body.to_vec()).await.unwrap();
            assert_eq!(answer.status, expected, "{}", answer.text());
        }
    }
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    let answer = client.send(Request::post("/mutate").body(Body::from(review())).unwrap()).await.unwrap();
    assert_eq!(answer.status, 415);
    // The server read the rejected body, so the connection is still usable.
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
    assert!(server.is_alive());
}

/// Each is allowed unchanged, or with a patch of images only.
#[tokio::test]
async fn whatever_the_object_it_is_allowed() {
    let mut server = Server::start(&[]).await;
    let container = r#"{"name":"c","image":"registry.k8s.io/c"}"#;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = [
        ("no object", "null".to_owned(), None),
        ("nested", nested, None),
        ("another kind", r#"{"apiVersion":"v1","kind":"Secret","metadata":{},"data":{"a":"b"}}"#.to_owned(), None),
        ("no spec", r#"{"metadata":{"name":"p"}}"#.to_owned(), None),
        ("null lists", r#"{"spec":{"containers":null,"initContainers":null,"volumes":null}}"#.to_owned(), None),
        ("no image", r#"{"spec":{"containers":[{"name":"c"}]}}"#.to_owned(), None),
        ("a key twice", format!(r#"{{"spec":{{"containers":[{container}],"containers":[{container}]}}}}"#), None),
        (
            "fields of the future",
            r#"{"future":[1,{"x":null}],"spec":{"future":{},"containers":[{"future":7,"image":"registry.k8s.io/c"}]}}"#
                .to_owned(),
            Some(json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "cache.example.com/k8s/c"}])),
        ),
    ];
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    for (what, object, expected) in objects {
        let mut review: Value = serde_json::from_slice(&review()).unwrap();
        review["request"]["object"] = json!("OBJECT");
        let body = review.to_string().replace("\"OBJECT\"", &object);
        let answer = client.admit(body.into_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{what}");
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["response"]["allowed"], true, "{what}");
        let patch = answer["response"].get("patch").map(|patch| {
            let patch = BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap();
            serde_json::from_slice::<Value>(&patch).unwrap()
        });
        assert_eq!(patch, expected, "{what}");
    }
    assert!(server.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_by_its_limit() {
    let limit_bytes: usize = 240 << 20;
    let server = Server::start(&["--memory-limit-bytes", &limit_bytes.to_string(), "--body-timeout", "120s"]).await;
    let body = vec![b' '; 12 * 1024 * 1024];
    let clients = (0..40).map(|_| {
        let (address, trust, body) = (server.address, server.trust.clone(), body.clone());
        tokio::spawn(async move {
            let mut client = Client::http1(address, &trust).await.unwrap();
            // When the memory is full, the server rejects or closes the client that holds the most.
            client.admit(body).await.map_or(503, |answer| answer.status)
        })
    });
    for client in clients.collect::<Vec<_>>() {
        let status = client.await.unwrap();
        assert!(status == 400 || status == 503, "{status}");
    }
    let resident_bytes = server.metric("process_resident_memory_bytes").await.unwrap();
    assert!(resident_bytes < limit_bytes as f64, "{resident_bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_reviews_at_once_wait_for_each_other() {
    // The memory has room for about 25 of them.
    let limits = ["--memory-limit-bytes", "146800640", "--max-body-bytes", "1200000", "--body-timeout", "120s"];
    let server = Server::start(&limits).await;
    let review = large_review();
    let clients = (0..60).map(|_| {
        let (address, trust, review) = (server.address, server.trust.clone(), review.clone());
        tokio::spawn(async move {
            let mut client = Client::http1(address, &trust).await.unwrap();
            client.admit(review).await.map(|answer| answer.status)
        })
    });
    for client in clients.collect::<Vec<_>>() {
        assert_eq!(client.await.unwrap().unwrap(), 200);
    }
    assert_eq!(server.metric("pullthrough_shed_total{kind=\"connection\"}").await, Some(0.0));
    assert_eq!(server.metric("pullthrough_shed_total{kind=\"request\"}").await, Some(0.0));
}

/// The kernel drops what does not fit a receive buffer, and the client sends it again after 200 ms or more.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_charged_for_large_bodies_which_do_not_stall() {
    const ALTERNATIONS: usize = 9;
    let server = Server::start(&[]).await;
    let held = async || server.metric("pullthrough_client_memory_bytes{what=\"connections\"}").await.unwrap();
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
    until("the connection is charged", async || held().await > 0.0).await;
    let small = held().await;
    let mut times = Vec::new();
    for _ in 0..ALTERNATIONS {
        let start = Instant::now();
        assert_eq!(client.admit(large_review()).await.unwrap().status, 200);
        times.push(start.elapsed());
        assert_eq!(client.admit(review()).await.unwrap().status, 200);
    }
    times.sort();
    assert!(times[ALTERNATIONS / 2] < Duration::from_millis(200), "{times:?}");
    // The buffer of 16 KiB became one of 128 KiB, and the kernel doubles both.
    let wide = small + 2.0 * 112.0 * 1024.0;
    until("the larger buffer is charged", async || held().await == wide).await;
    drop(client);
    until("the connection is closed", async || held().await == 0.0).await;
}

/// Returns a review of 1 MiB.
fn large_review() -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(&review()).unwrap();
    review["request"]["object"]["metadata"]["annotations"] = json!({"note": "x".repeat(1 << 20)});
    review.to_string().into_bytes()
}

#[test]
fn a_limit_without_room_for_one_request_is_an_error_at_the_start() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args([
            "serve",
            "--cache",
            "cache.example.com/k8s",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
        ])
        .args(["--memory-limit-bytes", "67108864"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("raise the memory limit to ") && error.contains("or lower --max-body-bytes"), "{error}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body() {
    let mut server = Server::start(&[]).await;
    let mut stream = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    until("nothing is in flight", async || {
        server.metric("pullthrough_admissions_in_flight").await == Some(0.0)
            && server.metric("pullthrough_connections").await == Some(0.0)
    })
    .await;
    assert!(server.is_alive());
}

#[tokio::test]
async fn an_expectation_to_send_too_much_is_rejected() {
    let server = Server::start(&[]).await;
    let mut stream = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
                Content-Length: 20971520\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}
