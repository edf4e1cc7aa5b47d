//! For any JSON that `serde_json` accepts: the engine finds the same images in a Pod, or both reject it. For any other text:
//! it does not panic.
#![no_main]

use std::borrow::Cow;
use std::fmt;

use libfuzzer_sys::fuzz_target;
use pullthrough_engine::{List, Pod};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object, in order and with duplicates.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    // A key with half a surrogate pair is no known key.
                    let key = serde_json::from_str::<String>(key.get()).unwrap_or_default();
                    fields.push((key.into(), value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Why a Pod is rejected.
struct Rejected;

type Expected<T> = Result<T, Rejected>;

fn of<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Expected<T> {
    serde_json::from_str(value.get()).map_err(|_| Rejected)
}

/// Returns the fields of an object that decisions need, if each is there once. `None` stands for a missing field, or null.
fn known<'a, const N: usize>(value: &'a RawValue, keys: [&str; N]) -> Expected<[Option<&'a RawValue>; N]> {
    let Fields(fields) = of(value)?;
    let mut found = [None; N];
    for (at, wanted) in keys.iter().enumerate() {
        let mut values = fields.iter().filter(|(key, _)| key == wanted).map(|(_, value)| *value);
        found[at] = values.next().filter(|value| value.get() != "null");
        if values.next().is_some() {
            return Err(Rejected);
        }
    }
    Ok(found)
}

fn text(value: Option<&RawValue>) -> Expected<String> {
    let Some(value) = value else { return Ok(String::new()) };
    if !value.get().starts_with('"') {
        return Err(Rejected);
    }
    // Half a surrogate pair, which `serde_json` rejects in texts and the engine replaces.
    Ok(serde_json::from_str(value.get()).unwrap_or_else(|_| "?".to_owned()))
}

fn list(value: Option<&RawValue>) -> Expected<Vec<&RawValue>> {
    value.map_or(Ok(Vec::new()), of)
}

/// Checks the metadata, which has no image.
fn check_metadata(metadata: &RawValue) -> Expected<()> {
    let keys = ["name", "generateName", "deletionTimestamp", "labels", "annotations"];
    let [name, generate_name, _, labels, annotations] = known(metadata, keys)?;
    text(name)?;
    text(generate_name)?;
    for (object, texts) in [(labels, "pullthrough.dev/rewrite"), (annotations, "pullthrough.dev/original-images")] {
        let Some(object) = object else { continue };
        let Fields(fields) = of(object)?;
        for (_, value) in fields.iter().filter(|(key, value)| key == texts && value.get() != "null") {
            text(Some(value))?;
        }
    }
    Ok(())
}

/// Returns place, image, and whether it is never pulled.
fn images(pod: &RawValue) -> Expected<Vec<(String, String, bool)>> {
    let [metadata, spec] = known(pod, ["metadata", "spec"])?;
    metadata.map_or(Ok(()), check_metadata)?;
    let mut images = Vec::new();
    let Some(spec) = spec else { return Ok(images) };
    known(spec, ["imagePullSecrets"])?;
    for name in List::ALL {
        let [entries] = known(spec, [name.as_str()])?;
        for (index, entry) in list(entries)?.into_iter().enumerate() {
            let (name_of, image, policy) = if name == List::Volumes {
                let [name_of, source] = known(entry, ["name", "image"])?;
                text(name_of)?;
                let Some(source) = source else { continue };
                let [image, policy] = known(source, ["reference", "pullPolicy"])?;
                (name_of, image, policy)
            } else {
                let [name_of, image, policy] = known(entry, ["name", "image", "imagePullPolicy"])?;
                (name_of, image, policy)
            };
            let place = match &*text(name_of)? {
                "" => format!("{}[{index}]", name.as_str()),
                name_of => format!("{}/{name_of}", name.as_str()),
            };
            images.push((place, text(image)?, text(policy)? == "Never"));
        }
    }
    Ok(images)
}

fn check(json: &str) {
    let read = Pod::parse(json);
    // Other texts may be accepted, since skipped values are not checked.
    if serde_json::from_str::<IgnoredAny>(json).is_err() {
        return;
    }
    let expected = serde_json::from_str::<&RawValue>(json).ok().map(images);
    match (read, expected) {
        (Ok(pod), Some(Ok(expected))) => {
            let sites = pod.into_sites();
            assert_eq!(sites.len(), expected.len(), "{json}");
            for (site, (place, image, pull_never)) in sites.iter().zip(expected) {
                // Texts with half a surrogate pair differ.
                let is_same = |one: &str, other: &str| one == other || one.contains('\u{fffd}');
                assert!(is_same(&site.place.to_string(), &place) && is_same(&site.image, &image), "{json}");
                assert_eq!(site.pull_never, pull_never, "{json}");
            }
        }
        (Err(_), Some(Err(Rejected))) => {}
        (read, expected) => panic!("{:?} and {:?}: {json}", read.map(drop), expected.map(|read| read.is_ok())),
    }
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (first, second, third) = input;
    check(first);
    check(&format!(r#"{{"metadata":{first},"a":{second},"spec":{third}}}"#));
    check(&format!(r#"{{"spec":{{"a":{first},"containers":[{{"env":{second},"image":{third}}}],"volumes":[{first},{second}]}}}}"#));
    check(&format!(
        r#"{{"metadata":{{"labels":{first},"annotations":{second}}},"spec":{{"containers":[{{"{first}":"{second}","image":"{third}"}}]}}}}"#
    ));
});
