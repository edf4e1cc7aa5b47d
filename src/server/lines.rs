//! Log lines on their way to standard error, many in one system call: a write for each would be the dearest part of an
//! ordinary admission, and a reader that hangs would hang the server.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long the first line of a batch waits for others.
const BATCH: Duration = Duration::from_millis(10);
/// Lines beyond it are dropped, and counted, until the reader of standard error goes on.
const MOST_BYTES: usize = 1 << 20;

/// Where lines are left, for a [`Writing`] to write them.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: usize,
    ends: bool,
}

/// The thread that writes lines, until this is dropped.
#[derive(Debug)]
pub struct Writing {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Starts writing.
    pub fn write(&self) -> io::Result<Writing> {
        let lines = self.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || lines.run())?;
        Ok(Writing { lines: self.clone(), thread: Some(thread) })
    }

    fn run(&self) {
        loop {
            let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.ends;
            let waiting = self.0.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let ends = waiting.ends;
            drop(waiting);
            if ends {
                return self.flush();
            }
            thread::sleep(BATCH);
            self.flush();
        }
    }

    /// Writes what is there.
    pub fn flush(&self) {
        let Waiting { mut bytes, dropped, .. } = {
            let mut waiting = self.lock();
            Waiting { bytes: mem::take(&mut waiting.bytes), dropped: mem::take(&mut waiting.dropped), ends: false }
        };
        if dropped > 0 {
            bytes.extend_from_slice(format!("{dropped} log lines were dropped: nobody read them\n").as_bytes());
        }
        // Nobody is left to be told that standard error is gone.
        let _ = io::stderr().write_all(&bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a whole line at a time, as the formatters write it.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MOST_BYTES {
            waiting.dropped += 1;
        } else {
            waiting.bytes.extend_from_slice(line);
            if waiting.bytes.len() == line.len() {
                self.0.changed.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = &'l Lines;

    fn make_writer(&'l self) -> Self::Writer {
        self
    }
}

impl Writing {
    /// Writes what is there now, so that what comes next comes after it.
    pub fn flush(&self) {
        self.lines.flush();
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.lines.lock().ends = true;
        self.lines.0.changed.notify_one();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
