//! Tests with a real API server. They share it, and each uses a namespace and a webhook of its own.

#[path = "../harness/mod.rs"]
mod harness;

mod additions;
mod cache;
mod certificates;
mod conditions;
mod create;
mod doctor;
mod doctor_image;
mod drill;
mod evasion;
mod exclusions;
mod failure;
mod guard;
mod injector;
mod installation;
mod kubeconfig;
mod operators;
mod overlays;
mod policies;
mod registry;
mod reinvocation;
mod revocation;
mod rollout;
mod scan;
mod scene;
mod server;
mod templates;
mod update;
mod verify;
mod verify_pull_secrets;
mod ward;

use std::sync::LazyLock;
use std::time::Duration;

use harness::{ControlPlane, Options};

static CLUSTER: LazyLock<ControlPlane> =
    LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}")));

/// The time that the API server may take for work in the background.
const DEADLINE: Duration = Duration::from_secs(20);
