//! The port for the kubelet's probes and Prometheus, over plain HTTP.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::interval;

use crate::ground::Ground;

const METRICS: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub async fn idle(ground: Arc<Ground>) {
    tokio::join!(hold(&ground, 128), open(&ground, 17));
}

pub async fn flood(ground: Arc<Ground>) {
    tokio::join!(hold(&ground, 512), open(&ground, 400));
}

async fn hold(ground: &Arc<Ground>, count: usize) {
    let client = |ground: Arc<Ground>, _| async move {
        let stream = ground.tcp(ground.probes).await?;
        ground.hold(stream).await
    };
    ground.swarm(count, client).await;
}

/// Opens `per_second` connections a second, and keeps them open.
async fn open(ground: &Arc<Ground>, per_second: u32) {
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    let mut kept = tokio::task::JoinSet::new();
    loop {
        ticks.tick().await;
        let ground = Arc::clone(ground);
        kept.spawn(async move {
            let Ok(stream) = ground.tcp(ground.probes).await else { return };
            let _ = ground.hold(stream).await;
        });
        while kept.try_join_next().is_some() {}
    }
}

pub async fn metrics(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, _| async move {
        let (mut reading, mut writing) = ground.tcp(ground.probes).await?.into_split();
        let many = METRICS.repeat(50);
        let read = async {
            let mut buffer = vec![0; 64 << 10];
            while reading.read(&mut buffer).await? > 0 {}
            Ok(())
        };
        let write = async {
            loop {
                ground.send(&mut writing, many.as_bytes()).await?;
            }
        };
        tokio::select! {
            read = read => read,
            written = write => written,
        }
    };
    ground.swarm(4, client).await;
}

/// Half of the connections send an incomplete header. The others send requests and do not read the responses.
pub async fn unread(ground: Arc<Ground>) {
    let client = |ground: Arc<Ground>, index: usize| async move {
        let mut stream = ground.tcp(ground.probes).await?;
        if index.is_multiple_of(2) {
            let header = format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(60_000));
            ground.send(&mut stream, header.as_bytes()).await?;
            return ground.hold(stream).await;
        }
        ground.send(&mut stream, METRICS.repeat(1000).as_bytes()).await?;
        pending().await
    };
    ground.swarm(400, client).await;
}
