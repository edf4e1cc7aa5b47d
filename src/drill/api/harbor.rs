//! Harbor's API.
//!
//! `GET …/artifacts/REFERENCE` reads Harbor's database (`GetArtifact`, src/server/v2.0/handler/artifact.go). It has no layers of an
//! image, so its manifest is read: one that the database has is served by its digest without the upstream (`UseLocalManifest`,
//! src/controller/proxy/controller.go), and a read counts as a pull (`getManifest`, src/server/registry/manifest.go). Harbor pushes a
//! manifest after its blobs, but a blob may be lost since, so that each is asked for with HEAD.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{Notes, failed, is_absent};
use crate::drill::holdings::Part;
use crate::engine::Product;
use crate::products::Model;
use crate::registry::{Client, Digest, Manifest, Outcome, Reference, Repository};
use crate::words::parse_secs;

#[derive(Debug)]
pub(super) struct Harbor {
    pub(super) client: Client,
    pub(super) notes: Notes,
    /// Whether Harbor removes images of a project some time after their last pull.
    projects: Mutex<HashMap<String, Arc<OnceCell<bool>>>>,
}

/// `Artifact` of api/v2.0/swagger.yaml.
#[derive(Deserialize)]
struct Artifact {
    digest: String,
    #[serde(default)]
    push_time: Option<String>,
    /// The year 1 if it was never pulled.
    #[serde(default)]
    pull_time: Option<String>,
}

/// `Project` of api/v2.0/swagger.yaml.
#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    retention_id: Option<String>,
}

impl Harbor {
    pub(super) fn new(client: Client) -> Self {
        Self { client, notes: Notes::default(), projects: Mutex::default() }
    }

    pub(super) async fn tag(&self, repository: &Repository, tag: &str) -> Part<Digest> {
        self.artifact(repository, &Reference::Tag(tag.to_owned())).await
    }

    pub(super) async fn manifest(&self, repository: &Repository, digest: &Digest) -> Part<Manifest> {
        let reference = Reference::Digest(digest.clone());
        let until_secs = match self.artifact(repository, &reference).await {
            Part::Held { value, until_secs } if value == *digest => until_secs,
            Part::Held { value, .. } => return Part::Unknown(format!("the API has {value} instead")),
            Part::Absent(why) => return Part::Absent(why),
            Part::Unknown(why) => return Part::Unknown(why),
        };
        let answer = self.client.manifest(repository, &reference).await;
        match answer.outcome {
            Outcome::Served(value) => Part::Held { value, until_secs },
            _ => failed(answer),
        }
    }

    /// Returns the digest of an artifact that the database has, and when Harbor removes it.
    async fn artifact(&self, repository: &Repository, reference: &Reference) -> Part<Digest> {
        let Some((project, name)) = repository.path().split_once('/') else {
            return Part::Unknown("its name has no project".to_owned());
        };
        // The slash is encoded twice (`unescapePathParams`, src/server/v2.0/handler/util.go).
        let name = name.replace('/', "%252F");
        let path = format!("/api/v2.0/projects/{project}/repositories/{name}/artifacts/{reference}");
        let answer = self.client.document::<Artifact>(repository, path, true).await;
        if is_absent(&answer, &["NOT_FOUND"]) {
            // `defaultLibrary`, src/server/middleware/repoproxy/proxy.go.
            return if name.contains('%') {
                Part::Absent("not in Harbor's database".to_owned())
            } else {
                Part::Unknown(format!(
                    "not in Harbor's database under this name; for Docker Hub, Harbor serves {project}/library/{name} instead"
                ))
            };
        }
        let Artifact { digest, push_time, pull_time } = match answer.outcome {
            Outcome::Served(artifact) => artifact,
            _ => return failed(answer),
        };
        let Some(digest) = Digest::parse(&digest) else {
            return Part::Unknown("the API has no usable digest of it".to_owned());
        };
        let used_secs = [push_time, pull_time].into_iter().flatten().filter_map(|time| parse_secs(&time)).max();
        let kept_secs = Model::of(Product::Harbor).offline.value.kept_secs.unwrap_or_default();
        let is_removed = self.is_removed_after_use(repository, project).await;
        let until_secs = used_secs.filter(|_| is_removed).map(|secs| secs.saturating_add(i64::from(kept_secs)));
        Part::Held { value: digest, until_secs }
    }

    /// Returns whether a project has a retention policy. A new proxy cache has one that keeps images for 7 days after their last
    /// pull (src/server/v2.0/handler/project.go). Its rules need other rights, and are not read.
    async fn is_removed_after_use(&self, repository: &Repository, project: &str) -> bool {
        let cell = {
            let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(projects.entry(project.to_owned()).or_default())
        };
        let asked = async || {
            let path = format!("/api/v2.0/projects/{project}");
            let answer = self.client.document::<Project>(repository, path, true).await;
            let is_removed = match answer.served() {
                Some(project) => project.metadata.as_ref().is_some_and(|metadata| metadata.retention_id.is_some()),
                None => true,
            };
            if is_removed {
                self.notes.add(format!(
                    "the project {project} of {} has a retention policy, or its settings are unreadable; Harbor's default is assumed, \
                     7 days after the last pull",
                    repository.host()
                ));
            }
            is_removed
        };
        *cell.get_or_init(asked).await
    }
}
