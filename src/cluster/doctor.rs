//! `pullthrough doctor`: inspects a cluster from outside, and reports faults with their fixes.
//!
//! `collect` reads the cluster's `Objects`. `Answers` are what replicas and API server answer to requests about them. `checks`
//! read both and nothing else. A finding is a [`fault::Fault`] with its place, its effect and its fix.

mod answers;
mod arguments;
mod ask;
mod checks;
mod collect;
mod endpoint;
mod environment;
pub mod fault;
mod handshake;
pub mod image;
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

/// What to inspect, and what to compare it with.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// The namespace that pullthrough runs in, unless the webhook configuration names another.
    pub namespace: String,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// Rules to compare with, instead of the cluster's.
    pub rules: Option<Given>,
    /// The namespace of the dry run's Pod. By default the one in which most rules apply.
    pub probe_namespace: Option<String>,
    /// Reads the Deployment's arguments.
    pub read_serve: ReadServe,
    /// The timeout of each request, connection and response.
    pub timeout: Duration,
}

/// Inspects the cluster that `config` names.
///
/// # Errors
///
/// Returns an error if the API server is unavailable, or if it rejects the credentials.
pub async fn examine(config: Config, options: &DoctorOptions) -> Result<Report, Failure> {
    let server = config.cluster_url.to_string();
    let api = Api::new(config, options.timeout).await?;
    let objects = collect::objects(&api, options).await?;
    let answers = Answers::ask(&api, &objects, options.probe_namespace.as_deref()).await;
    Ok(Report { server: Some(server), checks: checks::all(&objects, &answers) })
}
