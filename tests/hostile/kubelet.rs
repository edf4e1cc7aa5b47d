//! The kubelet's probes: a new connection for each, and a timeout of one second.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::processors::Place;

const TIMEOUT: Duration = Duration::from_secs(1);
/// Shorter than the chart's interval, for more samples.
const INTERVAL: Duration = Duration::from_millis(200);

/// A probe. `fault` is the reason of a failure.
#[derive(Debug, Clone)]
pub struct Probe {
    pub start: Instant,
    pub fault: Option<String>,
}

/// Sends probes until it is stopped.
pub struct Kubelet {
    probes: Arc<Mutex<Vec<Probe>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Kubelet {
    pub fn start(address: SocketAddr, place: Place) -> Kubelet {
        let (probes, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (made, stopped) = (Arc::clone(&probes), Arc::clone(&stop));
        let thread = place.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for path in ["/livez", "/readyz"] {
                    tasks.spawn(repeat(address, path, Arc::clone(&made), Arc::clone(&stopped)));
                }
                while tasks.join_next().await.is_some() {}
            });
            Ok(())
        });
        Kubelet { probes, stop, thread }
    }

    pub fn stop(self) -> Result<Vec<Probe>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the kubelet panicked")??;
        Ok(std::mem::take(&mut *self.probes.lock().expect("the probes")))
    }
}

async fn repeat(address: SocketAddr, path: &str, made: Arc<Mutex<Vec<Probe>>>, stopped: Arc<AtomicBool>) {
    while !stopped.load(Ordering::Relaxed) {
        let start = Instant::now();
        let fault = match timeout(TIMEOUT, probe(address, path)).await {
            Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => None,
            Ok(Ok(answer)) => Some(format!("{path}: {:?}", answer.lines().next().unwrap_or_default())),
            Ok(Err(error)) => Some(format!("{path}: {error}")),
            Err(_) => Some(format!("{path}: no answer within {TIMEOUT:?}")),
        };
        made.lock().expect("the probes").push(Probe { start, fault });
        sleep(INTERVAL).await;
    }
}

async fn probe(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-probe/1.36\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
