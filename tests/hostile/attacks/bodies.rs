//! Bodies that cost more than their size, or never end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::ground::Ground;
use crate::http1;
use crate::http2::{END_HEADERS, HEADERS, Http2, frame, open_header};
use crate::reviews;
use crate::tls::Alpn;

const LARGE_BYTES: usize = 7 << 20;
/// More clients than the memory budget has room for.
const CLIENTS: usize = 16;

pub async fn escaped_keys(ground: Arc<Ground>) {
    let bytes = LARGE_BYTES.min(ground.body_limit_bytes);
    ground.ask_again(CLIENTS, &reviews::escaped_keys(bytes)).await;
}

pub async fn escaped_keys_at_limit(ground: Arc<Ground>) {
    let body = reviews::escaped_keys(ground.body_limit_bytes);
    ground.ask_again(CLIENTS, &body).await;
}

pub async fn escaped_text(ground: Arc<Ground>) {
    let body = reviews::escaped_text(ground.body_limit_bytes);
    ground.ask_again(CLIENTS, &body).await;
}

pub async fn deep(ground: Arc<Ground>) {
    let body = reviews::deep(ground.body_limit_bytes);
    ground.ask_again(CLIENTS, &body).await;
}

/// Sends all but the last byte, on 60 connections.
pub async fn unfinished_http1(ground: Arc<Ground>) {
    let mut request = http1::request(&reviews::long_uid(LARGE_BYTES.min(ground.body_limit_bytes)));
    request.pop();
    let request: Arc<[u8]> = request.into();
    let client = move |ground: Arc<Ground>, _| {
        let request = Arc::clone(&request);
        async move {
            let mut stream = ground.tls(Alpn::Http1).await?;
            ground.send(&mut stream, &request).await?;
            ground.hold(stream).await
        }
    };
    ground.swarm(60, client).await;
}

/// Sends bodies without a length, and without the flag that ends the stream.
pub async fn unfinished_http2(ground: Arc<Ground>) {
    let body: Arc<[u8]> = reviews::long_uid(1 << 20).into();
    let client = move |ground, _| {
        let body = Arc::clone(&body);
        async move {
            let mut http2 = Http2::open(ground, &[]).await?;
            loop {
                for _ in http2.open_streams().len()..100 {
                    let stream = http2.new_stream();
                    http2.send(&frame(HEADERS, END_HEADERS, stream, &open_header())).await?;
                    http2.data(stream, &body, 0).await?;
                }
                if let Ok(closed) = timeout(Duration::from_millis(100), http2.hold()).await {
                    return closed;
                }
            }
        }
    };
    ground.swarm(8, client).await;
}

/// Sends a length, and one byte of the body.
pub async fn first_byte(ground: Arc<Ground>) {
    start(ground, 1000, http1::review_header(7_000_000) + "{").await;
}

/// Sends a length, and a part of the body. The server charges a large body with its announced length.
pub async fn first_part(ground: Arc<Ground>) {
    start(ground, 200, http1::review_header(7_000_000) + &" ".repeat(100_000)).await;
}

pub async fn expect(ground: Arc<Ground>) {
    start(ground, 2000, http1::header("/mutate", "Expect: 100-continue\r\nContent-Length: 7000000\r\n")).await;
}

async fn start(ground: Arc<Ground>, connections: usize, beginning: String) {
    let beginning: Arc<str> = beginning.into();
    let client = move |ground: Arc<Ground>, _| {
        let beginning = Arc::clone(&beginning);
        async move {
            let mut stream = ground.tls(Alpn::Http1).await?;
            ground.send(&mut stream, beginning.as_bytes()).await?;
            ground.hold(stream).await
        }
    };
    ground.swarm(connections, client).await;
}

pub async fn chunks(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let mut stream = ground.tls(Alpn::Http1).await?;
        ground.send(&mut stream, http1::header("/mutate", "Transfer-Encoding: chunked\r\n").as_bytes()).await?;
        let chunks = b"1;a=b\r\n \r\n".repeat(100);
        loop {
            ground.send(&mut stream, &chunks).await?;
            sleep(Duration::from_millis(1)).await;
        }
    };
    ground.swarm(32, client).await;
}

pub async fn trailers(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let mut stream = ground.tls(Alpn::Http1).await?;
        let mut request = http1::header("/mutate", "Transfer-Encoding: chunked\r\nTrailer: x\r\n");
        request += "2\r\n{}\r\n0\r\n";
        // As many and as long as hyper accepts, without an end.
        request += &format!("x: {}\r\n", "y".repeat(150)).repeat(90);
        ground.send(&mut stream, request.as_bytes()).await?;
        ground.hold(stream).await
    };
    ground.swarm(1000, client).await;
}

/// Sends a body to its end after a rejection: for an unknown path, and with too large a body.
pub async fn rejected(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, index: usize| async move {
        let mut stream = ground.tls(Alpn::Http1).await?;
        let path = if index.is_multiple_of(2) { "/other" } else { "/mutate" };
        ground.send(&mut stream, http1::header(path, "Content-Length: 1000000000\r\n").as_bytes()).await?;
        let part = vec![b' '; 64 << 10];
        loop {
            ground.send(&mut stream, &part).await?;
            tokio::task::yield_now().await;
        }
    };
    ground.swarm(8, client).await;
}
