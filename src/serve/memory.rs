//! Derives the limits for clients from the process' limits of memory and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::ledger::Bounds;
use crate::server::limits::{self, CONNECTION_BYTES, MEMORY_LIMIT_BYTES};
use crate::server::memory;

/// Open files beside connections.
const OTHER_FILES: u64 = 256;

/// Returns the limits for all clients together.
///
/// # Errors
///
/// Fails if the memory has no room for one request with a body of `body_bytes`.
pub(super) fn bounds(flag: Option<u64>, body_bytes: usize) -> anyhow::Result<Bounds> {
    let (limit_bytes, source) = match (flag, memory::group_limit()) {
        (Some(bytes), _) => (bytes, "--memory-limit-bytes".to_owned()),
        (None, Some(limit)) => (limit.bytes, limit.file.display().to_string()),
        (None, None) => (MEMORY_LIMIT_BYTES, "default; the container has no limit".to_owned()),
    };
    let resident_bytes = memory::resident_bytes();
    let bounds = limits::bounds(limit_bytes, resident_bytes);
    let needed = limits::largest_request_bytes(body_bytes);
    if bounds.request_bytes < needed {
        anyhow::bail!(
            "the memory limit of {limit_bytes} bytes ({source}) has no room for a request with a body of {body_bytes} \
             bytes; raise the memory limit to {}, or lower --max-body-bytes",
            limits::limit_for(needed, resident_bytes)
        );
    }
    tracing::info!(limit_bytes, source, "memory limit found");
    Ok(within_open_files(bounds))
}

/// Raises the limit of open files as far as needed and allowed, and lowers the limit of connections to it.
fn within_open_files(bounds: Bounds) -> Bounds {
    let needed = (bounds.connection_bytes / CONNECTION_BYTES) as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let (current, maximum) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if current >= needed {
        return bounds;
    }
    let raised = needed.min(maximum);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    if allowed >= needed {
        return bounds;
    }
    let connections = usize::try_from(allowed.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
    tracing::warn!(
        connections,
        needed,
        maximum,
        "open files limit too low; fewer connections are accepted; raise the limit (ulimit -n) to the number needed"
    );
    Bounds { connection_bytes: connections * CONNECTION_BYTES, ..bounds }
}
