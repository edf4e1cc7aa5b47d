//! More connections than the memory has room for.

use tokio::net::TcpStream;

use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::{review, until};

/// The memory has room for about 200 connections.
const ARGS: [&str; 4] = ["--memory-limit-bytes", "26214400", "--max-body-bytes", "8192"];

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_least_useful() {
    let server = Server::start(&ARGS).await;
    let mut proven = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(proven.admit(review()).await.unwrap().status, 200);

    // Many more connections than fit: without a handshake, and with one but without a request.
    let mut others = Vec::new();
    for _ in 0..300 {
        others.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(client::tls(server.address, &server.trust, &["http/1.1"]).await.unwrap());
    }
    let mut newcomer = Client::http1(server.address, &server.trust).await.unwrap();
    assert_eq!(newcomer.admit(review()).await.unwrap().status, 200);
    assert_eq!(proven.admit(review()).await.unwrap().status, 200);

    let limit = server.metric("pullthrough_client_memory_limit_bytes{what=\"connections\"}").await.unwrap();
    let held = server.metric("pullthrough_client_memory_bytes{what=\"connections\"}").await.unwrap();
    assert!(held <= limit * 1.125, "{held} of {limit}");
    let shed = server.metric("pullthrough_shed_total{kind=\"connection\"}").await.unwrap();
    assert!(shed >= 300.0, "{shed}");
    drop((others, idle));
    until("the others are gone", async || server.metric("pullthrough_connections").await == Some(2.0)).await;
}
