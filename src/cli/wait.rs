//! Runs the asynchronous part of a command.

use anyhow::Context;

/// One parses or verifies content, the other receives it.
const THREADS: usize = 2;

/// Waits for `future`.
///
/// # Errors
///
/// Fails if the system can't start threads.
pub fn wait_for<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.context("can't start the async runtime")?;
    let done = runtime.block_on(future);
    // A DNS lookup that never ends must not block the exit.
    runtime.shutdown_background();
    Ok(done)
}
