//! Too many connections.

use crate::support::client::{self, Client};
use crate::support::process::Server;
use crate::support::{review, until};

#[tokio::test]
async fn beyond_the_limit_connections_are_told_then_closed() {
    let server = Server::start(&["--max-connections", "2"]).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = Client::http1(server.address, &server.trust).await.unwrap();
        assert_eq!(client.admit(review()).await.unwrap().status, 200);
        kept.push(client);
    }
    let mut third = Client::http1(server.address, &server.trust).await.unwrap();
    let answer = third.admit(review()).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (503, true));
    assert_eq!(answer.text(), "too many connections; the limit is 2\n");

    // As many as are told, held open: the next is closed at once.
    let mut told = Vec::new();
    let closed_at_once = loop {
        match client::tls(server.address, &server.trust, &["http/1.1"]).await {
            Ok(stream) => told.push(stream),
            Err(error) => break error,
        }
        assert!(told.len() < 1000, "not bounded");
    };
    assert!(told.len() >= 64, "{} connections, then {closed_at_once}", told.len());

    drop((kept, told));
    until("there is room again", async || match Client::http1(server.address, &server.trust).await {
        Ok(mut client) => client.admit(review()).await.is_ok_and(|answer| answer.status == 200),
        Err(_) => false,
    })
    .await;
}
