//! A slow client costs a connection, and does not slow down other clients.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::{review, until};

const HEAD: &str = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

async fn assert_served(server: &Server) {
    let mut client = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(client.admit(review()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_handshake_that_never_ends() {
    let server = Server::start(&["--handshake-timeout", "1s"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[22, 3, 1]).await.unwrap();
    assert_served(&server).await;
    let started = Instant::now();
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap_or(0), 0);
    assert!(started.elapsed() < Duration::from_secs(5));
    server.wait_for_metric("pullthrough_tls_handshake_errors_total", 1.0).await;
}

#[tokio::test]
async fn a_header_byte_by_byte() {
    let server = Server::start(&["--header-timeout", "1s"]).await;
    let mut stream = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let started = Instant::now();
    let dribble = async {
        for byte in HEAD.bytes().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let others = async {
        while started.elapsed() < Duration::from_millis(900) {
            assert_served(&server).await;
        }
    };
    tokio::join!(dribble, others);
    assert!((900..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_that_stops() {
    let server = Server::start(&["--body-timeout", "1s"]).await;
    let mut stream = client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap();
    let started = Instant::now();
    stream.write_all(format!("{HEAD}Content-Length: 500\r\n\r\n{{").as_bytes()).await.unwrap();
    assert_served(&server).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with("timeout: the body did not arrive within 1 s\n"), "{answer}");
    assert!((900..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_and_ends_at_its_own() {
    let timeouts = ["--header-timeout", "1s", "--idle-timeout", "3s"];
    let server = Server::start(&timeouts).await;
    // One has sent a request, the other none yet. Go's client keeps such connections.
    let mut used = Client::http1(server.address, &server.trust).await.unwrap();
    let mut fresh = Client::http1(server.address, &server.trust).await.unwrap();
    let mut http2 = Client::http2(server.address, &server.trust).await.unwrap();
    assert_eq!(used.admit(review()).await.unwrap().status, 200);
    assert_eq!(http2.admit(review()).await.unwrap().status, 200);
    sleep(Duration::from_secs(2)).await;
    for client in [&mut used, &mut fresh, &mut http2] {
        assert_eq!(client.admit(review()).await.unwrap().status, 200);
    }
    let started = Instant::now();
    until("idle connections end", async || used.is_closed() && fresh.is_closed() && http2.is_closed()).await;
    assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
}
