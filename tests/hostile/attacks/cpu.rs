//! Computation: reviews that are expensive, or many.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::ground::Ground;
use crate::http1;
use crate::reviews;
use crate::tls::Alpn;

/// With this interval, a review of 730 KB amounts to less than 1 MB/s.
const REVIEW_INTERVAL: Duration = Duration::from_millis(750);

pub async fn two_secrets(ground: Arc<Ground>) {
    secrets(ground, 2).await;
}

pub async fn six_secrets(ground: Arc<Ground>) {
    secrets(ground, 6).await;
}

async fn secrets(ground: Arc<Ground>, clients: usize) {
    let request: Arc<[u8]> = http1::request(&reviews::many_secrets()).into();
    let client = move |ground: Arc<Ground>, _| {
        let request = Arc::clone(&request);
        async move {
            let mut stream = ground.tls(Alpn::Http1).await?;
            let mut ticks = interval(REVIEW_INTERVAL);
            loop {
                ticks.tick().await;
                ground.ask(&mut stream, &request).await?;
            }
        }
    };
    ground.swarm(clients, client).await;
}

pub async fn reviews(ground: Arc<Ground>) {
    let [_, realistic] = reviews::ordinary();
    ground.ask_again(64, realistic).await;
}

pub async fn large_reviews(ground: Arc<Ground>) {
    ground.ask_again(16, &reviews::many_images()).await;
}

pub async fn pipelined(ground: Arc<Ground>) {
    let [one, _] = reviews::ordinary();
    let requests: Arc<[u8]> = http1::request(one).repeat(50).into();
    let client = move |ground: Arc<Ground>, _| {
        let requests = Arc::clone(&requests);
        async move {
            let mut stream = ground.narrow(Alpn::Http1).await?;
            loop {
                ground.send(&mut stream, &requests).await?;
            }
        }
    };
    ground.swarm(64, client).await;
}
