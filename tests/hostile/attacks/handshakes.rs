//! TLS: handshakes that do not end, are large, or are many, and requests within TLS.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::ground::Ground;
use crate::tls::{self, Alpn};

const RECORD_BYTES: usize = 16_384;
const LARGE_BYTES: usize = 60_000;

/// Sends half of a ClientHello, and the rest byte by byte.
pub async fn partial(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let hello = client_hello(&ground);
        let (first, rest) = hello.split_at(hello.len() / 2);
        let mut stream = ground.tcp(ground.address).await?;
        ground.send(&mut stream, first).await?;
        for byte in rest {
            sleep(Duration::from_millis(300)).await;
            ground.send(&mut stream, &[*byte]).await?;
        }
        ground.hold(stream).await
    };
    ground.swarm(2000, client).await;
}

fn client_hello(ground: &Ground) -> Vec<u8> {
    let mut hello = Vec::new();
    if let Ok(mut client) = rustls::ClientConnection::new(ground.peers.full(), tls::name()) {
        let _ = client.write_tls(&mut hello);
    }
    hello
}

/// Sends one handshake message in several records, without its end.
pub async fn large(ground: Arc<Ground>) {
    let mut message = vec![1];
    message.extend_from_slice(&(LARGE_BYTES as u32).to_be_bytes()[1..]);
    message.extend_from_slice(&[3, 3]);
    message.resize(LARGE_BYTES - 1, 0);
    let mut records = Vec::new();
    for part in message.chunks(RECORD_BYTES) {
        records.extend_from_slice(&[0x16, 3, 1]);
        records.extend_from_slice(&(part.len() as u16).to_be_bytes());
        records.extend_from_slice(part);
    }
    let records: Arc<[u8]> = records.into();
    let client = move |ground: Arc<Ground>, _| {
        let records = Arc::clone(&records);
        async move {
            let mut stream = ground.tcp(ground.address).await?;
            ground.send(&mut stream, &records).await?;
            ground.hold(stream).await
        }
    };
    ground.swarm(2000, client).await;
}

/// Makes handshakes as fast as the server does.
pub async fn full(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let socket = ground.tcp(ground.address).await?;
        let stream = TlsConnector::from(ground.peers.full()).connect(tls::name(), socket).await?;
        ground.tally.event("handshakes");
        stream.get_ref().0.set_zero_linger()
    };
    ground.swarm(32, client).await;
}

/// Requests new keys again and again. The server must answer each request with new keys.
pub async fn key_updates(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let mut stream = ground.narrow(Alpn::Http1).await?;
        loop {
            let session = stream.get_mut().1;
            session.refresh_traffic_keys().map_err(std::io::Error::other)?;
            // The request is a record of its own. An incomplete header follows it.
            ground.send(&mut stream, b"x").await?;
            tokio::task::yield_now().await;
        }
    };
    ground.swarm(8, client).await;
}
