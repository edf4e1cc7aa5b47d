//! One attack on one server: before, during, and after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::attacks::Attack;
use crate::ground::{Ground, Source, Tally};
use crate::kubelet::{Kubelet, Probe};
use crate::ordinary::{Ordinary, Sample, TIMEOUT};
use crate::processors::{ATTACKER_PRIORITY, Cpus, MEASURING_PRIORITY, Place, Processors};
use crate::server::{Server, Setup, Usage};

/// The time in which connections are opened.
const WARM_UP: Duration = Duration::from_millis(100);
const BEFORE: Duration = Duration::from_millis(400);
/// The time over which reviews are combined after the attack.
const WINDOW: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(20);
/// The largest ratio of the median after the attack to the median before it.
const RECOVERED: u32 = 2;
/// The time limit of the recovery.
pub const RECOVERY_LIMIT: Duration = TIMEOUT;

/// The measurements of a round.
pub struct Round {
    pub cpus: Cpus,
    pub source: Source,
    pub usage: Usage,
    pub before: Duration,
    pub during: Vec<Sample>,
    pub after: Vec<Sample>,
    /// From the end of the attack until the median has recovered. `None` if it has not within [`RECOVERY_LIMIT`].
    pub recovery: Option<Duration>,
    pub probes: Vec<Probe>,
    /// The exit status of the server, if it ended.
    pub exit: Option<String>,
    pub ground: Arc<Ground>,
    pub log_tail: String,
}

pub async fn run(
    setup: &Setup,
    processors: &Processors,
    attack: &Attack,
    (cpus, source): (Cpus, Source),
    body_limit_bytes: usize,
) -> Result<Round> {
    let mut server = Server::start(setup, processors.server(cpus))?;
    let peers = server.peers()?;
    let measuring = processors.client(cpus, MEASURING_PRIORITY);
    let ordinary = Ordinary::start(server.address, &peers, measuring);
    let kubelet = Kubelet::start(server.probes, measuring);
    sleep(WARM_UP).await;
    let quiet = Instant::now();
    sleep(BEFORE).await;

    let ground = Arc::new(Ground {
        address: server.address,
        probes: server.probes,
        source,
        peers,
        body_limit_bytes,
        tally: Tally::default(),
    });
    let begin = Instant::now();
    let attackers = Attackers::start(attack, Arc::clone(&ground), processors.client(cpus, ATTACKER_PRIORITY));
    while begin.elapsed() < attack.duration && server.exit_status().is_none() {
        server.sample()?;
        sleep(STEP).await;
    }
    attackers.stop()?;
    let end = Instant::now();
    let before =
        median(latencies(&ordinary.samples(), quiet, begin)).context("no ordinary review before the attack")?;

    let mut recovery = None;
    while recovery.is_none() && end.elapsed() < RECOVERY_LIMIT + WINDOW && server.exit_status().is_none() {
        sleep(STEP).await;
        server.sample()?;
        let start = Instant::now() - WINDOW;
        if start < end {
            continue;
        }
        let all_well = ordinary.samples().iter().all(|sample| sample.start < start || sample.fault.is_none());
        let median = median(latencies(&ordinary.samples(), start, Instant::now()));
        if all_well && median.is_some_and(|median| median <= before * RECOVERED) {
            recovery = Some(start - end);
        }
    }
    let over = Instant::now();
    let (samples, probes) = (ordinary.stop()?, kubelet.stop()?);
    let usage = server.sample()?;
    let exit = server.exit_status().map(|status| status.to_string());
    let (during, after) =
        samples.into_iter().filter(|sample| sample.start >= begin).partition(|sample| sample.start < end);
    Ok(Round {
        cpus,
        source,
        usage,
        before,
        during,
        after,
        recovery,
        probes: probes.into_iter().filter(|probe| (begin..over).contains(&probe.start)).collect(),
        exit,
        ground,
        log_tail: server.log_tail(),
    })
}

/// The runtime of the attack. Dropping it ends all tasks and connections.
struct Attackers {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Attackers {
    fn start(attack: &Attack, ground: Arc<Ground>, place: Place) -> Attackers {
        let (stop, stopped) = oneshot::channel();
        let run = attack.run;
        let thread = place.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    () = run(ground) => {}
                    _ = stopped => {}
                }
            });
            Ok(())
        });
        Attackers { stop, thread }
    }

    fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        self.thread.join().ok().context("the attackers panicked")?
    }
}

/// Returns the latencies of the reviews that were sent in this time.
fn latencies(samples: &[Sample], from: Instant, to: Instant) -> Vec<Duration> {
    samples.iter().filter(|sample| (from..to).contains(&sample.start)).map(|sample| sample.latency).collect()
}

/// Returns the median. With an even number of values, it is the upper of the two in the middle.
pub fn median(mut latencies: Vec<Duration>) -> Option<Duration> {
    latencies.sort();
    latencies.get(latencies.len() / 2).copied()
}
