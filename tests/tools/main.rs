//! Pullthrough within other tools: `rewrite` as docs/rewrite.md shows it, and the plugin of kubectl. Each tool is the real one.

#[path = "../harness/mod.rs"]
mod harness;

mod helm;
mod krm;
mod page;
mod patch;
mod plugin;
mod pre_commit;
mod workshop;

use std::path::PathBuf;
use std::sync::LazyLock;

use harness::{ControlPlane, Options};

static CLUSTER: LazyLock<ControlPlane> =
    LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}")));

/// What the rules of the page make of the images of its manifest.
const PAUSE: &str = "cache.example.com/k8s/pause:3.10";
const NGINX: &str = "cache.example.com/hub/library/nginx";

/// A tool that `assets.sh` compiles or installs.
fn tool(name: &str) -> PathBuf {
    harness::assets(Some(name), &[]).unwrap_or_else(|error| panic!("{error:#}")).join(name)
}
