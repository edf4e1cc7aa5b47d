//! Headers that are long, many, or never complete.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::ground::Ground;
use crate::http1;
use crate::http2::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Http2, field, frame, open_header};
use crate::tls::Alpn;

const HEADER_BYTES: usize = 63 * 1024;
const FIELDS: usize = 390;
/// The newest entry of HPACK's dynamic table, as an indexed field.
const FIRST_DYNAMIC: u8 = 0x80 | 62;

pub async fn unfinished(ground: Arc<Ground>) {
    let mut header = http1::header("/mutate", "X: ").into_bytes();
    // Without the end of the two last lines.
    header.truncate(header.len() - 2);
    header.resize(HEADER_BYTES, b'x');
    let header: Arc<[u8]> = header.into();
    let client = move |ground: Arc<Ground>, _| {
        let header = Arc::clone(&header);
        async move {
            let mut stream = ground.tls(Alpn::Http1).await?;
            ground.send(&mut stream, &header).await?;
            ground.hold(stream).await
        }
    };
    ground.swarm(4000, client).await;
}

pub async fn slow(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let mut stream = ground.tls(Alpn::Http1).await?;
        ground.send(&mut stream, b"POST /mutate HTTP/1.1\r\nX: ").await?;
        loop {
            sleep(Duration::from_millis(300)).await;
            ground.send(&mut stream, b"x").await?;
        }
    };
    ground.swarm(2000, client).await;
}

/// Sends empty fields. The streams stay open, because their bodies do not arrive.
pub async fn empty_fields(ground: Arc<Ground>) {
    let mut block = open_header();
    for _ in 0..FIELDS {
        block.extend(field("x", ""));
    }
    streams(ground, block.clone().into(), block.into()).await;
}

/// Sends a field of 3 KB in the first stream of a connection. The others refer to it with one byte each.
pub async fn hpack(ground: Arc<Ground>) {
    const VALUE_BYTES: usize = 3000;
    const TIMES: usize = 4;
    // Incremental indexing, a new name, and a value whose length takes seven bits and a continuation.
    let mut first = open_header();
    first.extend_from_slice(&[0x40, 1, b'x', 0x7f]);
    let mut rest = VALUE_BYTES - 127;
    while rest >= 128 {
        first.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    first.push(rest as u8);
    first.resize(first.len() + VALUE_BYTES, b'x');
    let mut next = open_header();
    next.resize(next.len() + TIMES, FIRST_DYNAMIC);
    streams(ground, first.into(), next.into()).await;
}

async fn streams(ground: Arc<Ground>, first: Arc<[u8]>, next: Arc<[u8]>) {
    let client = move |ground, _| {
        let (first, next) = (Arc::clone(&first), Arc::clone(&next));
        async move {
            let mut http2 = Http2::open(ground, &[]).await?;
            let stream = http2.new_stream();
            http2.send(&frame(HEADERS, END_HEADERS, stream, &first)).await?;
            loop {
                // As many as the server accepts. Streams that it ends are replaced.
                for _ in http2.open_streams().len()..100 {
                    let stream = http2.new_stream();
                    http2.send(&frame(HEADERS, END_HEADERS, stream, &next)).await?;
                }
                if let Ok(closed) = timeout(Duration::from_millis(200), http2.hold()).await {
                    return closed;
                }
            }
        }
    };
    ground.swarm(21, client).await;
}

/// Sends the most that one stream may have, without the flag that ends it.
pub async fn continuation(ground: Arc<Ground>) {
    let block: Arc<[u8]> = field("x", &"y".repeat(120)).repeat(80).into();
    let client = move |ground, _| {
        let block = Arc::clone(&block);
        async move {
            let mut http2 = Http2::open(ground, &[]).await?;
            let stream = http2.new_stream();
            http2.send(&frame(HEADERS, END_STREAM, stream, &open_header())).await?;
            http2.send(&frame(CONTINUATION, 0, stream, &block)).await?;
            http2.hold().await
        }
    };
    ground.swarm(2000, client).await;
}
