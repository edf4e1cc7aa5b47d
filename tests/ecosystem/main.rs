//! pullthrough with the programs around it: Helm, kustomize, Kyverno, OLM, CRI-O, Docker, OpenShift, shells, a browser and others.
//!
//! `make test-ecosystem` installs or compiles them. A contributor's `make test` needs none of them.

mod chart;
mod existence;
mod export;
#[path = "../harness/mod.rs"]
mod harness;
mod init;
mod kustomize;
mod openshift;
mod operators;
mod products;
#[path = "../harness/program.rs"]
mod program;
mod report;
#[allow(dead_code, reason = "these tests use a part of it")]
#[path = "../e2e/scene.rs"]
mod scene;
mod shells;
mod tools;
mod warm;

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use harness::{ControlPlane, Options};

static CLUSTER: LazyLock<ControlPlane> =
    LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}")));

/// The time that the API server may take for work in the background.
const DEADLINE: Duration = Duration::from_secs(20);

/// Fails without a program that `tests/install.sh ecosystem` installs.
#[track_caller]
fn needs(program: &str) {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{program} is not installed: run tests/install.sh ecosystem"
    );
}
