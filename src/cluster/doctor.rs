//! `pullthrough doctor`: looks at a cluster from outside, and says what is wrong and what to do about it.
//!
//! `collect` reads the cluster's `Objects`, of these `Answers` are asked, and `checks` look at both and at nothing else. What is
//! found is a [`fault::Fault`] with its place, its effect and its cure.

mod answers;
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
mod objects;
mod pods;
mod probe;
mod replica;
pub mod report;
mod rules;

use std::time::Duration;

use kube::Config;

use self::answers::Answers;
pub use self::arguments::{ReadServe, Serve};
pub use self::environment::{Environment, Setting};
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
    let objects = collect::objects(&api, options).await?;
    let answers = Answers::ask(&api, &objects, options.probe_namespace.as_deref()).await;
    Ok(Report { server, checks: checks::all(&objects, &answers) })
}
