//! Responses that the client does not read, or reads slowly.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use crate::ground::Ground;
use crate::http1;
use crate::http2::{Http2, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, frame};
use crate::reviews;
use crate::tls::Alpn;

const LONG_UID_BYTES: usize = 6_900_000;
/// The number of streams that a server allows for a connection.
const STREAMS: usize = 100;
/// The interval of a small request that keeps the connection alive.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

pub async fn http2_long_uid(ground: Arc<Ground>) {
    http2(ground, reviews::long_uid(LONG_UID_BYTES)).await;
}

pub async fn http2_many_images(ground: Arc<Ground>) {
    http2(ground, reviews::many_images()).await;
}

async fn http2(ground: Arc<Ground>, body: Vec<u8>) {
    let (body, tiny): (Arc<[u8]>, Arc<[u8]>) = (body.into(), reviews::tiny().into());
    let client = move |ground, _| {
        let (body, tiny) = (Arc::clone(&body), Arc::clone(&tiny));
        async move {
            let mut http2 = Http2::open(ground, &[(INITIAL_WINDOW_SIZE, 0)]).await?;
            for _ in 0..STREAMS {
                http2.post(&body).await?;
            }
            loop {
                // The window is 0, so the server sends no data.
                if let Ok(closed) = timeout(SIGN_OF_LIFE, http2.hold()).await {
                    return closed;
                }
                http2.post(&tiny).await?;
            }
        }
    };
    ground.swarm(2, client).await;
}

pub async fn http2_trickle(ground: Arc<Ground>) {
    let body: Arc<[u8]> = reviews::many_images().into();
    let client = move |ground, _| {
        let body = Arc::clone(&body);
        async move {
            let mut http2 = Http2::open(ground, &[(INITIAL_WINDOW_SIZE, 1)]).await?;
            for _ in 0..STREAMS / 2 {
                http2.post(&body).await?;
            }
            loop {
                let mut updates = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
                for stream in http2.open_streams() {
                    updates.extend(frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes()));
                }
                http2.send(&updates).await?;
                if let Ok(closed) = timeout(Duration::from_millis(10), http2.hold()).await {
                    return closed;
                }
            }
        }
    };
    ground.swarm(4, client).await;
}

pub async fn http1_long_uid(ground: Arc<Ground>) {
    http1(ground, reviews::long_uid(LONG_UID_BYTES), Duration::MAX).await;
}

pub async fn http1_many_images(ground: Arc<Ground>) {
    http1(ground, reviews::many_images(), Duration::MAX).await;
}

pub async fn http1_slow(ground: Arc<Ground>) {
    http1(ground, reviews::many_images(), Duration::from_millis(100)).await;
}

/// Reads ten bytes in each interval.
async fn http1(ground: Arc<Ground>, body: Vec<u8>, interval: Duration) {
    let request: Arc<[u8]> = http1::request(&body).into();
    let client = move |ground: Arc<Ground>, _| {
        let request = Arc::clone(&request);
        async move {
            let mut stream = ground.narrow(Alpn::Http1).await?;
            ground.send(&mut stream, &request).await?;
            let mut few = [0; 10];
            loop {
                sleep(interval).await;
                stream.read_exact(&mut few).await?;
            }
        }
    };
    ground.swarm(60, client).await;
}
