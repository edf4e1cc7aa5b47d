//! A request's body: bounded in size, in time, and in what all bodies hold together.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::http::Refusal;
use super::limits::{Budget, DISCARDED_BYTES, Limits, Share};

/// The most that is allocated on a Content-Length's word alone. Larger bodies grow as they arrive.
const TRUSTED_LENGTH_BYTES: usize = 1024 * 1024;

/// A whole body, and its share of what all bodies may hold.
#[derive(Debug)]
pub struct Held {
    /// The body.
    pub bytes: Bytes,
    _share: Share,
}

/// Reads the whole body.
pub async fn read(body: &mut Body, limits: &Limits, held: &Arc<Budget>) -> Result<Held, Refusal> {
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(Refusal::TooLarge { limit_bytes: limits.body_bytes });
    }
    match timeout(limits.body, collect(body, length, limits.body_bytes, held)).await {
        Ok(held) => held,
        Err(_) => Err(Refusal::TooSlow { limit_secs: limits.body.as_secs_f32() }),
    }
}

async fn collect(
    body: &mut Body,
    length: Option<u64>,
    limit_bytes: usize,
    held: &Arc<Budget>,
) -> Result<Held, Refusal> {
    let mut share = held.take(0).ok_or(Refusal::TooManyBytes)?;
    let mut seen_bytes = 0;
    let mut next = async |body: &mut Body| -> Result<Option<Bytes>, Refusal> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::Interrupted(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            seen_bytes += data.len();
            if seen_bytes > limit_bytes {
                return Err(Refusal::TooLarge { limit_bytes });
            }
            if !share.grow(data.len()) {
                return Err(Refusal::TooManyBytes);
            }
            return Ok(Some(data));
        }
        Ok(None)
    };

    let Some(first) = next(body).await? else {
        return Ok(Held { bytes: Bytes::new(), _share: share });
    };
    // The usual case, and it costs no copy.
    if body.is_end_stream() {
        return Ok(Held { bytes: first, _share: share });
    }
    let capacity = length.map_or(0, |length| (length as usize).min(TRUSTED_LENGTH_BYTES));
    let mut all = Vec::with_capacity(capacity.max(first.len()));
    all.extend_from_slice(&first);
    drop(first);
    while let Some(data) = next(body).await? {
        all.extend_from_slice(&data);
    }
    Ok(Held { bytes: all.into(), _share: share })
}

/// Reads on and forgets. A client that is cut while it writes never comes to read the status, so
/// what is refused is read nevertheless, up to a bound.
pub async fn discard(body: &mut Body, limits: &Limits) {
    let mut seen_bytes = 0;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen_bytes += frame.data_ref().map_or(0, Bytes::len);
            if seen_bytes > DISCARDED_BYTES {
                break;
            }
        }
    };
    // Late or not, the answer is the same.
    let _ = timeout(limits.body, rest).await;
}
