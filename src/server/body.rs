//! Reads request bodies, with limits on size, time and memory.

use std::error::Error;

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::ledger::{Charge, Phase, Purpose};
use super::limits::{DISCARDED_BYTES, HEADER_BYTES, LARGE_BODY_BYTES, Limits};
use super::progress::Visit;
use super::rejection::Rejection;

/// The body of a request.
pub trait RequestBody: Body<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static> RequestBody for B {}

/// Step in bytes in which memory for a growing body is charged.
const STEP_BYTES: usize = 64 * 1024;

/// Reads the whole body. `charge` grows by the allocated bytes beyond those that each request is charged anyway.
pub async fn read(
    body: &mut impl RequestBody,
    limits: &Limits,
    visit: &Visit,
    charge: &mut Charge,
) -> Result<Bytes, Rejection> {
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(Rejection::TooLarge { limit_bytes: limits.body_bytes });
    }
    let length = length.map(|length| length as usize);
    match timeout(limits.body, collect(body, length, limits.body_bytes, visit, charge)).await {
        Ok(bytes) => bytes,
        Err(_) => Err(Rejection::TooSlow { limit_secs: limits.body.as_secs_f32() }),
    }
}

async fn collect(
    body: &mut impl RequestBody,
    length: Option<usize>,
    limit_bytes: usize,
    visit: &Visit,
    charge: &mut Charge,
) -> Result<Bytes, Rejection> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Rejection::Interrupted(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        // The usual case, without a copy.
        if all.is_empty() && body.is_end_stream() && data.len() <= HEADER_BYTES {
            return Ok(data);
        }
        let needed = all.len() + data.len();
        if needed > limit_bytes {
            return Err(Rejection::TooLarge { limit_bytes });
        }
        reserve(&mut all, needed, length, visit, charge).await?;
        all.extend_from_slice(&data);
        // Otherwise a client that sends faster than the server reads would block others.
        if all.len() / STEP_BYTES > (all.len() - data.len()) / STEP_BYTES {
            yield_now().await;
        }
    }
    Ok(all.into())
}

/// Makes room for `needed` bytes; for all of a large body of a known length, once it is charged with that.
async fn reserve(
    all: &mut Vec<u8>,
    needed: usize,
    length: Option<usize>,
    visit: &Visit,
    charge: &mut Charge,
) -> Result<(), Rejection> {
    if needed <= all.capacity() {
        return Ok(());
    }
    // Grows by half, so that each byte is copied a few times at most.
    let step = (all.capacity() / 2).max(STEP_BYTES);
    let mut capacity = needed.max((all.capacity() + step).min(length.unwrap_or(usize::MAX)));
    let is_large = capacity > LARGE_BODY_BYTES;
    if is_large {
        capacity = length.unwrap_or(capacity);
    }
    let more = capacity.saturating_sub(HEADER_BYTES).saturating_sub(charge.bytes());
    charge.grow_in_turn(more, if is_large { Purpose::Body } else { Purpose::Request }).await?;
    if is_large && length.is_some() {
        // Others can wait for it now.
        charge.set_phase(Phase::Whole);
        visit.widen();
    }
    all.reserve_exact(capacity - all.len());
    Ok(())
}

/// Reads and discards the rest of a rejected body, up to a limit. A client that is disconnected while it writes never reads
/// the status.
pub async fn discard(body: &mut impl RequestBody, limits: &Limits) {
    let mut seen_bytes = 0;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            seen_bytes += frame.data_ref().map_or(0, Bytes::len);
            if seen_bytes > DISCARDED_BYTES {
                break;
            }
        }
    };
    // A timeout does not change the answer.
    let _ = timeout(limits.body, rest).await;
}
