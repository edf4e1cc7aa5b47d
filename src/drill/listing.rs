//! Listings of the objects of a storage of distribution, as the tools of object storages and `find` print them.
//!
//! Keys as in registry/storage/paths.go of distribution. A listing has names, and sizes and times in some formats, but no content.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::words::{count, few, parse_secs, visible};

const ROOT: &str = "docker/registry/v2/";
/// The fields of an entry in JSON: of `aws s3api list-objects-v2`, `az storage blob list`, `rclone lsjson` and `gcloud storage ls
/// --json`.
const KEYS: [&str; 5] = ["/Key", "/metadata/name", "/name", "/Path", "/url"];
const SIZES: [&str; 4] = ["/Size", "/properties/contentLength", "/metadata/size", "/size"];
const TIMES: [&str; 4] = ["/LastModified", "/properties/lastModified", "/ModTime", "/metadata/updated"];
/// Fields that say that there are more pages.
const MORE: [&str; 5] = ["NextToken", "nextToken", "NextMarker", "nextMarker", "NextContinuationToken"];

/// An object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object {
    pub size_bytes: Option<u64>,
    /// When it was written, in seconds since 1970.
    pub written_secs: Option<i64>,
}

/// The objects of a storage, by the part of their keys below `docker/registry/v2/`.
#[derive(Debug, Default)]
pub struct Listing {
    objects: BTreeMap<String, Object>,
    /// What is before `docker/registry/v2/`.
    roots: BTreeSet<String>,
    /// Entries without a key of the storage: their number, and the first one.
    others: (usize, Option<String>),
}

impl Listing {
    /// Reads a listing.
    ///
    /// # Errors
    ///
    /// Returns why it is not the listing of one whole storage.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut listing = Self::default();
        if text.trim_start().starts_with(['{', '[']) {
            for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
                listing.add_json(&value.map_err(|error| format!("{error}; write it as JSON or as text"))?)?;
            }
        } else {
            text.lines().for_each(|line| listing.add_line(line));
        }
        let roots: Vec<&String> = listing.roots.iter().collect();
        if roots.len() > 1 {
            return Err(format!("it has the keys of {}: {}; list one", count(roots.len(), "storage"), few(&roots)));
        }
        for folder in ["blobs/", "repositories/"] {
            if listing.below(folder).next().is_none() {
                return Err(format!("it has no key below {ROOT}{folder}; list the whole storage, with all subfolders"));
            }
        }
        Ok(listing)
    }

    pub fn get(&self, key: &str) -> Option<Object> {
        self.objects.get(key).copied()
    }

    /// Returns the objects whose keys begin with `folder`, by the rest of their keys.
    pub fn below<'l>(&'l self, folder: &'l str) -> impl Iterator<Item = (&'l str, Object)> {
        let from = self.objects.range(folder.to_owned()..);
        from.map_while(move |(key, object)| Some((key.strip_prefix(folder)?, *object)))
    }

    /// Returns what was not understood.
    pub fn note(&self) -> Option<String> {
        let (all, first) = &self.others;
        let first = first.as_ref()?;
        Some(format!("{} without a key below {ROOT}; the first is `{}`", count(*all, "entry"), visible(first)))
    }

    fn add_line(&mut self, line: &str) {
        let line = line.trim_end();
        let Some((head, key)) = line.split_once(ROOT) else {
            // Folders of `aws s3 ls`, totals, and what is beside the storage.
            if !line.is_empty() {
                self.add_other(line);
            }
            return;
        };
        let is_column = head.is_empty() || head.ends_with(char::is_whitespace);
        let mut columns: Vec<&str> = head.split_whitespace().collect();
        let root = if is_column { "" } else { columns.pop().unwrap_or_default() };
        let object = match &*columns {
            // aws s3 ls --recursive
            [date, time, size] if parse_secs(&format!("{date}T{time}Z")).is_some() => {
                Object { size_bytes: size.parse().ok(), written_secs: parse_secs(&format!("{date}T{time}Z")) }
            }
            // gsutil ls -l, gcloud storage ls -l
            [size, time] if parse_secs(time).is_some() => {
                Object { size_bytes: size.parse().ok(), written_secs: parse_secs(time) }
            }
            // rclone lsl
            [size, date, time] if parse_secs(&format!("{date}T{time}Z")).is_some() => {
                Object { size_bytes: size.parse().ok(), written_secs: parse_secs(&format!("{date}T{time}Z")) }
            }
            _ => Object::default(),
        };
        self.add(root, key, object);
    }

    fn add_json(&mut self, value: &Value) -> Result<(), String> {
        let is_cut = |value: &Value| {
            let names_next = MORE.iter().any(|key| value.get(key).is_some_and(Value::is_string));
            names_next || value.get("IsTruncated").and_then(Value::as_bool) == Some(true)
        };
        let entries = match value {
            Value::Array(entries) => entries,
            Value::Object(fields) => match fields.get("Contents").and_then(Value::as_array) {
                Some(entries) => entries,
                None => {
                    let keys: Vec<&String> = fields.keys().collect();
                    return Err(format!("an object has no `Contents`, but {}; write the list as it was", few(&keys)));
                }
            },
            _ => return Err("it is neither a list nor an object; write the list as it was".to_owned()),
        };
        if is_cut(value) || entries.iter().any(is_cut) {
            return Err("it is a page, and there are more; list without a limit".to_owned());
        }
        for entry in entries {
            let text = |pointers: &[&str]| pointers.iter().find_map(|pointer| entry.pointer(pointer)).cloned();
            let key = text(&KEYS).and_then(|key| Some(key.as_str()?.to_owned())).unwrap_or_default();
            let Some((root, key)) = key.split_once(ROOT) else {
                self.add_other(&if key.is_empty() { entry.to_string() } else { key });
                continue;
            };
            let size_bytes = text(&SIZES).and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()));
            let written_secs = text(&TIMES).and_then(|time| parse_secs(time.as_str()?));
            self.add(root, key, Object { size_bytes, written_secs });
        }
        Ok(())
    }

    fn add(&mut self, root: &str, key: &str, object: Object) {
        self.roots.insert(root.to_owned());
        // Only these are files of what is stored. Others are folders, and uploads that are not done.
        if key.ends_with("/link") || key.ends_with("/data") {
            self.objects.insert(key.to_owned(), object);
        }
    }

    fn add_other(&mut self, entry: &str) {
        const SHOWN: usize = 80;
        self.others.0 += 1;
        self.others.1.get_or_insert_with(|| entry.trim().chars().take(SHOWN).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "docker/registry/v2/blobs/sha256/ab/abc/data";
    const LINK: &str = "docker/registry/v2/repositories/a/_layers/sha256/abc/link";

    #[test]
    fn listings_of_tools_are_read() {
        let size = Object { size_bytes: Some(123), written_secs: None };
        let whole = Object { size_bytes: Some(123), written_secs: Some(1_700_000_000) };
        let json = |entry: &str| entry.replace("KEY", DATA) + &format!(",{}", entry.replace("KEY", LINK));
        let s3 = json(r#"{"Key":"KEY","Size":123,"LastModified":"2023-11-14T22:13:20+00:00"}"#);
        let azure =
            json(r#"{"name":"KEY","properties":{"contentLength":123,"lastModified":"2023-11-14T22:13:20+00:00"}}"#);
        let google = json(
            r#"{"url":"gs://b/KEY","type":"cloud_object","metadata":{"name":"KEY","size":"123","updated":"2023-11-14T22:13:20Z"}}"#,
        );
        let rclone = json(r#"{"Path":"KEY","Size":123,"ModTime":"2023-11-14T22:13:20.000000000Z","IsDir":false}"#);
        for (tool, text, expected) in [
            (
                "aws s3 ls --recursive",
                format!("2023-11-14 22:13:20        123 {DATA}\n2023-11-14 22:13:20 71 {LINK}\n\nTotal Objects: 2\n"),
                whole,
            ),
            (
                "aws s3 ls of a folder",
                format!("2023-11-14 22:13:20        123 x/{DATA}\n2023-11-14 22:13:20 71 x/{LINK}\n"),
                whole,
            ),
            ("aws s3api list-objects-v2", format!(r#"{{"Contents":[{s3}],"RequestCharged":null}}"#), whole),
            ("aws s3api, pages", format!("{{\"Contents\":[{s3}]}}\n{{\"Contents\":[]}}"), whole),
            ("gsutil ls -r", format!("gs://b/docker/:\n\ngs://b/{DATA}\ngs://b/{LINK}\n"), Object::default()),
            (
                "gsutil ls -lr",
                format!(
                    "       123  2023-11-14T22:13:20Z  gs://b/{DATA}\n 71  2023-11-14T22:13:20Z  gs://b/{LINK}\nTOTAL: 2 objects\n"
                ),
                whole,
            ),
            ("gcloud storage ls --json", format!("[{google}]"), whole),
            ("az storage blob list", format!("[{azure}]"), whole),
            ("rclone lsf -R", format!("docker/\ndocker/registry/v2/\n{DATA}\n{LINK}\n"), Object::default()),
            (
                "rclone lsl",
                format!("      123 2023-11-14 22:13:20.000000000 {DATA}\n 71 2023-11-14 22:13:20.000000000 {LINK}\n"),
                whole,
            ),
            ("rclone lsjson", format!("[{rclone}]"), whole),
            (
                "find",
                format!("/var/lib/registry/docker\n/var/lib/registry/{DATA}\n/var/lib/registry/{LINK}\n"),
                Object::default(),
            ),
            ("a size without a time", format!(r#"[{{"Path":"{DATA}","Size":123}},{{"Path":"{LINK}"}}]"#), size),
        ] {
            let listing = Listing::parse(&text).unwrap_or_else(|why| panic!("{tool}: {why}"));
            assert_eq!(listing.get("blobs/sha256/ab/abc/data"), Some(expected), "{tool}");
            assert_eq!(listing.below("repositories/a/_layers/").count(), 1, "{tool}");
        }
    }

    #[test]
    fn other_texts_are_named() {
        for (text, part) in [
            ("", "no key below docker/registry/v2/blobs/"),
            (DATA, "no key below docker/registry/v2/repositories/"),
            ("{", "EOF while parsing"),
            ("{}", "an object has no `Contents`"),
            (r#"{"Versions":[]}"#, "but Versions"),
            (r#"{"Contents":[],"NextToken":"x"}"#, "it is a page"),
            (r#"{"Contents":[],"IsTruncated":true}"#, "it is a page"),
            (r#"[{"nextMarker":"x"}]"#, "it is a page"),
            (&format!("a/{DATA}\nb/{DATA}\n"), "the keys of 2 storages: a/, b/; list one"),
        ] {
            let why = Listing::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let listing = Listing::parse(&format!("{DATA}\n{LINK}\nscheduler-state.json\nx\n")).unwrap();
        let note = listing.note().unwrap();
        assert!(note.starts_with("2 entries without a key") && note.ends_with("`scheduler-state.json`"), "{note}");
    }
}
