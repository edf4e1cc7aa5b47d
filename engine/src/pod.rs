//! The parts of a Pod that decisions need, borrowed from its JSON.

use std::borrow::Cow;
use std::fmt;

use super::bounds::{MAX_IMAGES, MAX_IMAGES_BYTES};
use super::json::{
    Fault, InvalidJson, Quoted, Raw, Read, Reader, Skipped, Text, object, once, parse, push_escaped, push_number,
};
use super::list::{Entries, List};
use super::owner::{Labels, Owner};
use super::policy::PodState;

/// The label that disables rewriting, if the rules file allows it.
pub const REWRITE_LABEL: &str = "pullthrough.dev/rewrite";
/// The value of [`REWRITE_LABEL`].
pub const REWRITE_DISABLED: &str = "disabled";
/// The annotation with the references as written.
pub const ORIGINALS_ANNOTATION: &str = "pullthrough.dev/original-images";
/// The key of a spec's list of pull secrets.
const PULL_SECRETS: &str = "imagePullSecrets";
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
        pub deletion_timestamp: Option<Skipped> = "deletionTimestamp",
        pub labels: Option<Labels<'a>> = "labels",
        // Read only for decisions that need it.
        pub owner_references: Option<Raw<'a>> = "ownerReferences",
        pub annotations: Option<Annotations<'a>> = "annotations",
    }
}

impl<'a> Metadata<'a> {
    /// Returns `name` and `generateName`, each empty if it is missing.
    pub(super) fn names(&self) -> (Cow<'a, str>, Cow<'a, str>) {
        let text = |text: &Option<Text<'a>>| text.as_ref().map(|text| text.0.clone()).unwrap_or_default();
        (text(&self.name), text(&self.generate_name))
    }

    /// Returns the controller of the Pod; `None` if it has none.
    pub fn controller(&self) -> Option<Owner<'a>> {
        Owner::controller(self.owner_references.as_ref()?)
    }

    /// Returns the value of a label; `None` if it is missing.
    pub fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        self.labels.as_ref()?.value(key)
    }

    /// Returns the state of a Pod that applies to all its images. Whether an operator manages it depends on the request too.
    pub fn state(&self) -> PodState {
        PodState {
            deleting: self.deletion_timestamp.is_some(),
            mirror: self.annotations.as_ref().is_some_and(|annotations| annotations.is_mirror),
            opted_out: self.label(REWRITE_LABEL).as_deref() == Some(REWRITE_DISABLED),
            operator_managed: false,
        }
    }
}

/// The annotations that decisions need. Of duplicate ones the last counts, as for the API server.
#[derive(Debug, Default, Clone)]
pub struct Annotations<'a> {
    pub is_mirror: bool,
    pub originals: Option<Quoted<'a>>,
    /// All of them, which are counted only if one is added.
    all: Option<Raw<'a>>,
}

impl<'a> Read<'a> for Annotations<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut annotations = Self::default();
        let all = reader.with_raw(|reader| {
            reader.object(|key, reader| match &*key.key() {
                MIRROR_ANNOTATION => {
                    annotations.is_mirror = true;
                    reader.skip()
                }
                ORIGINALS_ANNOTATION => {
                    annotations.originals = Read::read(reader)?;
                    Ok(())
                }
                _ => reader.skip(),
            })
        })?;
        Ok(Self { all: Some(all), ..annotations })
    }
}

impl Annotations<'_> {
    /// Returns the bytes of all keys and values, which the API server limits.
    ///
    /// # Errors
    ///
    /// Returns an error if a value is not a string.
    pub fn total_bytes(&self) -> Result<usize, InvalidJson> {
        let mut total_bytes = 0;
        let count = |reader: &mut Reader| {
            reader.object(|key, reader| {
                total_bytes += key.decoded_bytes() + reader.string()?.decoded_bytes();
                Ok(())
            })
        };
        self.all.as_ref().map_or(Ok(()), |all| all.read_with(count))?;
        Ok(total_bytes)
    }
}

/// The images of a spec, and the list that a patch may add to.
#[derive(Debug, Default)]
pub struct Spec<'a> {
    /// The images, by list and in order.
    pub sites: Vec<Site<'a>>,
    /// The list, which is read only if a rule has pull secrets.
    pub image_pull_secrets: Option<Raw<'a>>,
}

impl<'a> Read<'a> for Spec<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut sites = Sites::default();
        let mut lists = [false; List::ALL.len()];
        let mut image_pull_secrets = None;
        reader.object(|key, reader| {
            let key = key.key();
            if let Some(list) = List::ALL.into_iter().find(|list| list.as_str() == key) {
                if std::mem::replace(&mut lists[list as usize], true) {
                    return Err(reader.duplicate(list.as_str()));
                }
                sites.read_list(list, reader)
            } else if key == PULL_SECRETS {
                once(&mut image_pull_secrets, PULL_SECRETS, reader)
            } else {
                reader.skip()
            }
        })?;
        let mut sites = sites.list;
        sites.shrink_to_fit();
        sites.sort_unstable_by_key(|site| (site.place.list, site.place.index));
        Ok(Spec { sites, image_pull_secrets: image_pull_secrets.flatten() })
    }
}

/// The images of a spec that are read so far.
#[derive(Default)]
struct Sites<'a> {
    list: Vec<Site<'a>>,
    /// Bytes of images and names.
    bytes: usize,
}

impl<'a> Sites<'a> {
    fn read_list(&mut self, list: List, reader: &mut Reader<'a>) -> Result<(), Fault> {
        let mut index = 0;
        reader.list_or_null(|reader| {
            let image = match list.entries() {
                Entries::Containers => {
                    let Container { name, image, image_pull_policy } = Read::read(reader)?;
                    Some((name, image, image_pull_policy))
                }
                Entries::Volumes => {
                    let Volume { name, image } = Read::read(reader)?;
                    image.map(|ImageVolumeSource { reference, pull_policy }| (name, reference, pull_policy))
                }
            };
            if let Some((name, image, pull_policy)) = image {
                let (name, image) = (name.unwrap_or_default(), image.unwrap_or_default());
                self.bytes += name.decoded_bytes() + image.decoded_bytes();
                if self.list.len() >= MAX_IMAGES || self.bytes > MAX_IMAGES_BYTES {
                    return Err(reader.limit("more images than a stored Pod can have"));
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
    /// Appends the JSON pointer to the image string, which needs no escapes.
    pub(super) fn push_pointer(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(b"/spec/");
        to.extend_from_slice(self.list.as_str().as_bytes());
        to.push(b'/');
        push_number(to, self.index);
        for key in self.list.entries().image() {
            to.push(b'/');
            to.extend_from_slice(key.as_bytes());
        }
    }

    /// Appends the place as it displays, as a JSON string.
    pub(super) fn push_string(&self, to: &mut Vec<u8>) {
        to.push(b'"');
        to.extend_from_slice(self.list.as_str().as_bytes());
        match &*self.name {
            "" => {
                to.push(b'[');
                push_number(to, self.index);
                to.push(b']');
            }
            name => {
                to.push(b'/');
                push_escaped(to, name);
            }
        }
        to.push(b'"');
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
    /// Reads a Pod, or a template of Pods, from JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if it is unreadable as far as decisions need it. Other fields need not be valid.
    pub fn parse(json: &'a str) -> Result<Self, InvalidJson> {
        parse(json)
    }

    /// Returns every image of the Pod, by list and in order.
    pub fn into_sites(self) -> Vec<Site<'a>> {
        self.spec.map(|spec| spec.sites).unwrap_or_default()
    }
}
