//! The parts of a Pod that count, borrowed from its JSON.

use std::borrow::Cow;
use std::fmt;

use json_patch::jsonptr::PointerBuf;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{self, Text, object};
use super::policy::PodState;

/// The label that switches rewriting off, where the rules file allows it.
pub const REWRITE_LABEL: &str = "pullthrough.dev/rewrite";
/// Its value.
pub const REWRITE_DISABLED: &str = "disabled";
/// The annotation with the references as they were written.
pub const ORIGINALS_ANNOTATION: &str = "pullthrough.dev/original-images";
/// On the API server's shadow of a static Pod.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

object! {
    /// A Pod, or the template of Pods.
    pub struct Pod<'a> {
        pub metadata: Option<Metadata<'a>> = "metadata",
        pub spec: Option<Spec<'a>> = "spec",
    }
}

object! {
    pub struct Metadata<'a> {
        pub name: Option<Text<'a>> = "name",
        pub generate_name: Option<Text<'a>> = "generateName",
        pub deletion_timestamp: Option<Text<'a>> = "deletionTimestamp",
        // Half of many a review. Only the API server writes it, and nothing in it is read or patched.
        _managed_fields: IgnoredAny = "managedFields",
        pub labels: Option<Labels<'a>> = "labels",
        pub annotations: Option<Annotations<'a>> = "annotations",
    }
}

impl Metadata<'_> {
    /// What of a Pod keeps all its images.
    pub fn state(&self) -> PodState {
        let rewrite = self.labels.as_ref().and_then(|labels| labels.rewrite.as_deref());
        PodState {
            deleting: self.deletion_timestamp.is_some(),
            mirror: self.annotations.as_ref().is_some_and(|annotations| annotations.mirror.is_some()),
            opted_out: rewrite == Some(REWRITE_DISABLED),
        }
    }
}

object! {
    pub struct Labels<'a> {
        pub rewrite: Option<Text<'a>> = REWRITE_LABEL,
    }
}

/// What counts of the annotations, which are read as a whole for their size.
#[derive(Debug, Default)]
pub struct Annotations<'a> {
    pub mirror: Option<Text<'a>>,
    pub originals: Option<Text<'a>>,
    /// Bytes of all keys and values, which the API server limits.
    pub total_bytes: usize,
}

impl<'a> Deserialize<'a> for Annotations<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnnotationsVisitor;

        impl<'de> Visitor<'de> for AnnotationsVisitor {
            type Value = Annotations<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut annotations = Annotations::default();
                let mut keys = json::Keys::default();
                while let Some(key) = map.next_key::<Text>()? {
                    let value = map.next_value::<Text>()?;
                    annotations.total_bytes += key.len() + value.len();
                    match &*key {
                        MIRROR_ANNOTATION => annotations.mirror = Some(value),
                        ORIGINALS_ANNOTATION => annotations.originals = Some(value),
                        _ => {}
                    }
                    keys.insert(key)?;
                }
                Ok(annotations)
            }
        }

        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

object! {
    pub struct Spec<'a> {
        containers: Option<json::List<Container<'a>>> = "containers",
        init_containers: Option<json::List<Container<'a>>> = "initContainers",
        ephemeral_containers: Option<json::List<Container<'a>>> = "ephemeralContainers",
        volumes: Option<json::List<Volume<'a>>> = "volumes",
        pub image_pull_secrets: Option<json::List<LocalObjectReference<'a>>> = "imagePullSecrets",
    }
}

object! {
    struct Container<'a> {
        name: Option<Text<'a>> = "name",
        image: Option<Text<'a>> = "image",
        image_pull_policy: Option<Text<'a>> = "imagePullPolicy",
    }
}

object! {
    struct Volume<'a> {
        name: Option<Text<'a>> = "name",
        image: Option<ImageVolumeSource<'a>> = "image",
    }
}

object! {
    struct ImageVolumeSource<'a> {
        reference: Option<Text<'a>> = "reference",
        pull_policy: Option<Text<'a>> = "pullPolicy",
    }
}

object! {
    pub struct LocalObjectReference<'a> {
        pub name: Option<Text<'a>> = "name",
    }
}

/// A list of a Pod's spec that holds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    Containers,
    InitContainers,
    EphemeralContainers,
    Volumes,
}

impl List {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
            Self::EphemeralContainers => "ephemeralContainers",
            Self::Volumes => "volumes",
        }
    }
}

/// Where in a Pod an image stands. Displays as `containers/app`; by position where it has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    pub list: List,
    pub index: usize,
    pub name: Cow<'a, str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => write!(f, "{}[{}]", self.list.as_str(), self.index),
            name => write!(f, "{}/{name}", self.list.as_str()),
        }
    }
}

impl Place<'_> {
    /// The JSON pointer to the image string.
    pub(super) fn pointer(&self) -> PointerBuf {
        let index = self.index.to_string();
        let start = ["spec", self.list.as_str(), &index];
        let end: &[&str] = if self.list == List::Volumes { &["image", "reference"] } else { &["image"] };
        PointerBuf::from_tokens(start.iter().chain(end).copied())
    }
}

/// An image and where it stands.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    pub place: Place<'a>,
    /// Empty where there is none.
    pub image: Cow<'a, str>,
    pub pull_never: bool,
}

impl<'a> Pod<'a> {
    /// Every image of the Pod, by list and in order.
    pub fn into_sites(self) -> Vec<Site<'a>> {
        let Some(Spec { containers, init_containers, ephemeral_containers, volumes, image_pull_secrets: _ }) =
            self.spec
        else {
            return Vec::new();
        };
        let lists = [
            (List::InitContainers, init_containers),
            (List::Containers, containers),
            (List::EphemeralContainers, ephemeral_containers),
        ];
        let containers = lists.into_iter().flat_map(|(list, containers)| {
            containers.into_iter().flat_map(|list| list.0).enumerate().map(move |(index, container)| {
                let Container { name, image, image_pull_policy } = container;
                site(list, index, name, image, image_pull_policy)
            })
        });
        let volumes =
            volumes.into_iter().flat_map(|list| list.0).enumerate().filter_map(|(index, Volume { name, image })| {
                let ImageVolumeSource { reference, pull_policy } = image?;
                Some(site(List::Volumes, index, name, reference, pull_policy))
            });
        containers.chain(volumes).collect()
    }
}

fn site<'a>(
    list: List,
    index: usize,
    name: Option<Text<'a>>,
    image: Option<Text<'a>>,
    pull_policy: Option<Text<'a>>,
) -> Site<'a> {
    let place = Place { list, index, name: name.unwrap_or_default().0 };
    let pull_never = pull_policy.is_some_and(|policy| &*policy == "Never");
    Site { place, image: image.unwrap_or_default().0, pull_never }
}
