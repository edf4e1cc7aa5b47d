//! Tests against a real API server. They share one, and take a namespace and a webhook each.

#[path = "../harness/mod.rs"]
mod harness;

mod additions;
mod certificates;
mod conditions;
mod create;
mod doctor;
mod evasion;
mod exclusions;
mod failure;
mod guard;
mod injector;
mod installation;
mod kubeconfig;
mod manifests;
mod openshift;
mod policies;
mod reinvocation;
mod revocation;
mod scan;
mod scene;
mod server;
mod update;
mod ward;

use std::sync::LazyLock;
use std::time::Duration;

use harness::{ControlPlane, Options};

static CLUSTER: LazyLock<ControlPlane> =
    LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}")));

/// For whatever the API server does by and by.
const DEADLINE: Duration = Duration::from_secs(20);
