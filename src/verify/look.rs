//! The questions about one image: to the cache, and to the upstream where an answer needs it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::ask::{Ask, Gates};
use super::options::Options;
use super::platforms::{self, Platforms};
use super::proof::{self, Proof};
use super::targets::Target;
use crate::engine::{Cache, ImageRef};
use crate::products::Model;
use crate::registry::{Answer, Client, Digest, Outcome, Phase, Reference, Repository, Unreachable};

/// What was seen of an image.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The rewritten name in canonical form, without tag and digest.
    pub name: String,
    pub upstream_name: Option<String>,
    pub cache: Answer<()>,
    /// Whether the image was not asked for, since an earlier answer holds for it too.
    pub is_inferred: bool,
    /// The digest that the cache serves.
    pub digest: Option<Digest>,
    /// `None` if the upstream was not asked.
    pub upstream: Option<Answer<()>>,
    pub requires_login: Option<bool>,
    pub platforms: Platforms,
    pub proof: Option<Proof>,
}

/// What the questions of a run share.
pub(super) struct Look {
    pub(super) gates: Gates,
    pub(super) caches: Vec<Cache>,
    pub(super) options: Options,
    /// Answers that hold for all further requests of the kind, so that these are not sent.
    pub(super) final_answers: Mutex<HashMap<String, Answer<()>>>,
    /// Whether the API of a host requires a login.
    pub(super) logins: tokio::sync::Mutex<HashMap<String, Option<bool>>>,
}

impl Look {
    pub(super) async fn image(&self, target: &Target, client: &Client) -> Seen {
        let Self { gates, options, .. } = self;
        let ask = &Ask { client, gates };
        let parsed = ImageRef::parse(&target.image).ok();
        let upstream = target.upstream.as_deref().and_then(|image| ImageRef::parse(image).ok());
        let upstream_name = upstream.as_ref().map(|image| image.canonical().to_owned());
        let upstream_to_ask = upstream.as_ref().filter(|_| options.asks_upstreams);
        let name = parsed.as_ref().map(|image| image.canonical().to_owned()).unwrap_or_default();
        let mut seen = Seen {
            name,
            upstream_name,
            cache: Answer { outcome: Outcome::Other, trace: Default::default() },
            is_inferred: false,
            digest: None,
            upstream: None,
            requires_login: None,
            platforms: Platforms::default(),
            proof: None,
        };
        let Some((image, repository)) = parsed.as_ref().and_then(|image| Some((image, Repository::of(image)?))) else {
            return seen;
        };
        let model = Model::of(Cache::product_of(&self.caches, &seen.name));
        let reference = Reference::of(image);
        let limit_key = format!("{} {}", repository.host(), host(seen.upstream_name.as_deref()));
        if let Some(answer) = self.final_answer(&[repository.host(), &limit_key]) {
            (seen.cache, seen.is_inferred) = (answer, true);
            return seen;
        }
        let answer = ask.pull(model, &repository, &reference).await;
        match &answer.outcome {
            Outcome::Served(manifest) => {
                seen.digest = Some(manifest.digest.clone());
                seen.platforms = platforms::look(ask, &options.platforms, &repository, manifest, upstream_to_ask).await;
                if options.proves_digests && matches!(reference, Reference::Tag(_)) {
                    seen.proof = match upstream_to_ask {
                        Some(upstream) => Some(proof::look(ask, manifest, upstream).await),
                        None => Some(Proof::unknown("the upstream is not known")),
                    };
                }
            }
            Outcome::Unreachable(unreachable) if is_final(unreachable) => {
                self.keep(repository.host().to_owned(), &answer);
            }
            Outcome::RateLimited => self.keep(limit_key, &answer),
            Outcome::Denied(_) => {
                seen.requires_login = self.requires_login(ask, &repository).await;
                seen.upstream = self.ask_upstream(ask, upstream_to_ask).await;
            }
            Outcome::Missing | Outcome::Other => seen.upstream = self.ask_upstream(ask, upstream_to_ask).await,
            Outcome::Unreachable(_) | Outcome::Invalid(_) => {}
        }
        seen.cache = answer.map(drop);
        seen
    }

    async fn ask_upstream(&self, ask: &Ask<'_>, upstream: Option<&ImageRef<'_>>) -> Option<Answer<()>> {
        let image = upstream?;
        let repository = Repository::of(image)?;
        if let Some(answer) = self.final_answer(&[repository.host()]) {
            return Some(answer);
        }
        let answer = ask.head(&repository, &Reference::of(image)).await.map(drop);
        match &answer.outcome {
            Outcome::Unreachable(unreachable) if is_final(unreachable) => {
                self.keep(repository.host().to_owned(), &answer);
            }
            Outcome::RateLimited => self.keep(repository.host().to_owned(), &answer),
            _ => {}
        }
        Some(answer)
    }

    fn final_answer(&self, keys: &[&str]) -> Option<Answer<()>> {
        let answers = self.final_answers.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find_map(|key| answers.get(*key)).cloned()
    }

    fn keep<T: Clone>(&self, key: String, answer: &Answer<T>) {
        let answer = answer.clone().map(drop);
        self.final_answers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer);
    }

    async fn requires_login(&self, ask: &Ask<'_>, repository: &Repository) -> Option<bool> {
        let mut logins = self.logins.lock().await;
        if let Some(known) = logins.get(repository.host()) {
            return *known;
        }
        let Answer { outcome, trace } = ask.ping(repository).await;
        let requires = matches!(outcome, Outcome::Served(())).then_some(trace.status == Some(401));
        logins.insert(repository.host().to_owned(), requires);
        requires
    }
}

/// Returns whether another request to the host would fail too. A slow answer can be of one image.
fn is_final(unreachable: &Unreachable) -> bool {
    match unreachable {
        Unreachable::Timeout { phase, .. } => matches!(phase, Phase::Dns | Phase::Connect | Phase::Tls),
        Unreachable::Closed { .. } => false,
        _ => true,
    }
}

fn host(name: Option<&str>) -> &str {
    name.and_then(|name| name.split('/').next()).unwrap_or_default()
}
