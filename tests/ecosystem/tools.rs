//! `rewrite` in other tools, as docs/how-to/rewrite-manifests.md shows it, and the kubectl plugin.

mod helm;
mod krm;
mod page;
mod patch;
mod plugin;
mod pre_commit;
mod workshop;

use std::path::PathBuf;

use crate::harness;

/// The rewritten images of the page's manifest.
const PAUSE: &str = "cache.example.com/k8s/pause:3.10";
const NGINX: &str = "cache.example.com/hub/library/nginx";

/// Returns the path of a tool that `assets.sh` compiles or installs.
fn tool(name: &str) -> PathBuf {
    harness::assets(Some(name), &[]).unwrap_or_else(|error| panic!("{error:#}")).join(name)
}
