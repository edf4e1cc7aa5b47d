//! The scan of a cluster.

use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc;

use crate::cli::kubeconfig::{KubeconfigArgs, request_failed};
use crate::cli::wait::wait_for;
use crate::cluster::api::{Api, Failure};
use crate::cluster::scan::{self, Event, ScanOptions, Seen};

/// The most pages that wait to be printed.
const WAITING: usize = 2;

/// Gets what a scan of a cluster finds.
pub trait Sink {
    /// Names the cluster, before the first event.
    fn subject(&mut self, subject: String);
    fn progress(&mut self, what: &str, done: usize, remaining: Option<usize>);
    fn event(&mut self, event: Event) -> anyhow::Result<()>;
}

pub fn scan(
    kubeconfig: KubeconfigArgs,
    timeout: Duration,
    options: ScanOptions,
    sink: &mut dyn Sink,
) -> anyhow::Result<()> {
    wait_for(async { Cluster::connect(kubeconfig, timeout).await?.scan(options, sink).await })?
}

/// A cluster to scan.
pub struct Cluster {
    pub api: Api,
    server: String,
}

impl Cluster {
    /// Connects, and prints a note with the address.
    pub async fn connect(kubeconfig: KubeconfigArgs, timeout: Duration) -> anyhow::Result<Self> {
        let config = kubeconfig.read(timeout).await?;
        let server = config.cluster_url.to_string();
        let api = Api::new(config, timeout).await.map_err(|failure| told(&server, failure))?;
        Ok(Self { api, server })
    }

    pub async fn scan(&self, options: ScanOptions, sink: &mut dyn Sink) -> anyhow::Result<()> {
        let Self { api, server } = self;
        sink.subject(format!("cluster {server}"));
        let (events, mut incoming) = mpsc::channel(WAITING);
        let scan = tokio::spawn(scan::scan(api.clone(), options, events));
        let mut list = List::default();
        while let Some(event) = incoming.recv().await {
            if let Event::Page(Seen { what, objects, remaining, .. }) = &event {
                let done = list.count(what, *objects);
                sink.progress(what, done, *remaining);
            }
            sink.event(event)?;
        }
        scan.await?.map_err(|failure| told(server, failure))
    }
}

fn told(server: &str, failure: Failure) -> anyhow::Error {
    match failure {
        Failure::NotFound(what) => anyhow!("{what}"),
        failure => request_failed(&server, &failure),
    }
}

/// The list that is being read.
#[derive(Default)]
struct List {
    what: String,
    objects: usize,
}

impl List {
    fn count(&mut self, what: &str, objects: usize) -> usize {
        if self.what != what {
            *self = Self { what: what.to_owned(), objects: 0 };
        }
        self.objects += objects;
        self.objects
    }
}
