//! `pullthrough doctor`: looks at a cluster from outside, and says what is wrong and what to do about it.
//!
//! `collect` asks all that is asked, and makes a `Snapshot` of the answers; `checks` look at that alone. What is found is a
//! [`fault::Fault`] with its place, its effect and its cure.

mod arguments;
mod ask;
mod checks;
mod collect;
mod endpoint;
mod environment;
pub mod fault;
mod handshake;
mod managed;
mod metrics;
mod pods;
mod probe;
mod replica;
pub mod report;
mod rules;
mod snapshot;

use std::time::Duration;

use kube::Config;

pub use self::arguments::{ReadServe, Serve, Setting};
pub use self::environment::Environment;
use self::report::Report;
pub use self::rules::Given;
use crate::cluster::api::{Api, Failure};

/// Where to look, and what to compare with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where pullthrough runs, unless the registration says otherwise.
    pub namespace: String,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// Rules to compare with, instead of the cluster's.
    pub rules: Option<Given>,
    /// Where to create the Pod of the dry run; by default where most rules apply.
    pub probe_namespace: Option<String>,
    /// How the Deployment's arguments are read.
    pub read_serve: ReadServe,
    /// For each request, connection and answer.
    pub timeout: Duration,
}

/// Looks at the cluster that the configuration leads to.
///
/// # Errors
///
/// Where nobody answers, or the API server does not know who asks.
pub async fn examine(config: Config, options: &Options) -> Result<Report, Failure> {
    let server = config.cluster_url.to_string();
    let api = Api::new(config, options.timeout).await?;
    let snapshot = collect::snapshot(&api, options).await?;
    Ok(Report { server, checks: checks::all(&snapshot) })
}
