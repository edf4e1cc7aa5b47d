//! The parts of a Pod that decisions need, borrowed from its JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bounds::{MAX_IMAGES, MAX_IMAGES_BYTES};
use super::json::{self, Quoted, Text, object, once};
use super::list::{Entries, List};
use super::owner::Labels;
use super::policy::PodState;

/// The label that disables rewriting, if the rules file allows it.
pub const REWRITE_LABEL: &str = "pullthrough.dev/rewrite";
/// The value of [`REWRITE_LABEL`].
pub const REWRITE_DISABLED: &str = "disabled";
/// The annotation with the references as written.
pub const ORIGINALS_ANNOTATION: &str = "pullthrough.dev/original-images";
/// The annotation of a mirror Pod, which represents a static Pod in the API server.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

object! {
    /// A Pod, or a template of Pods.
    pub struct Pod<'a> {
        pub metadata: Option<Metadata<'a>> = "metadata",
        pub spec: Option<Spec<'a>> = "spec",
    }
}

object! {
    pub struct Metadata<'a> {
        pub name: Option<Text<'a>> = "name",
        pub generate_name: Option<Text<'a>> = "generateName",
        pub deletion_timestamp: Option<IgnoredAny> = "deletionTimestamp",
        pub labels: Option<Labels<'a>> = "labels",
        // Read only for decisions that need it.
        pub owner_references: Option<&'a RawValue> = "ownerReferences",
        pub annotations: Option<Annotations<'a>> = "annotations",
    }
}

impl Metadata<'_> {
    /// Returns the state of a Pod that applies to all its images.
    pub fn state(&self) -> PodState {
        PodState {
            deleting: self.deletion_timestamp.is_some(),
            mirror: self.annotations.as_ref().is_some_and(|annotations| annotations.is_mirror),
            opted_out: self.label(REWRITE_LABEL).as_deref() == Some(REWRITE_DISABLED),
        }
    }
}

/// The annotations that decisions need, and the size of all annotations.
#[derive(Debug, Default)]
pub struct Annotations<'a> {
    pub is_mirror: bool,
    pub originals: Option<Quoted<'a>>,
    /// Bytes of all keys and values. The API server limits them.
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
                let (mut mirror, mut originals) = (None, None);
                let mut total_bytes = 0;
                while let Some(key) = map.next_key::<Quoted>()? {
                    total_bytes += key.decoded_bytes();
                    let mut counted = |value: Quoted<'de>| {
                        total_bytes += value.decoded_bytes();
                        value
                    };
                    match &*key.key() {
                        MIRROR_ANNOTATION => once(&mut mirror, MIRROR_ANNOTATION, || map.next_value().map(counted))?,
                        ORIGINALS_ANNOTATION => {
                            once(&mut originals, ORIGINALS_ANNOTATION, || map.next_value().map(counted))?;
                        }
                        _ => {
                            counted(map.next_value()?);
                        }
                    }
                }
                Ok(Annotations { is_mirror: mirror.is_some(), originals, total_bytes })
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom("expected an object, found a string"))
            }
        }

        deserializer.deserialize_any(AnnotationsVisitor)
    }
}

/// The images of a spec, and the list that a patch may add to.
#[derive(Debug, Default)]
pub struct Spec<'a> {
    /// The images, by list and in order.
    pub sites: Vec<Site<'a>>,
    /// The list, which is read only if a rule has pull secrets.
    pub image_pull_secrets: Option<&'a RawValue>,
}

impl<'a> Deserialize<'a> for Spec<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpecVisitor;

        impl<'de> Visitor<'de> for SpecVisitor {
            type Value = Spec<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut sites = Sites::default();
                let mut lists: [Option<()>; List::ALL.len()] = Default::default();
                let mut image_pull_secrets = None;
                while let Some(key) = map.next_key::<Quoted>()? {
                    let key = key.key();
                    if let Some(list) = List::ALL.into_iter().find(|list| list.as_str() == key) {
                        once(&mut lists[list as usize], &key, || match list.entries() {
                            Entries::Volumes => {
                                map.next_value_seed(sites.each(list, |Volume { name, image }: Volume<'de>| {
                                    image.map(|ImageVolumeSource { reference, pull_policy }| {
                                        (name, reference, pull_policy)
                                    })
                                }))
                            }
                            Entries::Containers => {
                                map.next_value_seed(sites.each(list, |container: Container<'de>| {
                                    let Container { name, image, image_pull_policy } = container;
                                    Some((name, image, image_pull_policy))
                                }))
                            }
                        })?;
                    } else if key == "imagePullSecrets" {
                        once(&mut image_pull_secrets, &key, || map.next_value())?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let mut sites = sites.list;
                sites.shrink_to_fit();
                sites.sort_unstable_by_key(|site| (site.place.list, site.place.index));
                Ok(Spec { sites, image_pull_secrets: image_pull_secrets.flatten() })
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom("expected an object, found a string"))
            }
        }

        deserializer.deserialize_any(SpecVisitor)
    }
}

/// The images of a spec that are read so far.
#[derive(Default)]
struct Sites<'a> {
    list: Vec<Site<'a>>,
    /// Bytes of images and names.
    bytes: usize,
}

/// Name, image and pull policy.
type Found<'a> = (Option<Quoted<'a>>, Option<Quoted<'a>>, Option<Text<'a>>);

impl<'a> Sites<'a> {
    /// Returns a reader of one list.
    fn each<T: Deserialize<'a>>(
        &mut self,
        list: List,
        image: impl Fn(T) -> Option<Found<'a>>,
    ) -> json::Each<T, impl FnMut(T) -> Result<(), &'static str>> {
        let mut index = 0;
        json::Each::new(move |entry| {
            if let Some((name, image, pull_policy)) = image(entry) {
                let (name, image) = (name.unwrap_or_default(), image.unwrap_or_default());
                self.bytes += name.decoded_bytes() + image.decoded_bytes();
                if self.list.len() >= MAX_IMAGES || self.bytes > MAX_IMAGES_BYTES {
                    return Err("more images than a stored Pod can have");
                }
                let place = Place { list, index, name: name.decoded() };
                let pull_never = pull_policy.is_some_and(|policy| &*policy == "Never");
                self.list.push(Site { place, image: image.decoded(), pull_never });
            }
            index += 1;
            Ok(())
        })
    }
}

object! {
    struct Container<'a> {
        name: Option<Quoted<'a>> = "name",
        image: Option<Quoted<'a>> = "image",
        image_pull_policy: Option<Text<'a>> = "imagePullPolicy",
    }
}

object! {
    struct Volume<'a> {
        name: Option<Quoted<'a>> = "name",
        image: Option<ImageVolumeSource<'a>> = "image",
    }
}

object! {
    struct ImageVolumeSource<'a> {
        reference: Option<Quoted<'a>> = "reference",
        pull_policy: Option<Text<'a>> = "pullPolicy",
    }
}

object! {
    pub struct LocalObjectReference<'a> {
        pub name: Option<Text<'a>> = "name",
    }
}

/// The place of an image in a Pod. Displays as `containers/app`; by position if the entry has no name.
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
    /// Returns the JSON pointer to the image string, which needs no escapes.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = format!("/spec/{}/{}", self.list.as_str(), self.index);
        for key in self.list.entries().image() {
            pointer.extend(["/", key]);
        }
        pointer
    }
}

/// An image and its place.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    pub place: Place<'a>,
    /// Empty if there is none.
    pub image: Cow<'a, str>,
    pub pull_never: bool,
}

impl<'a> Pod<'a> {
    /// Returns every image of the Pod, by list and in order.
    pub fn into_sites(self) -> Vec<Site<'a>> {
        self.spec.map(|spec| spec.sites).unwrap_or_default()
    }
}
