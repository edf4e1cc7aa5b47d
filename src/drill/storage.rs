//! The folder of distribution's filesystem driver: what a pull-through cache holds, and what it removes when.
//!
//! Paths as in registry/storage/paths.go. A proxy serves a manifest if the repository links it, and a blob if the repository links
//! it, each with the data (registry/proxy). `scheduler-state.json` has what it removes when (registry/proxy/scheduler): if a blob
//! expires in one repository, its data are removed for all (`OnBlobExpire`).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::expiry::Expiry;
use super::gathered::Gathered;
use super::holdings::{Gathering, Holdings, Part};
use crate::registry::{Descriptor, Digest, MAX_MANIFEST_BYTES, Manifest, Platform};

const VERSION: &str = "docker/registry/v2";
const STATE: &str = "scheduler-state.json";
const OTHER_DIGEST: &str = "its data have another digest";
/// A link has a digest.
const MAX_LINK_BYTES: u64 = 1024;

/// Files that are hashed at the same time.
const AT_ONCE: usize = 2;

/// A folder of distribution's filesystem driver.
#[derive(Debug)]
pub struct Storage {
    title: String,
    folder: PathBuf,
    expiry: Result<Expiry, String>,
    /// Whether the data of configurations and layers have their digests. `None` if their sizes suffice.
    hashed: Option<Gathered<Digest, ()>>,
}

impl Storage {
    /// Opens a folder. With `trusts_sizes`, configurations and layers are not read: they count as whole if their sizes are right.
    ///
    /// # Errors
    ///
    /// Returns why it is not a folder of the driver.
    pub fn open(root: &Path, trusts_sizes: bool) -> Result<Self, String> {
        let folder = root.join(VERSION);
        if let Err(error) = fs::read_dir(&folder) {
            return Err(format!("{}: {error}; name the `rootdirectory` of the filesystem driver", folder.display()));
        }
        let state = root.join(STATE);
        let expiry = match fs::read_to_string(&state) {
            Ok(text) => Expiry::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Expiry::default()),
            Err(error) => Err(error.to_string()),
        };
        let expiry = expiry.map_err(|why| format!("{} is unreadable: {why}", state.display()));
        let hashed = (!trusts_sizes).then(Gathered::default);
        Ok(Self { title: format!("storage {}", root.display()), folder, expiry, hashed })
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.folder.join("repositories").join(repository)
    }

    fn data(&self, digest: &Digest) -> Option<PathBuf> {
        let (algorithm, hex) = digest.as_str().split_once(':')?;
        Some(self.folder.join("blobs").join(algorithm).join(hex.get(..2)?).join(hex).join("data"))
    }

    /// Reads a link in a repository that must have this digest.
    fn linked(&self, repository: &str, folder: &str, digest: &Digest) -> Result<(), Part<()>> {
        let path = digest.as_str().replacen(':', "/", 1);
        match link(&self.repository(repository).join(folder).join(path).join("link"))? {
            found if found == *digest => Ok(()),
            found => Err(Part::Absent(format!("its link names {found}"))),
        }
    }

    /// Returns the file of content that a repository links, with its size.
    fn content(&self, repository: &str, folder: &str, digest: &Digest) -> Result<(PathBuf, u64), Part<()>> {
        self.linked(repository, folder, digest)?;
        let data = self.data(digest).ok_or_else(|| Part::Unknown("its digest is not supported".to_owned()))?;
        let metadata = fs::metadata(&data).map_err(|error| failed(&data, &error))?;
        Ok((data, metadata.len()))
    }

    fn read(&self, repository: &str, folder: &str, digest: &Digest) -> Result<Vec<u8>, Part<()>> {
        let (data, bytes) = self.content(repository, folder, digest)?;
        if bytes > MAX_MANIFEST_BYTES as u64 {
            return Err(Part::Unknown(format!("it is larger than {MAX_MANIFEST_BYTES} bytes")));
        }
        let bytes = fs::read(&data).map_err(|error| failed(&data, &error))?;
        if digest.is_of(&bytes) { Ok(bytes) } else { Err(Part::Absent(OTHER_DIGEST.to_owned())) }
    }

    fn held<T>(&self, value: T, until: impl Fn(&Expiry) -> Option<&i64>) -> Part<T> {
        match &self.expiry {
            Ok(expiry) => Part::Held { value, until_secs: until(expiry).copied() },
            Err(why) => Part::Unknown(why.clone()),
        }
    }
}

impl Holdings for Storage {
    fn title(&self) -> &str {
        &self.title
    }

    fn tag(&self, repository: &str, tag: &str) -> Part<Digest> {
        let path = self.repository(repository).join("_manifests/tags").join(tag).join("current/link");
        match link(&path) {
            Ok(digest) => Part::Held { value: digest, until_secs: None },
            Err(part) => other(part),
        }
    }

    fn manifest(&self, repository: &str, digest: &Digest) -> Part<Manifest> {
        let bytes = match self.read(repository, "_manifests/revisions", digest) {
            Ok(bytes) => bytes,
            Err(part) => return other(part),
        };
        match Manifest::of(digest.clone(), bytes.into()) {
            Ok(manifest) => self.held(manifest, |expiry| expiry.manifests.get(&format!("{repository}@{digest}"))),
            Err(why) => Part::Unknown(format!("it is not supported: {why}")),
        }
    }

    fn blob(&self, repository: &str, blob: &Descriptor) -> Part<()> {
        match self.content(repository, "_layers", &blob.digest) {
            Ok((_, bytes)) if bytes != blob.size_bytes => {
                Part::Absent(format!("its data have {bytes} bytes instead of {}", blob.size_bytes))
            }
            Ok(_) => match self.hashed.as_ref().map(|hashed| hashed.get(blob.digest.clone())) {
                None | Some(Part::Held { .. }) => self.held((), |expiry| expiry.blobs.get(blob.digest.as_str())),
                Some(part) => part,
            },
            Err(part) => part,
        }
    }

    fn platform(&self, repository: &str, config: &Descriptor) -> Part<Platform> {
        match self.read(repository, "_layers", &config.digest) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(platform) => Part::Held { value: platform, until_secs: None },
                Err(_) => Part::Unknown("the configuration has none".to_owned()),
            },
            Err(part) => other(part),
        }
    }

    /// Hashes files.
    fn gather<'h>(&'h self, on_part: &'h dyn Fn(usize, usize)) -> Gathering<'h> {
        let hash = |digest: Digest| {
            let data = self.data(&digest);
            async move {
                let hashed = tokio::task::spawn_blocking(move || hash(&digest, data)).await;
                hashed.unwrap_or_else(|_| Part::Unknown("hashing it failed".to_owned()))
            }
        };
        match &self.hashed {
            Some(hashed) => Box::pin(hashed.gather(AT_ONCE, hash, on_part)),
            None => Box::pin(std::future::ready(0)),
        }
    }
}

fn hash(digest: &Digest, data: Option<PathBuf>) -> Part<()> {
    let Some(data) = data else { return Part::Unknown("its digest is not supported".to_owned()) };
    match File::open(&data).and_then(|file| digest.is_of_reader(file)) {
        Ok(true) => Part::Held { value: (), until_secs: None },
        Ok(false) => Part::Absent(OTHER_DIGEST.to_owned()),
        Err(error) => failed(&data, &error),
    }
}

/// Reads the digest in a link.
fn link(path: &Path) -> Result<Digest, Part<()>> {
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    let mut text = String::new();
    file.take(MAX_LINK_BYTES).read_to_string(&mut text).map_err(|error| failed(path, &error))?;
    Digest::parse(text.trim_end()).ok_or_else(|| Part::Absent(format!("{} has no digest", path.display())))
}

fn failed(path: &Path, error: &io::Error) -> Part<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Part::Absent("not stored".to_owned()),
        _ => Part::Unknown(format!("{}: {error}", path.display())),
    }
}

/// Changes the type of a part that is not held.
fn other<T>(part: Part<()>) -> Part<T> {
    match part {
        Part::Absent(why) => Part::Absent(why),
        Part::Unknown(why) => Part::Unknown(why),
        Part::Held { .. } => Part::Unknown(String::new()),
    }
}
