//! Export to CRI-O: a drop-in for `registries.conf` (containers-registries.conf(5), version 2), and one for `crio.conf`
//! (crio.conf(5)) with the image of Pods' sandboxes.

use std::fmt::Write;

use super::mirrors::Mirror;
use super::{Export, containers_image, mirrors};
use crate::engine::Policy;

/// The first line of every file, which marks it as written by this export.
pub const MARKER: &str = "# Made by `pullthrough export crio`, which writes and removes it as the rules change.";
/// The path of each file below `/etc`.
pub const REGISTRIES_FILE: &str = "containers/registries.conf.d/50-pullthrough.conf";
pub const CRIO_FOLDER: &str = "crio";
pub const CRIO_FILE: &str = "crio/crio.conf.d/50-pullthrough.conf";

/// Options beside the rules.
#[derive(Debug, Clone, Copy)]
pub struct CrioOptions {
    /// If the cache fails, the node does not pull from the upstream.
    pub no_fallback: bool,
    /// The cache speaks plain HTTP, or has a certificate that nodes do not trust.
    pub insecure: bool,
}

/// Returns the drop-in for `registries.conf`.
pub fn registries(policy: &Policy, options: CrioOptions) -> Export<String> {
    containers_image::mirrors(policy).map(|mirrors| {
        let entries: Vec<String> = mirrors.iter().map(|mirror| registry(mirror, options)).collect();
        format!("{MARKER}\n{}", entries.join("\n"))
    })
}

/// Mirrors are tried in order, and the location after them (containers-registries.conf(5)).
fn registry(Mirror { prefix, to, failover }: &Mirror, CrioOptions { no_fallback, insecure }: CrioOptions) -> String {
    let mut mirrors: Vec<&String> = to.iter().chain(failover).collect();
    let last = if no_fallback { mirrors.pop() } else { None };
    let insecure = if insecure { "insecure = true\n" } else { "" };
    let mut text = format!("[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{}\"\n", last.unwrap_or(prefix));
    text += if last.is_some() { insecure } else { "" };
    for mirror in mirrors {
        let _ = write!(text, "\n[[registry.mirror]]\nlocation = \"{mirror}\"\n{insecure}");
    }
    text
}

/// Returns the drop-in for `crio.conf`; `None` if the rules do not rewrite the image.
pub fn crio(policy: &Policy, pause_image: &str) -> Export<Option<String>> {
    mirrors::sandbox_image(policy, "--pause-image", pause_image)
        .map(|image| Some(format!("{MARKER}\n[crio.image]\npause_image = \"{}\"\n", image?)))
}
