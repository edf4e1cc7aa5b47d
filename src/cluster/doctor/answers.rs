//! What was asked of what was seen: of replicas, of the server behind a URL, and of the API server about Pods.

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

/// All answers. A question depends on the objects, and on the answers to the questions before it.
#[derive(Debug)]
pub struct Answers {
    pub replicas: Vec<Replica>,
    /// What the server behind a URL shows.
    pub direct: Option<Result<Chain, Failure>>,
    /// Since when every replica has had these rules, as far as that is known; in seconds since 1970.
    pub in_force_since_secs: Option<i64>,
    pub survey: Option<Result<Survey, Failure>>,
    pub dry_run: DryRun,
    /// `None`: without `--manage-certificates`.
    pub managed: Setting<Option<Managed>>,
}

impl Answers {
    pub async fn ask(api: &Api, objects: &Objects, probe_namespace: Option<&str>) -> Self {
        let direct = match &objects.endpoint {
            Endpoint::Url(url) => Some(endpoint::shown(api, url).await),
            Endpoint::Service { .. } => None,
        };
        let replicas = replicas(api, objects).await;
        let in_force_since_secs = in_force_since_secs(objects, &replicas);
        let survey = survey(api, objects, in_force_since_secs).await;
        let known = survey.as_ref().and_then(|survey| survey.as_ref().ok());
        let dry_run = DryRun::run(api, objects, known, probe_namespace).await;
        let managed = managed::look(api, objects).await;
        Self { replicas, direct, in_force_since_secs, survey, dry_run, managed }
    }
}

/// Has the replicas show what they have.
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

/// Since when all replicas have had the rules of the cluster, where all say so.
fn in_force_since_secs(objects: &Objects, replicas: &[Replica]) -> Option<i64> {
    let rules = objects.rules.as_ref().ok()?;
    let mut latest = None;
    for replica in replicas.iter().filter(|replica| replica.ready) {
        let metrics = replica.metrics()?;
        let since_secs = metrics.rules_since_secs.filter(|_| metrics.rules_hash.as_ref() == Some(&rules.hash))?;
        latest = latest.max(Some(since_secs));
    }
    latest
}

async fn survey(api: &Api, objects: &Objects, in_force_since_secs: Option<i64>) -> Option<Result<Survey, Failure>> {
    let policy = objects.policy()?;
    objects.webhook()?;
    let created_secs = found(&objects.registered)?.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let since_secs = in_force_since_secs.zip(created_secs).map(|(rules, created)| rules.max(created));
    let in_reach = |namespace: &str| objects.is_in_reach(namespace);
    Some(Survey::take(api, &Scope { policy, in_reach: &in_reach, since_secs }).await)
}
