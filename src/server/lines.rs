//! Writes log lines to standard error. They wait in a bounded queue, and a separate thread writes them. A reader that hangs
//! delays neither an admission nor the end of the process.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Capacity of the queue, in lines. Further lines are lost.
const QUEUED_LINES: usize = 1024;
/// Bytes of one line. Longer lines are truncated. [`super::log`] limits its fields, so that its own lines fit.
const LINE_BYTES: usize = 8 << 10;
/// Bytes that a pipe accepts at once.
const BATCH_BYTES: usize = 64 << 10;
/// Time in which lines are collected after a batch was written. A system call for each line would be the most expensive part of
/// an ordinary admission, and so would waking the thread for each. The queue has room for more lines than are written in that time
/// on one processor.
const BATCH: Duration = Duration::from_millis(25);
/// Time that the end of the process waits for lines to be written. The library's own timeout is 1.1 s.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The number of lines that did not reach standard error.
#[derive(Debug, Clone, Default)]
pub struct Lost(Arc<Losses>);

#[derive(Debug, Default)]
struct Losses {
    /// The queue was full.
    queue: OnceLock<ErrorCounter>,
    /// Standard error was closed, or writing failed.
    unwritten: AtomicUsize,
}

impl Lost {
    /// Returns the number since the process started.
    pub fn count(&self) -> usize {
        let queue = self.0.queue.get().map_or(0, ErrorCounter::dropped_lines);
        queue.saturating_add(self.0.unwritten.load(Ordering::Relaxed))
    }
}

/// The writing end of the queue.
#[derive(Debug, Clone)]
pub struct Lines(NonBlocking);

impl Write for Lines {
    /// Enqueues one whole line, as formatters write it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.get(..LINE_BYTES) {
            None => self.0.write_all(line)?,
            Some(start) => self.0.write_all(&[start, b"...\n"].concat())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Self;

    fn make_writer(&'l self) -> Self::Writer {
        self.clone()
    }
}

/// The thread that writes lines. It runs until this is dropped.
#[derive(Debug)]
pub struct Writing {
    lines: Lines,
    lost: Lost,
    guard: Option<WorkerGuard>,
}

impl Writing {
    /// Starts the thread.
    pub fn start() -> Writing {
        let lost = Lost::default();
        let batches = Batches { bytes: Vec::new(), lines: 0, lost: lost.clone(), reported: 0, last_failed: false };
        let (lines, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(QUEUED_LINES).thread_name("log").finish(batches);
        let _ = lost.0.queue.set(lines.error_counter());
        Writing { lines: Lines(lines), lost, guard: Some(guard) }
    }

    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Writes text for people, after the queued lines.
    pub fn talk(&self, text: &str) {
        // If the queue is full, the line is counted as lost.
        let _ = self.lines.0.clone().write_all(format!("{text}\n").as_bytes());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let (written, wait) = mpsc::channel();
        let guard = self.guard.take();
        // The guard may print to standard output, whose reader may hang too.
        let ending = thread::Builder::new().name("log-end".to_owned()).spawn(move || {
            drop(guard);
            let _ = written.send(());
        });
        if ending.is_ok() {
            let _ = wait.recv_timeout(LAST_LINES);
        }
    }
}

/// Collects lines of the queue into batches.
struct Batches {
    bytes: Vec<u8>,
    lines: usize,
    lost: Lost,
    /// Lost lines that were already reported in a log line.
    reported: usize,
    last_failed: bool,
}

impl Batches {
    fn write_batch(&mut self) {
        let lines = mem::take(&mut self.lines);
        self.last_failed = io::stderr().write_all(&self.bytes).is_err();
        if self.last_failed {
            self.lost.0.unwritten.fetch_add(lines, Ordering::Relaxed);
        }
        self.bytes.clear();
    }
}

impl Write for Batches {
    /// Adds one whole line of the queue to the batch.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(line);
        self.lines += 1;
        if self.bytes.len() >= BATCH_BYTES {
            self.write_batch();
        }
        Ok(line.len())
    }

    /// Writes the batch. The library calls it when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        // Reported before writing, which may block: then the queue may fill up, and the report would be lost. If the last write
        // failed, no report: it would be lost too, and cause the next one.
        let lines = self.lost.count() - self.reported;
        if lines > 0 && !self.last_failed {
            self.reported += lines;
            tracing::warn!(lines, "log lines lost; standard error was closed or not read in time");
        }
        self.write_batch();
        thread::sleep(BATCH);
        Ok(())
    }
}
