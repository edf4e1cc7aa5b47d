//! Images on nodes.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;

use crate::engine::ImageRef;
use crate::registry::Platform;

/// The default of a kubelet's `--node-status-max-images`.
pub const MOST_IMAGES: usize = 50;

/// The images of Pods and templates, as nodes name them.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    pub fn add(&mut self, image: &str) {
        if let Ok(image) = ImageRef::parse(image) {
            self.0.extend(names(&image));
        }
    }

    fn have(&self, image: &str) -> bool {
        ImageRef::parse(image).is_ok_and(|image| names(&image).any(|name| self.0.contains(&name)))
    }
}

/// Returns the name with the tag and with the digest. A runtime may report either, however the image was pulled.
fn names(image: &ImageRef) -> impl Iterator<Item = String> {
    let by_digest = image.digest().map(|digest| format!("{}@{digest}", image.canonical()));
    let tag = image.tag().or(image.digest().is_none().then_some("latest"));
    let by_tag = tag.map(|tag| format!("{}:{tag}", image.canonical()));
    by_digest.into_iter().chain(by_tag)
}

/// A node with its images.
pub struct Node<'a> {
    pub name: Cow<'a, str>,
    /// `None` until its kubelet reports it.
    pub platform: Option<Platform>,
    images: Vec<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    images: Option<Vec<Image<'a>>>,
    #[serde(borrow, default, rename = "nodeInfo")]
    node_info: Option<NodeInfo<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo<'a> {
    #[serde(borrow, default)]
    operating_system: Cow<'a, str>,
    #[serde(borrow, default)]
    architecture: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    names: Option<Vec<Cow<'a, str>>>,
}

/// Reads a node.
///
/// # Errors
///
/// Returns an error if the text is not a node in JSON.
pub fn read(json: &str) -> serde_json::Result<Node<'_>> {
    let Object { metadata, status } = serde_json::from_str(json)?;
    let (images, node_info) = status.map_or((None, None), |status| (status.images, status.node_info));
    let node_info = node_info.filter(|info| !info.operating_system.is_empty() && !info.architecture.is_empty());
    let platform = node_info.map(|NodeInfo { operating_system, architecture }| Platform {
        os: operating_system.into_owned(),
        architecture: architecture.into_owned(),
        ..Platform::default()
    });
    let images = images.unwrap_or_default();
    let images = images.into_iter().map(|image| image.names.unwrap_or_default()).collect();
    Ok(Node { name: metadata.name, platform, images })
}

impl Node<'_> {
    /// Returns whether the node may have more images than it reports.
    pub fn is_full(&self) -> bool {
        self.images.len() >= MOST_IMAGES
    }

    /// Returns the images that no Pod and no template has, each with one name: the one with a tag, if there is one.
    pub fn unused(&self, used: &Names) -> impl Iterator<Item = &str> {
        let unused = self.images.iter().filter(|names| !names.iter().any(|name| used.have(name)));
        unused.filter_map(|names| {
            // dockershim and cri-dockerd report an image without a name as `<none>:<none>`.
            let mut named = names.iter().filter(|name| !name.starts_with("<none>"));
            let tagged = named.clone().find(|name| !name.contains('@'));
            tagged.or_else(|| named.next()).map(|name| &**name)
        })
    }
}

/// Returns whether it is the image of Pods' sandboxes, by the name that all vendors use: `registry.k8s.io/pause`, `eks/pause`,
/// `pause-amd64`.
pub fn is_sandbox(image: &str) -> bool {
    ImageRef::parse(image).is_ok_and(|image| {
        let last = image.repository().rsplit('/').next().unwrap_or_default();
        last == "pause" || last.starts_with("pause-")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:5516d103a9c2ecc4f026efbd4b40662ce22dc1f824fb129ed121460aaa5c47f8";

    #[test]
    fn images_that_no_pod_has_are_unused() {
        let mut used = Names::default();
        for image in ["nginx", "quay.io/a:1", &format!("quay.io/b:1@{DIGEST}"), "Not An Image"] {
            used.add(image);
        }
        let node = json!({
            "metadata": {"name": "n"},
            "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "arm64", "kernelVersion": "6"}, "images": [
                {"names": [format!("docker.io/library/nginx@{DIGEST}"), "docker.io/library/nginx:latest"]},
                {"names": ["docker.io/library/nginx:1"]},
                {"names": ["quay.io/a:1"]},
                {"names": [format!("quay.io/b@{DIGEST}")]},
                {"names": [format!("quay.io/c@{DIGEST}")]},
                {"names": [format!("registry.k8s.io/pause@{DIGEST}"), "registry.k8s.io/pause:3.10"]},
                {"names": ["<none>@<none>", "<none>:<none>"]},
                {"names": null},
                {},
            ]},
        })
        .to_string();
        let node = read(&node).unwrap();
        let expected = ["docker.io/library/nginx:1", &format!("quay.io/c@{DIGEST}"), "registry.k8s.io/pause:3.10"];
        assert_eq!(node.unused(&used).collect::<Vec<_>>(), expected);
        assert!(!node.is_full());
        assert_eq!(node.platform.map(|platform| platform.to_string()).as_deref(), Some("linux/arm64"));
        assert_eq!(read(r#"{"metadata": {"name": "n"}}"#).unwrap().unused(&used).count(), 0);
    }

    #[test]
    fn sandbox_images_are_known_by_their_name() {
        for image in [
            "registry.k8s.io/pause:3.10",
            "602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/pause:3.5",
            "k8s.gcr.io/pause-amd64:3.1",
        ] {
            assert!(is_sandbox(image), "{image}");
        }
        for image in ["quay.io/pauses:1", "quay.io/pause/x:1", "quay.io/x:pause"] {
            assert!(!is_sandbox(image), "{image}");
        }
    }
}
