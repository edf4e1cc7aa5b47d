//! The way from serving to the end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Where the server stands, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready.
    Serving,
    /// Not ready any more, but still serving: endpoints take time to leave load balancers.
    Draining,
    /// No new connections; what is in flight is finished.
    Finishing,
    /// Idle connections are closed.
    Closing,
}

/// Clients that came just before the end have this long to send what they came for.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

/// How often it is looked whether all is done.
const LOOK: Duration = Duration::from_millis(10);

/// How long each part of the way may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From SIGTERM until no new connections are accepted.
    pub drain_delay: Duration,
    /// From then until the process ends, whatever is still in flight.
    pub timeout: Duration,
}

/// The signals that end the server, listened to from the moment they are made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signalled {
    Terminate,
    Interrupt,
}

impl Signals {
    /// Takes the signals over from the system's default, which is to end at once.
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

/// Waits for a signal, then leads all connections to their end. A second signal ends the wait.
pub async fn run(
    mut signals: Signals,
    phase: watch::Sender<Phase>,
    requests_in_flight: impl Fn() -> usize,
    connections: impl Fn() -> usize,
    patience: Patience,
) {
    if signals.next().await == Signalled::Terminate && !patience.drain_delay.is_zero() {
        phase.send_replace(Phase::Draining);
        tracing::info!(delay_secs = patience.drain_delay.as_secs(), "SIGTERM: draining, still serving");
        // SIGTERM again says what was said; SIGINT is somebody who waits.
        tokio::select! {
            () = sleep(patience.drain_delay) => {}
            _ = signals.interrupt.recv() => {}
        }
    }
    phase.send_replace(Phase::Finishing);
    tracing::info!(timeout_secs = patience.timeout.as_secs(), "shutting down: no new connections");
    let started = Instant::now();
    let finishing = async {
        // Requests first: an idle connection may be just about to bring one, and the API server does
        // not replay a POST that meets a closed connection.
        sleep(LAST_REQUESTS).await;
        until(|| requests_in_flight() == 0).await;
        phase.send_replace(Phase::Closing);
        until(|| connections() == 0).await;
    };
    tokio::select! {
        finished = timeout(patience.timeout, finishing) => match finished {
            Ok(()) => tracing::info!(took_ms = started.elapsed().as_millis() as u64, "all connections ended"),
            Err(_) => tracing::warn!(
                requests = requests_in_flight(),
                connections = connections(),
                "time is up: closing what is still open"
            ),
        },
        _ = signals.next() => tracing::warn!(connections = connections(), "second signal: ending at once"),
    }
    phase.send_replace(Phase::Closing);
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        sleep(LOOK).await;
    }
}
