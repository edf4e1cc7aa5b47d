//! zot's API.
//!
//! A request for a manifest by tag asks the upstream, and one by digest does if `index.json` of the repository does not have it
//! (`getImageManifest`, pkg/api/routes.go). Neither is sent. Local are `tags/list` (`ListTags`) and blobs (`CheckBlob`, `GetBlob`),
//! both pkg/api/routes.go, and the search, which reads zot's database of metadata (pkg/extensions/search/resolver.go).
//!
//! The storage is an OCI image layout: manifests are blobs (`GetImageManifest`, pkg/storage/imagestore/imagestore.go). A manifest is
//! served by its digest if `index.json` lists it. Two answers prove that:
//!
//! - The search has it, as the image of a tag or as a manifest of one. Children of an index have entries of their own, which are
//!   not removed before the index (`deleteImageManifest`, pkg/storage/imagestore/imagestore.go; pkg/storage/gc/gc.go).
//! - Its blob has a manifest's media type, which zot looks up from `index.json` (`resolveBlobResponseMediaType`, pkg/api/routes.go,
//!   since 2026). Earlier releases repeat `Accept` instead, which has no media type of a manifest for a blob.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{Notes, failed, held, is_absent};
use crate::drill::holdings::Part;
use crate::registry::{Client, Digest, Manifest, Outcome, Repository};

/// The search extension (pkg/api/constants/extensions.go).
const SEARCH: &str = "/v2/_zot/ext/search";
/// Images on a page of the search.
const PAGE: usize = 500;
const MAX_PAGES: usize = 200;
const MAX_TAGS: usize = PAGE * MAX_PAGES;

#[derive(Debug)]
pub(super) struct Zot {
    pub(super) client: Client,
    pub(super) notes: Notes,
    repositories: Mutex<HashMap<Repository, Arc<Listings>>>,
}

/// What is asked once for each repository.
#[derive(Debug, Default)]
struct Listings {
    tags: OnceCell<Result<Tags, String>>,
    search: OnceCell<Result<Search, String>>,
}

/// The answer of `tags/list`.
#[derive(Debug)]
struct Tags {
    names: HashSet<String>,
    is_complete: bool,
}

/// The images that the search has.
#[derive(Debug, Default)]
struct Search {
    tags: HashMap<String, Digest>,
    /// Those of tags, and their children.
    manifests: HashSet<Digest>,
}

/// An answer of GraphQL (pkg/extensions/search/schema.graphql).
#[derive(Deserialize)]
struct Response {
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "ImageList")]
    images: Option<Images>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    results: Vec<Summary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    repo_name: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
    manifests: Option<Vec<Child>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Child {
    digest: Option<String>,
}

impl Zot {
    pub(super) fn new(client: Client) -> Self {
        Self { client, notes: Notes::default(), repositories: Mutex::default() }
    }

    pub(super) async fn tag(&self, repository: &Repository, tag: &str) -> Part<Digest> {
        let listings = self.listings(repository);
        match listings.tags.get_or_init(|| self.tags(repository)).await {
            Err(why) => return Part::Unknown(why.clone()),
            Ok(tags) if tags.names.contains(tag) => {}
            Ok(tags) if tags.is_complete => return Part::Absent("`tags/list` does not have it".to_owned()),
            Ok(_) => return Part::Unknown("`tags/list` is not complete".to_owned()),
        }
        match listings.search.get_or_init(|| self.search(repository)).await {
            Ok(search) => match search.tags.get(tag) {
                Some(digest) => held(digest.clone()),
                None => Part::Unknown("`tags/list` has it, but the search does not have its digest".to_owned()),
            },
            Err(why) => Part::Unknown(format!("zot holds it, but its digest is not known: {why}")),
        }
    }

    pub(super) async fn manifest(&self, repository: &Repository, digest: &Digest) -> Part<Manifest> {
        let answer = self.client.manifest_blob(repository, digest).await;
        if is_absent(&answer, &["BLOB_UNKNOWN", "NAME_UNKNOWN"]) {
            return Part::Absent("not stored".to_owned());
        }
        let found = match answer.outcome {
            Outcome::Served(found) => found,
            _ => return failed(answer),
        };
        let content_type = found.content_type.unwrap_or_default();
        if content_type.contains(".manifest.") || content_type.contains(".index.") {
            return held(found.manifest);
        }
        match self.listings(repository).search.get_or_init(|| self.search(repository)).await {
            Ok(search) if search.manifests.contains(digest) => held(found.manifest),
            Ok(_) => Part::Unknown("it is stored, but not as an image of a tag".to_owned()),
            Err(why) => Part::Unknown(format!("it is stored, but it is not known whether zot serves it: {why}")),
        }
    }

    fn listings(&self, repository: &Repository) -> Arc<Listings> {
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(repositories.entry(repository.clone()).or_default())
    }

    async fn tags(&self, repository: &Repository) -> Result<Tags, String> {
        let answer = self.client.tags(repository, MAX_TAGS).await;
        if is_absent(&answer, &["NAME_UNKNOWN"]) {
            return Ok(Tags { names: HashSet::new(), is_complete: true });
        }
        match answer.outcome {
            Outcome::Served(list) => {
                Ok(Tags { names: list.names.into_iter().collect(), is_complete: list.is_complete })
            }
            _ => Err(reason(failed(answer))),
        }
    }

    /// Asks the search for the images of a repository, page by page.
    async fn search(&self, repository: &Repository) -> Result<Search, String> {
        let mut search = Search::default();
        for page in 0..MAX_PAGES {
            let query = format!(
                "{{ImageList(repo:\"{}\",requestedPage:{{limit:{PAGE},offset:{},sortBy:ALPHABETIC_ASC}})\
                 {{Results{{RepoName Tag Digest Manifests{{Digest}}}}}}}}",
                repository.path(),
                page * PAGE
            );
            let path = format!("{SEARCH}?query={}", utf8_percent_encode(&query, NON_ALPHANUMERIC));
            let answer = self.client.document::<Response>(repository, path, false).await;
            if matches!(answer.outcome, Outcome::Missing) {
                return Err("the search of zot is disabled; enable `extensions.search`".to_owned());
            }
            let response = match answer.outcome {
                Outcome::Served(response) => response,
                _ => return Err(format!("the search failed: {}", reason(failed(answer)))),
            };
            if let Some(Fault { message }) = response.errors.first() {
                return Err(format!("the search failed: {}", message.chars().take(200).collect::<String>()));
            }
            let results = response.data.and_then(|data| data.images).map(|images| images.results).unwrap_or_default();
            let is_last = results.len() < PAGE;
            results.into_iter().for_each(|summary| search.add(repository, summary));
            if is_last {
                return Ok(search);
            }
        }
        self.notes.add(format!("the search lists more than {MAX_TAGS} images of {repository}; others are unknown"));
        Ok(search)
    }
}

impl Search {
    fn add(&mut self, repository: &Repository, summary: Summary) {
        let Summary { repo_name, tag, digest, manifests } = summary;
        if repo_name.as_deref() != Some(repository.path()) {
            return;
        }
        let children = manifests.into_iter().flatten().filter_map(|child| child.digest);
        self.manifests.extend(children.filter_map(|digest| Digest::parse(&digest)));
        if let Some(digest) = digest.and_then(|digest| Digest::parse(&digest)) {
            self.manifests.insert(digest.clone());
            self.tags.extend(tag.map(|tag| (tag, digest)));
        }
    }
}

fn reason(part: Part<()>) -> String {
    match part {
        Part::Unknown(why) | Part::Absent(why) => why,
        Part::Held { .. } => String::new(),
    }
}
