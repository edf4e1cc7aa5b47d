//! Docker: `registry-mirrors` of daemon.json (dockerd(8)), which are of Docker Hub alone, and of all of it.

use serde::Serialize;

use super::mirrors::of_hosts;
use super::{Export, Omission};
use crate::engine::{DOCKER_HUB, Policy};

/// What goes into daemon.json.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Daemon {
    registry_mirrors: Vec<String>,
}

/// `scheme`: of the cache, `https` or `http`.
pub fn daemon(policy: &Policy, scheme: &str) -> Export<Daemon> {
    let Export { what: hosts, mut notes, mut omissions } = of_hosts(policy);
    notes.push(
        "not mirrored: Docker Hub where it is called registry-1.docker.io, registry.hub.docker.com or docker.io:443, or in \
         upper case"
            .to_owned(),
    );
    let mut registry_mirrors = Vec::new();
    for host in &hosts {
        let to = host.to.as_deref().unwrap_or_default();
        let why = match (host.prefix.as_str(), to.split_once('/')) {
            (DOCKER_HUB, None) => {
                registry_mirrors.push(format!("{scheme}://{to}"));
                continue;
            }
            (DOCKER_HUB, Some((to, path))) => format!("a mirror has no path: give {path} a host of its own at {to}"),
            _ => "Docker has mirrors of Docker Hub alone".to_owned(),
        };
        omissions.push(Omission { what: format!("host `{}`", host.prefix), why });
    }
    Export { what: Daemon { registry_mirrors }, notes, omissions }
}
