//! A cluster, scanned.

use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;

use super::output::{Output, Weight};
use crate::cli::kubeconfig::KubeconfigArgs;
use crate::cluster::api::{Api, Failure};
use crate::cluster::scan::{self, Event, Options, Seen};

/// Pages that may wait to be printed.
const WAITING: usize = 2;
/// One reads pages, the other brings them.
const THREADS: usize = 2;

pub fn scan(
    kubeconfig: KubeconfigArgs,
    timeout: Duration,
    options: Options,
    output: &mut Output,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.context("can't start")?;
    let outcome = runtime.block_on(async {
        let config = kubeconfig.read(timeout).await?;
        let server = config.cluster_url.to_string();
        let told = |failure: Failure| match failure {
            Failure::NotFound(what) => anyhow!("{what}"),
            failure => anyhow!("can't ask the API server at {server}: {failure}"),
        };
        let api = Api::new(config, timeout).await.map_err(told)?;
        output.subject(format!("cluster {server}"), Timestamp::now().strftime("%F %H:%M UTC").to_string());
        let (events, mut told_events) = mpsc::channel(WAITING);
        let scan = tokio::spawn(scan::scan(api, options, events));
        let mut list = List::default();
        while let Some(event) = told_events.recv().await {
            match event {
                Event::Page(Seen { what, objects, inspected, remaining, found }) => {
                    output.inspected(inspected);
                    let done = list.count(&what, objects);
                    output.progress(&what, done, remaining);
                    output.looked_at(objects);
                    output.add(found)?;
                }
                Event::Unseen(unseen) => output.unseen(unseen, Weight::Part),
                Event::Remark(remark) => output.talk(&format!("note: {remark}")),
            }
        }
        scan.await?.map_err(told)
    });
    // A lookup of a name that never ends must not keep the process.
    runtime.shutdown_background();
    outcome
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
