//! The client of registries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use rustls::RootCertStore;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Outcome, Phase, Trace, Unreachable};
use super::connect::Connector;
use super::credentials::Credentials;
use super::digest::Digest;
use super::http_client::HttpClient;
use super::keyring::Keyring;
use super::manifest::{self, Descriptor, Manifest};
use super::name::{Reference, Repository, api_host};
use super::platform::Platform;
use super::reader::{
    Blob, BlobReader, ConfigReader, DocumentReader, Head, HeadReader, List, ManifestBlob, ManifestBlobReader,
    ManifestReader, Nothing, PageReader, Reader, ReferrersReader,
};
use super::session::{Ask, Session};
use super::settings::{HostSettings, InvalidSettings, Settings};
use super::tls::{self, Tls};
use super::url::next_path;

/// A client of registries. It keeps connections, tokens and credentials. Clones share them.
///
/// Each method asks one question. It tries the credentials for the repository one after the other while they are denied, as the
/// kubelet does, and without credentials if there are none.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    credentials: Arc<Credentials>,
}

struct Inner {
    settings: Settings,
    roots: RootCertStore,
    /// By canonical host. A registry without settings of its own gets its session with its first request.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

impl Client {
    /// Makes a client. Reads the CAs of this machine.
    ///
    /// # Errors
    ///
    /// Returns the host whose CA or client certificate is unusable.
    pub fn new(settings: Settings, credentials: Credentials) -> Result<Self, InvalidSettings> {
        let roots = tls::machine_roots();
        let inner = Inner { settings, roots, sessions: Mutex::default() };
        for host in inner.settings.hosts.keys() {
            let session = inner.session(host)?;
            inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), Arc::new(session));
        }
        Ok(Self { inner: Arc::new(inner), credentials: Arc::new(credentials) })
    }

    /// Returns a client that tries the credentials of a Pod's pull Secrets before those of this client. Both share connections
    /// and, for equal credentials, tokens.
    pub fn with_pull_secrets(&self, pull: Keyring) -> Self {
        let credentials = Credentials::Pod { pull, node: Arc::clone(&self.credentials) };
        Self { inner: Arc::clone(&self.inner), credentials: Arc::new(credentials) }
    }

    /// Asks whether a registry's API answers, without credentials: `GET /v2/`. A challenge is a good answer too.
    pub async fn ping(&self, repository: &Repository) -> Answer<()> {
        let ask = Ask {
            method: Method::GET,
            path: "/v2/".to_owned(),
            accept: "*/*",
            scope: String::new(),
            is_challenge_enough: true,
            sends_login: false,
        };
        let mut trace = Trace::default();
        let outcome = match self.inner.open(repository) {
            Err(unreachable) => Outcome::Unreachable(unreachable),
            Ok(session) => {
                let answered = session.ask(&ask, None, &mut trace, &Nothing);
                self.within(repository, answered).await
            }
        };
        Answer { outcome, trace }
    }

    /// Asks with HEAD whether a manifest is served; with GET where HEAD is not supported (405). Some caches import by it.
    ///
    /// A response to HEAD has no body, so its errors are not known.
    pub async fn head(&self, repository: &Repository, reference: &Reference) -> Answer<Head> {
        let ask = manifest_ask(Method::HEAD, repository, reference);
        let answer = self.limited(repository, &ask, &HeadReader(reference)).await;
        if answer.trace.status != Some(405) {
            return answer;
        }
        self.limited(repository, &Ask { method: Method::GET, ..ask }, &HeadReader(reference)).await
    }

    /// Gets a manifest and verifies its digest.
    pub async fn manifest(&self, repository: &Repository, reference: &Reference) -> Answer<Manifest> {
        let ask = manifest_ask(Method::GET, repository, reference);
        self.limited(repository, &ask, &ManifestReader(reference)).await
    }

    /// Gets an image's configuration and returns its platform.
    pub async fn platform(&self, repository: &Repository, config: &Descriptor) -> Answer<Platform> {
        let ask = blob_ask(Method::GET, repository, &config.digest);
        self.limited(repository, &ask, &ConfigReader(&config.digest)).await
    }

    /// Asks with HEAD whether a blob is served. Some caches download it by that.
    pub async fn head_blob(&self, repository: &Repository, blob: &Descriptor) -> Answer<Head> {
        let reference = Reference::Digest(blob.digest.clone());
        self.limited(repository, &blob_ask(Method::HEAD, repository, &blob.digest), &HeadReader(&reference)).await
    }

    /// Gets a manifest as a blob and verifies its digest. Registries whose storage is an OCI image layout serve it so.
    pub async fn manifest_blob(&self, repository: &Repository, digest: &Digest) -> Answer<ManifestBlob> {
        let ask = blob_ask(Method::GET, repository, digest);
        self.limited(repository, &ask, &ManifestBlobReader(digest)).await
    }

    /// Gets a JSON document of a product's own API on the registry's host.
    ///
    /// `path` has the query, and is percent-encoded. `sends_login` is for an API that sends no challenge, such as Harbor's.
    pub async fn document<T: DeserializeOwned + Send>(
        &self,
        repository: &Repository,
        path: String,
        sends_login: bool,
    ) -> Answer<T> {
        let ask = Ask {
            method: Method::GET,
            path,
            accept: "application/json",
            scope: scope(repository),
            is_challenge_enough: false,
            sends_login,
        };
        self.limited(repository, &ask, &DocumentReader::new()).await
    }

    /// Reads a blob to its end in constant memory, and verifies size and digest.
    ///
    /// `on_bytes` gets the size of each piece. After a failed attempt the blob is read from its beginning again.
    pub async fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Answer<Blob> {
        let ask = blob_ask(Method::GET, repository, &blob.digest);
        let mut trace = Trace::default();
        let outcome = self.ask(repository, &ask, &mut trace, &BlobReader { blob, on_bytes }).await;
        Answer { outcome, trace }
    }

    /// Gets the manifests that refer to one, such as signatures. A registry without the referrers API answers 404; it may have
    /// them as tags.
    pub async fn referrers(&self, repository: &Repository, digest: &Digest) -> Answer<Vec<Descriptor>> {
        let path = format!("/v2/{}/referrers/{digest}", repository.path());
        let ask = Ask { path, ..manifest_ask(Method::GET, repository, &Reference::Digest(digest.clone())) };
        self.limited(repository, &ask, &ReferrersReader).await
    }

    /// Lists the tags of a repository, page by page until there are `limit` or more.
    pub async fn tags(&self, repository: &Repository, limit: usize) -> Answer<List> {
        let path = format!("/v2/{}/tags/list", repository.path());
        self.list(repository, path, scope(repository), limit).await
    }

    /// Lists the repositories of a repository's registry, page by page until there are `limit` or more. Many registries deny it.
    pub async fn repositories(&self, repository: &Repository, limit: usize) -> Answer<List> {
        self.list(repository, "/v2/_catalog".to_owned(), "registry:catalog:*".to_owned(), limit).await
    }

    /// Reads pages until there are enough names. Each page has the timeout of an answer.
    async fn list(&self, repository: &Repository, path: String, scope: String, limit: usize) -> Answer<List> {
        let mut ask =
            Ask { method: Method::GET, path, accept: "*/*", scope, is_challenge_enough: false, sends_login: false };
        let mut list = List::default();
        let mut requests = 0;
        loop {
            let Answer { outcome, mut trace } = self.limited(repository, &ask, &PageReader).await;
            requests += trace.requests;
            trace.requests = requests;
            let page = match outcome.into_served() {
                Ok(page) => page,
                Err(outcome) => return Answer { outcome, trace },
            };
            // Without this, a registry could keep a client busy with empty pages.
            let has_names = !page.names.is_empty();
            list.names.extend(page.names);
            list.is_complete = page.next.is_none();
            let next = page.next.and_then(|link| next_path(repository.api(), &ask.path, &link));
            match next.filter(|_| has_names && list.names.len() < limit) {
                Some(next) => ask.path = next,
                None => return Answer { outcome: Outcome::Served(list), trace },
            }
        }
    }

    /// Asks within the timeout for a whole answer.
    async fn limited<R: Reader>(&self, repository: &Repository, ask: &Ask, reader: &R) -> Answer<R::Output> {
        let mut trace = Trace::default();
        let asked = self.ask(repository, ask, &mut trace, reader);
        let outcome = self.within(repository, asked).await;
        Answer { outcome, trace }
    }

    async fn within<T>(&self, repository: &Repository, asked: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let after = self.inner.settings.timeouts.total;
        let late = |_| {
            let host = repository.api().to_owned();
            Outcome::Unreachable(Unreachable::Timeout { host, phase: Phase::Total, after })
        };
        tokio::time::timeout(after, asked).await.unwrap_or_else(late)
    }

    async fn ask<R: Reader>(
        &self,
        repository: &Repository,
        ask: &Ask,
        trace: &mut Trace,
        reader: &R,
    ) -> Outcome<R::Output> {
        let session = match self.inner.open(repository) {
            Ok(session) => session,
            Err(unreachable) => return Outcome::Unreachable(unreachable),
        };
        let found = self.credentials.find(repository).await;
        trace.credential_faults = found.faults;
        let Some(((last, source), others)) = found.credentials.split_last() else {
            return session.ask(ask, None, trace, reader).await;
        };
        for (credential, source) in others {
            trace.credential = Some(source.clone());
            let outcome = session.ask(ask, Some(credential), trace, reader).await;
            if !matches!(outcome, Outcome::Denied(_)) {
                return outcome;
            }
        }
        trace.credential = Some(source.clone());
        session.ask(ask, Some(last), trace, reader).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Inner {
    fn open(&self, repository: &Repository) -> Result<Arc<Session>, Unreachable> {
        let host = repository.host();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(host) {
            return Ok(Arc::clone(session));
        }
        // Only a CA or a client certificate can be unusable, and those of all hosts in the settings were read before.
        let session = self
            .session(host)
            .map_err(|error| Unreachable::Network { host: host.to_owned(), reason: error.to_string() })?;
        Ok(Arc::clone(sessions.entry(host.to_owned()).or_insert(Arc::new(session))))
    }

    fn session(&self, host: &str) -> Result<Session, InvalidSettings> {
        let Settings { hosts, token_servers, proxies, timeouts, retries } = &self.settings;
        let settings = hosts.get(host).cloned().unwrap_or_default();
        let connector = Connector {
            registry: api_host(host).to_owned(),
            tls: Tls::new(&self.roots, host, &settings)?,
            proxy_tls: Tls::new(&self.roots, host, &HostSettings::default())?.others,
            proxies: proxies.clone(),
            timeout: timeouts.connect,
        };
        let plain = hosts.iter().filter(|(_, settings)| settings.is_plain_http).map(|(host, _)| host.clone());
        Ok(Session {
            host: api_host(host).to_owned(),
            http: HttpClient::new(connector, *timeouts),
            settings,
            plain_hosts: plain.collect(),
            token_servers: token_servers.clone(),
            tokens: Default::default(),
            retries: *retries,
            is_plain: Default::default(),
        })
    }
}

fn manifest_ask(method: Method, repository: &Repository, reference: &Reference) -> Ask {
    let path = format!("/v2/{}/manifests/{reference}", repository.path());
    Ask {
        method,
        path,
        accept: manifest::ACCEPT,
        scope: scope(repository),
        is_challenge_enough: false,
        sends_login: false,
    }
}

fn blob_ask(method: Method, repository: &Repository, digest: &Digest) -> Ask {
    let path = format!("/v2/{}/blobs/{digest}", repository.path());
    Ask { method, path, accept: "*/*", scope: scope(repository), is_challenge_enough: false, sends_login: false }
}

fn scope(repository: &Repository) -> String {
    format!("repository:{}:pull", repository.path())
}
