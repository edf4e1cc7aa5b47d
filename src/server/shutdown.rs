//! Shuts the server down in phases.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// The phases of the server, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready, serving.
    Serving,
    /// Not ready, still serving: load balancers need time to remove endpoints.
    Draining,
    /// No new connections. Requests in progress are finished.
    Finishing,
    /// Idle connections are closed.
    Closing,
}

/// Time for clients that connected last to send a request.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

/// Interval of checks whether all requests and connections have ended.
const LOOK: Duration = Duration::from_millis(10);

/// Durations of the phases.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From SIGTERM until no new connections are accepted.
    pub drain_delay: Duration,
    /// From then until the process ends, with requests in progress or without.
    pub timeout: Duration,
}

/// The signals that end the server. They are received from creation on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// The received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signalled {
    Terminate,
    Interrupt,
}

impl Signals {
    /// Replaces the system's default for these signals, which is to end at once.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.terminate.recv() => Signalled::Terminate,
            _ = self.interrupt.recv() => Signalled::Interrupt,
        }
    }
}

/// Waits for a signal, then closes all connections. A second signal ends the process at once.
pub async fn run(
    mut signals: Signals,
    phase: watch::Sender<Phase>,
    requests_in_flight: impl Fn() -> usize,
    connections: impl Fn() -> usize,
    patience: Patience,
) {
    if signals.next().await == Signalled::Terminate && !patience.drain_delay.is_zero() {
        phase.send_replace(Phase::Draining);
        tracing::info!(delay_secs = patience.drain_delay.as_secs(), "SIGTERM received; draining; still serving");
        // A second SIGTERM changes nothing. SIGINT comes from a person who waits.
        tokio::select! {
            () = sleep(patience.drain_delay) => {}
            _ = signals.interrupt.recv() => {}
        }
    }
    phase.send_replace(Phase::Finishing);
    tracing::info!(timeout_secs = patience.timeout.as_secs(), "shutting down; no new connections");
    let started = Instant::now();
    let finishing = async {
        // Requests first: the next one may arrive on an idle connection. The API server does not replay a POST on a closed
        // connection.
        sleep(LAST_REQUESTS).await;
        until(|| requests_in_flight() == 0).await;
        phase.send_replace(Phase::Closing);
        until(|| connections() == 0).await;
    };
    tokio::select! {
        finished = timeout(patience.timeout, finishing) => match finished {
            Ok(()) => tracing::info!(took_ms = started.elapsed().as_millis() as u64, "all connections closed"),
            Err(_) => tracing::warn!(
                requests = requests_in_flight(),
                connections = connections(),
                "shutdown timeout; closing open connections"
            ),
        },
        _ = signals.next() => tracing::warn!(connections = connections(), "second signal received; exiting without waiting for connections"),
    }
    phase.send_replace(Phase::Closing);
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        sleep(LOOK).await;
    }
}
