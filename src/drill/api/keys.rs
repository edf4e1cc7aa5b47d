//! The keys of a storage of distribution, together with the cache that serves from it.
//!
//! A listing proves which links and data exist (registry/storage/paths.go of distribution). It has no contents, so the cache is asked
//! for manifests and configurations, by digest and only if the listing has them: for these it does not ask its upstream
//! (registry/proxy/proxymanifeststore.go and proxyblobstore.go), and their digest proves the content.
//!
//! - The digest of a tag is in the keys of its index. Of several the newest is the tag's: `Tag` writes the link in the index each
//!   time (registry/storage/tagstore.go, registry/proxy/proxytagservice.go).
//! - When parts expire is in `scheduler-state.json` (registry/proxy/scheduler), which has to be given. Without it, nothing is held
//!   for certain.

use super::{failed, held};
use crate::drill::expiry::Expiry;
use crate::drill::holdings::Part;
use crate::drill::listing::{Listing, Object};
use crate::registry::{Client, Descriptor, Digest, Manifest, Outcome, Reference, Repository};

#[derive(Debug)]
pub(super) struct Keys {
    pub(super) client: Client,
    listing: Listing,
    /// `None` if it was not given.
    expiry: Option<Expiry>,
}

impl Keys {
    pub(super) const fn new(client: Client, listing: Listing, expiry: Option<Expiry>) -> Self {
        Self { client, listing, expiry }
    }

    pub(super) fn tag(&self, repository: &Repository, tag: &str) -> Part<Digest> {
        let folder = format!("repositories/{}/_manifests/tags/{tag}/", repository.path());
        if self.listing.get(&format!("{folder}current/link")).is_none() {
            return Part::Absent("not stored".to_owned());
        }
        let index = format!("{folder}index/");
        let digest = |key: &str| Digest::parse(&key.strip_suffix("/link")?.replacen('/', ":", 1));
        let mut digests: Vec<(Option<i64>, Digest)> =
            self.listing.below(&index).filter_map(|(key, object)| Some((object.written_secs, digest(key)?))).collect();
        digests.sort();
        match &*digests {
            [] => Part::Unknown("the listing has no digest of it".to_owned()),
            [(_, digest)] => held(digest.clone()),
            [.., (Some(before), _), (Some(last), digest)] if before < last && digests[0].0.is_some() => {
                held(digest.clone())
            }
            _ => Part::Unknown(format!(
                "the listing has {} digests of it, and not which is the newest; list with times",
                digests.len()
            )),
        }
    }

    pub(super) async fn manifest(&self, repository: &Repository, digest: &Digest) -> Part<Manifest> {
        let object = match self.stored(repository, "_manifests/revisions", digest) {
            Ok(object) => object,
            Err(why) => return Part::Absent(why),
        };
        let answer = self.client.manifest(repository, &Reference::Digest(digest.clone())).await;
        let manifest = match answer.outcome {
            Outcome::Served(manifest) => manifest,
            _ => return failed(answer),
        };
        if let Some(why) = other_size(object, manifest.bytes.len() as u64) {
            return Part::Absent(why);
        }
        let key = format!("{}@{digest}", repository.path());
        self.held(manifest, |expiry| expiry.manifests.get(&key).copied())
    }

    pub(super) fn blob(&self, repository: &Repository, blob: &Descriptor) -> Part<()> {
        let object = match self.stored(repository, "_layers", &blob.digest) {
            Ok(object) => object,
            Err(why) => return Part::Absent(why),
        };
        match other_size(object, blob.size_bytes) {
            Some(why) => Part::Absent(why),
            None => self.held((), |expiry| expiry.blobs.get(blob.digest.as_str()).copied()),
        }
    }

    /// Returns the data of content that a repository links, or what is missing.
    fn stored(&self, repository: &Repository, folder: &str, digest: &Digest) -> Result<Object, String> {
        let path = digest.as_str().replacen(':', "/", 1);
        let link = format!("repositories/{}/{folder}/{path}/link", repository.path());
        let (algorithm, hex) = path.split_once('/').unwrap_or_default();
        let data = format!("blobs/{algorithm}/{}/{hex}/data", hex.get(..2).unwrap_or_default());
        self.listing.get(&link).ok_or("the repository does not link it")?;
        Ok(self.listing.get(&data).ok_or("its data are not stored")?)
    }

    fn held<T>(&self, value: T, until: impl Fn(&Expiry) -> Option<i64>) -> Part<T> {
        match &self.expiry {
            Some(expiry) => Part::Held { value, until_secs: until(expiry) },
            None => Part::Unknown("when the cache removes it is not known; set --scheduler-state".to_owned()),
        }
    }
}

fn other_size(object: Object, expected_bytes: u64) -> Option<String> {
    let bytes = object.size_bytes.filter(|bytes| *bytes != expected_bytes)?;
    Some(format!("its data have {bytes} bytes instead of {expected_bytes}"))
}
