//! Slots that are taken and not used: connections, streams, requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{answers, bodies, cpu, frames, handshakes, headers, probes};
use crate::ground::Ground;
use crate::http1;
use crate::http2::{END_HEADERS, HEADERS, Http2, frame, review_header};
use crate::reviews;
use crate::tls::Alpn;

/// Starts a few streams at a time, with less than 5 KB/s in total.
pub async fn headers_only(ground: Arc<Ground>) {
    let client = |ground, _| async move {
        let mut http2 = Http2::open(ground, &[]).await?;
        loop {
            for _ in http2.open_streams().len()..100 {
                let stream = http2.new_stream();
                http2.send(&frame(HEADERS, END_HEADERS, stream, &review_header(12_000))).await?;
            }
            if let Ok(closed) = timeout(Duration::from_millis(500), http2.hold()).await {
                return closed;
            }
        }
    };
    ground.swarm(21, client).await;
}

pub async fn bare(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let stream = ground.tcp(ground.address).await?;
        ground.hold(stream).await
    };
    ground.swarm(4300, client).await;
}

/// Sends an admission request on each connection, after which it looks like a connection of an API server.
pub async fn once_useful(ground: Arc<Ground>) {
    let [one, _] = reviews::ordinary();
    let request: Arc<[u8]> = http1::request(one).into();
    let client = move |ground: Arc<Ground>, _| {
        let request = Arc::clone(&request);
        async move {
            let mut stream = ground.tls(Alpn::Http1).await?;
            ground.ask(&mut stream, &request).await?;
            ground.hold(stream).await
        }
    };
    ground.swarm(3000, client).await;
}

/// Closes each connection with a reset, so that no port stays in TIME_WAIT.
pub async fn closed(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let stream = ground.tcp(ground.address).await?;
        stream.set_zero_linger()?;
        Ok(())
    };
    ground.swarm(32, client).await;
}

/// Runs one attack of each kind.
pub async fn everything(ground: Arc<Ground>) {
    tokio::join!(
        answers::http2_many_images(Arc::clone(&ground)),
        answers::http1_slow(Arc::clone(&ground)),
        headers::slow(Arc::clone(&ground)),
        headers::empty_fields(Arc::clone(&ground)),
        bodies::unfinished_http1(Arc::clone(&ground)),
        bodies::escaped_keys(Arc::clone(&ground)),
        probes::idle(Arc::clone(&ground)),
        headers_only(Arc::clone(&ground)),
        handshakes::partial(Arc::clone(&ground)),
        cpu::two_secrets(Arc::clone(&ground)),
        frames::rapid_reset(ground),
    );
}
