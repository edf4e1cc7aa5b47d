//! A Pod of the Deployment: its status, its certificate and its metrics.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use rustls::pki_types::ServerName;

use super::arguments;
use super::ask;
use super::handshake::{self, Chain};
use super::metrics::Metrics;
use crate::cluster::api::{Api, Failure};
use crate::words::secs;

/// A Pod behind the Service.
#[derive(Debug)]
pub struct Replica {
    pub name: String,
    pub ready: bool,
    pub terminating: bool,
    pub phase: String,
    /// The reason and the message of each waiting container.
    pub waiting: Vec<(String, String)>,
    /// Why it is not scheduled.
    pub unschedulable: Option<String>,
    pub restarts: i32,
    /// When a container last terminated, in seconds since 1970, with its reason and exit code.
    pub last_end: Option<(i64, String)>,
    /// Its answers; `None` if it is not running.
    pub asked: Option<PodAnswers>,
}

/// The answers of a running Pod.
#[derive(Debug)]
pub struct PodAnswers {
    pub chain: Result<Chain, Failure>,
    pub metrics: Result<Metrics, Failure>,
    /// The status and text of `/readyz`; `None` if the Pod is ready.
    pub readyz: Option<Result<(u16, String), Failure>>,
}

/// The parameters of the requests to replicas.
#[derive(Debug, Clone)]
pub struct Questions {
    pub namespace: String,
    /// The name that the API server expects in the certificate.
    pub server_name: Option<ServerName<'static>>,
}

impl Replica {
    pub async fn examine(api: Api, pod: Pod, questions: Questions) -> Self {
        let mut replica = Self::of(&pod);
        if replica.phase == "Running" && !replica.terminating {
            let asked = PodAnswers::of(&api, &pod, &replica, &questions).await;
            replica.asked = Some(asked);
        }
        replica
    }

    /// Reads the Pod's status, without a request to the Pod.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let is = |kind: &str, value: &str| {
            conditions.iter().find(|condition| condition.type_ == kind && condition.status == value)
        };
        let unschedulable = is("PodScheduled", "False").map(|condition| condition.message.clone().unwrap_or_default());
        let containers: Vec<ContainerStatus> =
            status.init_container_statuses.into_iter().chain(status.container_statuses).flatten().collect();
        let waiting = containers.iter().filter_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            Some((waiting.reason.clone().unwrap_or_default(), waiting.message.clone().unwrap_or_default()))
        });
        let ends = containers.iter().filter_map(|container| {
            let ended = container.last_state.as_ref()?.terminated.as_ref()?;
            let at_secs = ended.finished_at.as_ref().map_or(0, |time| time.0.as_second());
            let how = format!("{}, exit code {}", ended.reason.as_deref().unwrap_or("terminated"), ended.exit_code);
            Some((at_secs, how))
        });
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            ready: is("Ready", "True").is_some(),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            phase: status.phase.unwrap_or_default(),
            waiting: waiting.collect(),
            unschedulable,
            restarts: containers.iter().map(|container| container.restart_count).sum(),
            last_end: ends.max_by_key(|(at_secs, _)| *at_secs),
            asked: None,
        }
    }

    /// Returns its metrics, if they are available.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.asked.as_ref()?.metrics.as_ref().ok()
    }

    /// Returns whether it restarted at least 3 times, the last time within an hour.
    pub fn is_restarting(&self, now: std::time::SystemTime) -> bool {
        const RECENT_SECS: i64 = 60 * 60;
        const OFTEN: i32 = 3;
        self.restarts >= OFTEN && self.last_end.as_ref().is_some_and(|(at, _)| secs(now) - at < RECENT_SECS)
    }
}

impl PodAnswers {
    async fn of(api: &Api, pod: &Pod, replica: &Replica, questions: &Questions) -> Self {
        let Questions { namespace, server_name } = questions;
        let port = |name: &str| {
            let container = pod.spec.as_ref().and_then(arguments::container);
            let port = container.and_then(|container| arguments::port(container, name));
            port.ok_or_else(|| Failure::Broken(format!("its container has no port with the name `{name}`")))
        };
        let chain = async {
            let name = server_name
                .as_ref()
                .ok_or_else(|| Failure::Broken("the webhook configuration has no valid host".to_owned()))?;
            let talk = async |stream| handshake::shown(stream, name).await;
            api.forward(namespace, &replica.name, port("https")?, talk).await
        };
        let get = async |path: &str| {
            let talk = async |stream| ask::get(stream, path).await;
            api.forward(namespace, &replica.name, port("metrics")?, talk).await
        };
        let metrics = async {
            match get("/metrics").await? {
                (200, text) => Ok(Metrics::parse(&text)),
                (status, _) => Err(Failure::Broken(format!("GET /metrics: status {status}"))),
            }
        };
        let readyz = async { if replica.ready { None } else { Some(get("/readyz").await) } };
        let (chain, metrics, readyz) = tokio::join!(chain, metrics, readyz);
        Self { chain, metrics, readyz }
    }
}
