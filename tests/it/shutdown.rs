//! Shutdown answers every request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::support::client::{self, Client};
use crate::support::load::Load;
use crate::support::process::Server;
use crate::support::{review, until};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_no_request() {
    let mut server = Server::start(&["--drain-delay", "2s"]).await;
    let load = Load::start(server.address, &server.trust, 6);
    until("load", async || load.answered() > 200).await;
    server.signal("TERM");
    until("not ready", async || server.probe("/readyz").await == (503, "shutting down\n".to_owned())).await;
    assert_eq!(server.probe("/livez").await.0, 200);
    // Within the delay, clients learn of the shutdown and connect elsewhere. Until then they are served.
    let before = load.answered();
    sleep(Duration::from_secs(1)).await;
    assert!(load.answered() > before);
    assert_eq!(load.stop().await, Vec::<String>::new());
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn while_draining_http1_answers_close_and_http2_says_goaway() {
    let mut server = Server::start(&["--drain-delay", "3s"]).await;
    let mut http1 = Client::http1(server.address, &server.trust).await.unwrap();
    let mut http2 = Client::http2(server.address, &server.trust).await.unwrap();
    assert!(!http1.admit(review()).await.unwrap().closes());
    assert_eq!(http2.admit(review()).await.unwrap().status, 200);
    server.signal("TERM");
    server.wait_for_log("draining").await;
    let answer = http1.admit(review()).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (200, true));
    until("GOAWAY", async || http2.is_closed()).await;
    // New clients may not know another replica yet.
    for _ in 0..3 {
        let mut late = Client::http2(server.address, &server.trust).await.unwrap();
        assert_eq!(late.admit(review()).await.unwrap().status, 200);
    }
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_idle_connections_end_last() {
    let mut server = Server::start(&[]).await;
    let mut idle = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(idle.admit(review()).await.unwrap().status, 200);
    let mut slow = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let body = review();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    slow.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    slow.write_all(&body[..50]).await.unwrap();
    until("in flight", async || server.metric("pullthrough_admissions_in_flight").await == Some(1.0)).await;
    server.signal("INT");
    server.wait_for_log("no new connections").await;
    sleep(Duration::from_millis(500)).await;
    // An idle connection may still have a request. The API server would not send it again.
    let answer = idle.admit(review()).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (200, true));
    slow.write_all(&body[50..]).await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_end_comes_within_its_bound() {
    let mut server = Server::start(&["--shutdown-timeout", "1s"]).await;
    let mut stuck = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    stuck.write_all(head.as_bytes()).await.unwrap();
    until("in flight", async || server.metric("pullthrough_admissions_in_flight").await == Some(1.0)).await;
    let started = Instant::now();
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
    assert!((900..4000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    until("a line about it", async || server.log().contains("shutdown timeout")).await;
}
