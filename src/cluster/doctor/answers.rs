//! Requests to replicas, to the server behind a URL and to the API server, and their answers.

use tokio::task::JoinSet;

use super::endpoint::{self, Endpoint};
use super::environment::Setting;
use super::handshake::Chain;
use super::managed::{self, Managed};
use super::objects::Objects;
use super::pods::{Scope, Survey};
use super::probe::DryRun;
use super::replica::{Questions, Replica};
use crate::cluster::api::{Api, Failure, found};

/// All answers. A request depends on the objects, and on the answers to earlier requests.
#[derive(Debug)]
pub struct Answers {
    pub replicas: Vec<Replica>,
    /// The certificate chain of the server behind a URL.
    pub direct: Option<Result<Chain, Failure>>,
    /// When the last replica loaded these rules, in seconds since 1970; `None` if unknown.
    pub loaded_since_secs: Option<i64>,
    pub survey: Option<Result<Survey, Failure>>,
    pub dry_run: DryRun,
    /// `None` without `--manage-certificates`.
    pub managed: Setting<Option<Managed>>,
}

impl Answers {
    pub async fn ask(api: &Api, objects: &Objects, probe_namespace: Option<&str>) -> Self {
        let direct = match &objects.endpoint {
            Endpoint::Url(url) => Some(endpoint::shown(api, url).await),
            Endpoint::Service { .. } => None,
        };
        let replicas = replicas(api, objects).await;
        let loaded_since_secs = loaded_since_secs(objects, &replicas);
        let survey = survey(api, objects, loaded_since_secs).await;
        let known = survey.as_ref().and_then(|survey| survey.as_ref().ok());
        let dry_run = DryRun::run(api, objects, known, probe_namespace).await;
        let managed = managed::look(api, objects).await;
        Self { replicas, direct, loaded_since_secs, survey, dry_run, managed }
    }
}

/// Examines all replicas at the same time.
async fn replicas(api: &Api, objects: &Objects) -> Vec<Replica> {
    let questions =
        Questions { namespace: objects.namespace.clone(), server_name: endpoint::server_name(&objects.endpoint) };
    let mut asked = JoinSet::new();
    for pod in objects.pods.iter().flatten() {
        asked.spawn(Replica::examine(api.clone(), pod.clone(), questions.clone()));
    }
    let mut replicas = Vec::new();
    while let Some(replica) = asked.join_next().await {
        replicas.extend(replica.ok());
    }
    replicas.sort_by(|a, b| a.name.cmp(&b.name));
    replicas
}

/// Returns when the last replica loaded the rules of the cluster, if all replicas have loaded them.
fn loaded_since_secs(objects: &Objects, replicas: &[Replica]) -> Option<i64> {
    let rules = objects.rules.as_ref().ok()?;
    let mut latest = None;
    for replica in replicas.iter().filter(|replica| replica.ready) {
        let metrics = replica.metrics()?;
        let since_secs = metrics.rules_since_secs.filter(|_| metrics.rules_hash.as_ref() == Some(&rules.hash))?;
        latest = latest.max(Some(since_secs));
    }
    latest
}

async fn survey(api: &Api, objects: &Objects, loaded_since_secs: Option<i64>) -> Option<Result<Survey, Failure>> {
    let policy = objects.policy()?;
    objects.webhook()?;
    let created_secs =
        found(&objects.configuration)?.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let since_secs = loaded_since_secs.zip(created_secs).map(|(rules, created)| rules.max(created));
    let is_covered = |namespace: &str| objects.covers(namespace);
    Some(Survey::take(api, &Scope { policy, is_covered: &is_covered, since_secs }).await)
}
