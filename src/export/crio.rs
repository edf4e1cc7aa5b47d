//! CRI-O: a drop-in for `registries.conf` (containers-registries.conf(5), version 2), and one for `crio.conf` (crio.conf(5))
//! with the image of Pods' sandboxes.

use std::fmt::Write;

use super::mirrors::Mirror;
use super::{Export, containers_image, mirrors};
use crate::engine::Policy;

/// The first line of every file, by which it is known again.
pub const MARKER: &str = "# Made by `pullthrough export crio`, which writes and removes it as the rules change.";
/// Where each is read, below `/etc`.
pub const REGISTRIES_FILE: &str = "containers/registries.conf.d/50-pullthrough.conf";
pub const CRIO_FOLDER: &str = "crio";
pub const CRIO_FILE: &str = "crio/crio.conf.d/50-pullthrough.conf";

/// What the rules do not say.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where the cache fails, images don't come from where they are named either.
    pub no_fallback: bool,
    /// The cache speaks plain HTTP, or shows a certificate that nodes don't trust.
    pub insecure: bool,
}

/// The drop-in for `registries.conf`.
pub fn registries(policy: &Policy, options: Options) -> Export<String> {
    containers_image::mirrors(policy).map(|mirrors| {
        let entries: Vec<String> = mirrors.iter().map(|mirror| registry(mirror, options)).collect();
        format!("{MARKER}\n{}", entries.join("\n"))
    })
}

fn registry(Mirror { prefix, to }: &Mirror, Options { no_fallback, insecure }: Options) -> String {
    let location = to.as_ref().filter(|_| no_fallback).unwrap_or(prefix);
    let mut text = format!("[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{location}\"\n");
    if let Some(to) = to {
        if !no_fallback {
            let _ = write!(text, "\n[[registry.mirror]]\nlocation = \"{to}\"\n");
        }
        if insecure {
            text += "insecure = true\n";
        }
    }
    text
}

/// The drop-in for `crio.conf`; nothing where the rules don't rewrite the image.
pub fn crio(policy: &Policy, pause_image: &str) -> Export<Option<String>> {
    mirrors::sandbox_image(policy, "--pause-image", pause_image)
        .map(|image| Some(format!("{MARKER}\n[crio.image]\npause_image = \"{}\"\n", image?)))
}
