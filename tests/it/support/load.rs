//! Requests without a pause, none of which may fail.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::certificates::Trust;
use super::client::Client;
use super::review;

/// Several clients, each of which sends one request after another.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the clients. Half of them use HTTP/2. Each reconnects on request, and from time to time.
    pub fn start(address: SocketAddr, trust: &Trust, clients: usize) -> Load {
        let mut load =
            Load { stop: Arc::default(), answered: Arc::default(), failures: Arc::default(), clients: Vec::new() };
        for index in 0..clients {
            let (stop, answered) = (Arc::clone(&load.stop), Arc::clone(&load.answered));
            let (failures, trust) = (Arc::clone(&load.failures), trust.clone());
            load.clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = one_connection(address, &trust, index % 2 == 1, &stop, &answered).await {
                        failures.lock().unwrap().push(error);
                    }
                }
            }));
        }
        load
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops the clients, and returns all failures.
    pub async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        Arc::into_inner(self.failures).unwrap().into_inner().unwrap()
    }
}

async fn one_connection(
    address: SocketAddr,
    trust: &Trust,
    http2: bool,
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> Result<(), String> {
    let client = Client::of_version(address, trust, http2).await;
    let mut client = client.map_err(|error| format!("connecting: {error}"))?;
    for _ in 0..50 {
        // A GOAWAY means the same as `Connection: close`.
        if stop.load(Ordering::Relaxed) || client.is_closed() {
            break;
        }
        let answer = match client.admit(review()).await {
            Ok(answer) => answer,
            Err(error) if is_refused_stream(&error) => break,
            Err(error) => return Err(format!("request: {error:?}")),
        };
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.closes() {
            break;
        }
    }
    Ok(())
}

/// Returns whether the server never processed the request, so that any client sends it again.
fn is_refused_stream(error: &super::client::Error) -> bool {
    // By RFC 9113, section 6.8, a GOAWAY ends only the streams above the last one that the server has processed.
    let is_above_the_last = format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)");
    let is_unsent = |error: &hyper::Error| error.is_canceled() || error.is_closed();
    is_above_the_last || error.downcast_ref::<hyper::Error>().is_some_and(is_unsent)
}
