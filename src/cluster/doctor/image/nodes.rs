//! The container runtimes and the platforms of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::registry::Platform;

/// From this release on, containerd waits 30 s for the first header of a registry.
/// `ResponseHeaderTimeout` in `plugins/transfer` and `internal/cri` of containerd 2.3.
const WAITS_30_SECS: (u32, u32) = (2, 3);

/// What nodes report of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The number of nodes by runtime, such as `containerd://2.3.1`.
    pub runtimes: BTreeMap<String, usize>,
    pub platforms: BTreeSet<Platform>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    node_info: Option<NodeInfo>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    container_runtime_version: String,
    operating_system: String,
    architecture: String,
}

impl Nodes {
    /// Reads all nodes.
    ///
    /// # Errors
    ///
    /// Returns an error if a page is unavailable.
    pub async fn read(api: &Api) -> Result<Self, Failure> {
        let target = Target { api: "api/v1", resource: "nodes", namespace: None, name: None };
        let mut pages = Pages::of(api, target);
        let mut nodes = Self::default();
        while let Some(page) = pages.next().await? {
            page.items().for_each(|node| nodes.add(node));
        }
        Ok(nodes)
    }

    fn add(&mut self, raw: &str) {
        let Ok(Node { status: Some(Status { node_info: Some(info) }) }) = serde_json::from_str(raw) else { return };
        let NodeInfo { container_runtime_version, operating_system: os, architecture } = info;
        if !container_runtime_version.is_empty() {
            *self.runtimes.entry(container_runtime_version).or_default() += 1;
        }
        if !os.is_empty() && !architecture.is_empty() {
            self.platforms.insert(Platform { os, architecture, ..Platform::default() });
        }
    }

    /// Returns the runtimes that give up on a registry without a header for 30 s.
    pub fn impatient(&self) -> Vec<&str> {
        let is_impatient = |runtime: &&String| release(runtime).is_some_and(|release| release >= WAITS_30_SECS);
        self.runtimes.keys().filter(is_impatient).map(String::as_str).collect()
    }
}

/// Returns the release of containerd in `containerd://2.3.1-k3s1`.
fn release(runtime: &str) -> Option<(u32, u32)> {
    let version = runtime.strip_prefix("containerd://")?;
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+', '~']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_by_their_runtime() {
        let mut nodes = Nodes::default();
        for runtime in ["containerd://2.3.1", "containerd://2.3.1", "containerd://1.7.28", "cri-o://1.36.0", ""] {
            let info = serde_json::json!({"containerRuntimeVersion": runtime, "operatingSystem": "linux", "architecture": "arm64"});
            nodes.add(&serde_json::json!({"metadata": {"name": "n"}, "status": {"nodeInfo": info}}).to_string());
        }
        nodes.add(r#"{"metadata": {}}"#);
        assert_eq!(nodes.runtimes["containerd://2.3.1"], 2);
        assert_eq!(nodes.impatient(), ["containerd://2.3.1"]);
        assert_eq!(nodes.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/arm64"]);
    }

    #[test]
    fn releases_are_read_from_the_versions_of_distributions() {
        for (runtime, expected) in [
            ("containerd://2.3.1", Some((2, 3))),
            ("containerd://2.10.0-k3s1", Some((2, 10))),
            ("containerd://v2.3.0+unknown", Some((2, 3))),
            ("containerd://2.3~rc.0", Some((2, 3))),
            ("containerd://", None),
            ("cri-o://2.3.1", None),
        ] {
            assert_eq!(release(runtime), expected, "{runtime}");
        }
    }
}
