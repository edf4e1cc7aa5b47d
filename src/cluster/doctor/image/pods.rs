//! Pods that have the image, why they wait, and their events.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::ListParams;
use serde::Deserialize;

use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::engine::ImageRef;

/// Pods whose events are read. Others have the same image and the same registry.
const MAX_ASKED: usize = 5;
const MAX_EVENTS_BYTES: usize = 8 << 20;
/// Reasons of waiting containers that are about the image.
const REASONS: [&str; 8] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "ErrImageNotRetryable",
];
/// Reasons of events that are about an image or a pull Secret.
const EVENTS: [&str; 4] = ["Failed", "InspectFailed", "ErrImageNeverPull", "FailedToRetrieveImagePullSecret"];

/// A container with the image.
#[derive(Debug, Clone)]
pub struct Use {
    pub pod: String,
    pub container: String,
    /// As the Pod has it.
    pub image: String,
    pub node: Option<String>,
    /// The Pod's, to which the API server adds those of its service account.
    pub pull_secrets: Vec<String>,
    pub failing: Option<Failing>,
}

/// A container whose image is not pulled.
#[derive(Debug, Clone)]
pub struct Failing {
    pub reason: String,
    /// The messages of the kubelet, without repetitions. The container runtime's words are in them.
    pub messages: Vec<String>,
}

/// Returns whether two images are the same: name, tag and digest.
pub fn is_same(one: &str, other: &str) -> bool {
    let key = |image: &ImageRef| {
        let tag = image.tag().or(image.digest().is_none().then_some("latest")).map(str::to_owned);
        (image.canonical().to_owned(), tag, image.digest().map(str::to_owned))
    };
    one == other
        || ImageRef::parse(one).is_ok_and(|one| ImageRef::parse(other).is_ok_and(|other| key(&one) == key(&other)))
}

/// Reads the Pods of a namespace that have one of `names`, with the events of those that wait for it.
///
/// # Errors
///
/// Returns an error if the Pods are unavailable. Unavailable events are in the second value.
pub async fn read(api: &Api, namespace: &str, names: &[&str]) -> Result<(Vec<Use>, Option<Failure>), Failure> {
    let target = Target { api: "api/v1", resource: "pods", namespace: Some(namespace), name: None };
    let mut pages = Pages::of(api, target);
    let mut uses = Vec::new();
    while let Some(page) = pages.next().await? {
        for raw in page.items() {
            // A page has Pods only, and k8s-openapi knows their fields.
            let Ok(pod) = serde_json::from_str::<Pod>(raw) else { continue };
            uses.extend(of_pod(&pod, names));
        }
    }
    let mut unavailable = None;
    for one in uses.iter_mut().filter(|one| one.failing.is_some()).take(MAX_ASKED) {
        match messages(api, namespace, &one.pod, &one.image).await {
            Ok(messages) => {
                let known = one.failing.iter_mut().flat_map(|failing| &mut failing.messages);
                let known: Vec<String> = known.map(|message| message.clone()).collect();
                let new = messages.into_iter().filter(|message| !known.contains(message));
                if let Some(failing) = &mut one.failing {
                    failing.messages.extend(new);
                }
            }
            Err(failure) => unavailable = Some(failure),
        }
    }
    Ok((uses, unavailable))
}

fn of_pod(pod: &Pod, names: &[&str]) -> Vec<Use> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|container| (&container.name, &container.image));
    let main = spec.containers.iter().map(|container| (&container.name, &container.image));
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| (&container.name, &container.image));
    let status = pod.status.clone().unwrap_or_default();
    let statuses = [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
    let statuses: Vec<ContainerStatus> = statuses.into_iter().flatten().flatten().collect();
    let of_container = |(container, image): (&String, &Option<String>)| {
        let image = image.as_ref().filter(|image| names.iter().any(|name| is_same(image, name)))?;
        let waiting = statuses.iter().find(|status| status.name == *container);
        let waiting = waiting.and_then(|status| status.state.as_ref()?.waiting.clone());
        let failing = waiting.and_then(|waiting| {
            let reason = waiting.reason.filter(|reason| REASONS.contains(&reason.as_str()))?;
            Some(Failing { reason, messages: waiting.message.into_iter().collect() })
        });
        Some(Use {
            pod: pod.metadata.name.clone().unwrap_or_default(),
            container: container.clone(),
            image: image.clone(),
            node: spec.node_name.clone(),
            pull_secrets: spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()).collect(),
            failing,
        })
    };
    init.chain(main).chain(ephemeral).filter_map(of_container).collect()
}

#[derive(Deserialize)]
struct Events {
    #[serde(default)]
    items: Vec<Event>,
}

/// Returns the messages of a Pod's events about the image and its pull Secrets, the newest first.
async fn messages(api: &Api, namespace: &str, pod: &str, image: &str) -> Result<Vec<String>, Failure> {
    let target = Target { api: "api/v1", resource: "events", namespace: Some(namespace), name: None };
    let params = ListParams::default().fields(&format!("involvedObject.kind=Pod,involvedObject.name={pod}"));
    let text = api.page(&target.collection(), &params, &target.permission("list"), MAX_EVENTS_BYTES).await?;
    let events: Events = serde_json::from_slice(&text).map_err(|error| Failure::Broken(error.to_string()))?;
    let mut events = events.items;
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| std::cmp::Reverse(time.0)));
    let quoted = format!("\"{image}\"");
    let is_about = |event: &Event| {
        let message = event.message.as_deref().unwrap_or_default();
        let reason = event.reason.as_deref().unwrap_or_default();
        // An event that only says `Error: ErrImagePull` has no cause.
        EVENTS.contains(&reason) && (message.contains(&quoted) || reason == "FailedToRetrieveImagePullSecret")
    };
    let mut messages: Vec<String> = Vec::new();
    for message in events.into_iter().filter(is_about).filter_map(|event| event.message) {
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_are_compared_by_name_tag_and_digest() {
        for (one, other, expected) in [
            ("nginx", "docker.io/library/nginx:latest", true),
            ("nginx:1", "nginx", false),
            ("Not An Image", "Not An Image", true),
            ("quay.io/a:1", "quay.io/b:1", false),
        ] {
            assert_eq!(is_same(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn containers_that_wait_for_the_image_fail() {
        let waiting = |name: &str, reason: &str| {
            json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "m"}}})
        };
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {
                "imagePullSecrets": [{"name": "s"}],
                "initContainers": [{"name": "i", "image": "docker.io/nginx:1"}],
                "containers": [{"name": "a", "image": "c.example/hub/library/nginx:1"}, {"name": "b", "image": "quay.io/x:1"}],
            },
            "status": {
                "initContainerStatuses": [waiting("i", "PodInitializing")],
                "containerStatuses": [waiting("a", "ImagePullBackOff"), waiting("b", "ErrImagePull")],
            },
        }))
        .unwrap();
        let uses = of_pod(&pod, &["nginx:1", "c.example/hub/library/nginx:1"]);
        let seen: Vec<_> = uses
            .iter()
            .map(|one| (&*one.container, one.failing.as_ref().map(|failing| (&*failing.reason, &*failing.messages))))
            .collect();
        assert_eq!(seen, [("i", None), ("a", Some(("ImagePullBackOff", &["m".to_owned()][..])))]);
        assert_eq!(uses[0].pull_secrets, ["s"]);
    }
}
