//! Export to Docker: `registry-mirrors` of daemon.json (dockerd(8)), which support only Docker Hub as a whole.

use serde::Serialize;

use super::mirrors::{ca_notes, of_hosts};
use super::{Export, Omission};
use crate::engine::{DOCKER_HUB, Policy};

/// The fields for daemon.json.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Daemon {
    registry_mirrors: Vec<String>,
}

/// Returns the mirrors of Docker Hub. `scheme` is the cache's, `https` or `http`.
pub fn daemon(policy: &Policy, scheme: &str) -> Export<Daemon> {
    let Export { what: hosts, mut notes, mut omissions } = of_hosts(policy);
    notes.push(
        "images of Docker Hub are not mirrored if their host is registry-1.docker.io, registry.hub.docker.com or docker.io:443, \
         or has upper case"
            .to_owned(),
    );
    notes.extend(ca_notes(policy));
    let mut registry_mirrors = Vec::new();
    for host in &hosts {
        let to = host.to.as_deref().unwrap_or_default();
        let why = match (host.prefix.as_str(), to.split_once('/')) {
            (DOCKER_HUB, None) => {
                registry_mirrors.push(format!("{scheme}://{to}"));
                for failover in &host.failover {
                    match failover.split_once('/') {
                        None => registry_mirrors.push(format!("{scheme}://{failover}")),
                        Some(_) => omissions.push(Omission {
                            what: format!("failover `{failover}`"),
                            why: "Docker's mirrors have no path".to_owned(),
                        }),
                    }
                }
                continue;
            }
            (DOCKER_HUB, Some((to, path))) => {
                format!("Docker's mirrors have no path: give {path} a host of its own at {to}")
            }
            _ => "Docker supports mirrors of Docker Hub only".to_owned(),
        };
        omissions.push(Omission { what: format!("host `{}`", host.prefix), why });
    }
    Export { what: Daemon { registry_mirrors }, notes, omissions }
}
