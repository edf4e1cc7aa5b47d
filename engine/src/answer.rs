//! From the bytes of a request to the bytes of its answer.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::bounds::MAX_PATCH_BYTES;
use super::context::Context;
use super::decision::Decision;
use super::list::{Change, List};
use super::outline::may_change_an_image;
use super::patch;
use super::pod::{Place, Pod, Site};
use super::policy::{Previous, Question, WhenNotUnderstood};
use super::response;
use super::review::{self, Asked, Objects, Operation, Resource, Unreadable};

/// What of an answer is up to the operator, and not to the rules.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether people are told by `kubectl` what was rewritten.
    pub warnings: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { warnings: true }
    }
}

/// The AdmissionReview to send back, as JSON, and what it says.
#[derive(Debug)]
pub struct Answer<'a> {
    pub body: Vec<u8>,
    pub summary: Summary<'a>,
}

/// What metrics and logs say of an admission.
#[derive(Debug)]
pub struct Summary<'a> {
    pub resource: Resource,
    pub operation: Operation,
    pub dry_run: bool,
    pub outcome: Outcome,
    pub uid: Cow<'a, str>,
    pub namespace: Cow<'a, str>,
    /// The object's name, else its `generateName`, else empty.
    pub name: Cow<'a, str>,
    /// Every image that was looked at.
    pub images: Vec<ImageDecision<'a>>,
    /// What could not be understood.
    pub problem: Option<String>,
}

#[derive(Debug)]
pub struct ImageDecision<'a> {
    pub place: Place<'a>,
    pub image: Cow<'a, str>,
    pub decision: Decision<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Patched,
    Unchanged,
    /// Allowed unchanged, since the object can't be understood.
    NotUnderstood,
    /// Denied, since the object can't be understood and the rules say so.
    Denied,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unchanged => "unchanged",
            Self::NotUnderstood => "not_understood",
            Self::Denied => "denied",
        }
    }
}

/// Answers an AdmissionReview: a pure function of the request and of its context.
///
/// # Errors
///
/// Where the body is no AdmissionReview of `admission.k8s.io/v1`, and so has no `uid` to answer to. Whatever is wrong
/// inside the object is allowed unchanged instead, or denied if the rules say so.
pub fn answer<'a>(context: Context<'a>, body: &'a [u8]) -> Result<Answer<'a>, Unreadable> {
    let (asked, objects) = review::read(body)?;
    let old_object = objects.old_object;
    let Understood { name, decided } = understand(context, &asked, objects);
    let (images, patch, problem) = match decided {
        Ok(Decided { images, patch }) => (images, patch, None),
        Err(problem) => (Vec::new(), None, Some(problem)),
    };
    let is_denied = problem.is_some()
        && context.policy.settings().when_not_understood == WhenNotUnderstood::Deny
        && may_be_denied(&asked, body, old_object);
    let outcome = match (&problem, &patch) {
        (Some(_), _) if is_denied => Outcome::Denied,
        (Some(_), _) => Outcome::NotUnderstood,
        (None, Some(_)) => Outcome::Patched,
        (None, None) => Outcome::Unchanged,
    };
    let warn = context.options.warnings && !asked.is_machine && !is_denied;
    let body = response::write(&response::Content {
        uid: &asked.uid,
        patch,
        denied: problem.as_deref().filter(|_| is_denied).map(response::denial),
        warnings: if warn { response::warnings(&images, problem.as_deref()) } else { Vec::new() },
        decisions: &images,
    });
    let Asked { uid, resource, operation, name: asked_name, namespace, dry_run, is_machine: _ } = asked;
    let name = if asked_name.is_empty() { name } else { asked_name };
    Ok(Answer {
        body,
        summary: Summary { resource, operation, dry_run, outcome, uid, namespace, name, images, problem },
    })
}

/// Of what can't be understood: a Pod that is created, or an update that may bring another image.
fn may_be_denied(asked: &Asked, body: &[u8], old_object: Option<&RawValue>) -> bool {
    match (asked.resource, asked.operation) {
        (Resource::Pods, Operation::Create) => true,
        (Resource::Pods | Resource::PodsEphemeralContainers, Operation::Update) => {
            may_change_an_image(review::raw_object(body), old_object)
        }
        _ => false,
    }
}

/// What is made of the objects of a request.
struct Understood<'a> {
    /// The object's name, else its `generateName`, else empty.
    name: Cow<'a, str>,
    /// What is decided, or what could not be understood.
    decided: Result<Decided<'a>, String>,
}

#[derive(Default)]
struct Decided<'a> {
    images: Vec<ImageDecision<'a>>,
    /// In JSON.
    patch: Option<Vec<u8>>,
}

fn understand<'a>(context: Context<'a>, asked: &Asked<'a>, objects: Objects<'a>) -> Understood<'a> {
    let Objects { object, old_object } = objects;
    let pod = match pod(asked, object) {
        Ok(Some(pod)) => pod,
        Ok(None) => return Understood { name: Cow::default(), decided: Ok(Decided::default()) },
        Err(problem) => return Understood { name: Cow::default(), decided: Err(problem) },
    };
    let names = pod.metadata.iter().flat_map(|metadata| [&metadata.name, &metadata.generate_name]).flatten();
    let name = names.map(|name| &name.0).find(|name| !name.is_empty()).cloned().unwrap_or_default();
    Understood { name, decided: decide(context, asked, pod, old_object) }
}

/// The Pod of a request, where its images count.
fn pod<'a>(asked: &Asked, object: Result<Option<Pod<'a>>, serde_json::Error>) -> Result<Option<Pod<'a>>, String> {
    match (asked.resource, asked.operation) {
        (Resource::Other, _) => Err("only Pods are rewritten, and the request is for another resource".to_owned()),
        (Resource::Pods, Operation::Create | Operation::Update)
        | (Resource::PodsEphemeralContainers, Operation::Update) => {
            object.map_err(unreadable)?.ok_or("the request has no object".to_owned()).map(Some)
        }
        _ => Ok(None),
    }
}

fn unreadable(error: serde_json::Error) -> String {
    format!("the Pod can't be read: {error}")
}

/// Decides about each image.
fn decide<'a>(
    context: Context<'a>,
    asked: &Asked,
    pod: Pod<'a>,
    old_object: Option<&RawValue>,
) -> Result<Decided<'a>, String> {
    let additions = (asked.operation == Operation::Create).then(|| patch::Additions::new(context.policy, &pod));
    let kept = pod.metadata.as_ref().and_then(|metadata| context.policy.keeps_all(metadata.state()));
    let before = match (asked.operation, old_object) {
        (Operation::Update, Some(old_object)) => {
            Before::new(serde_json::from_str(old_object.get()).map_err(unreadable)?)
        }
        _ => Before::default(),
    };
    let sites = pod.into_sites();
    let mut images = Vec::with_capacity(sites.len());
    let mut patch_bytes = 0;
    for Site { place, image, pull_never } in sites {
        if asked.resource != Resource::Pods && place.list.change() != Change::Additions {
            continue;
        }
        let decision = kept.map(Decision::keep).unwrap_or_else(|| {
            context.decide(Question {
                image: &image,
                namespace: &asked.namespace,
                pull_never,
                previous: before.at(&place).map(|image| Previous { image, immutable: place.list.is_immutable() }),
            })
        });
        if let Decision::Rewrite { result, .. } | Decision::Restore { result } = &decision {
            patch_bytes += patch::replace_bytes(result);
        }
        if patch_bytes > MAX_PATCH_BYTES {
            return Err(patch::TOO_LARGE.to_owned());
        }
        images.push(ImageDecision { place, image, decision });
    }
    let patch = patch::write(&images, additions)?;
    Ok(Decided { images, patch })
}

/// The images of the old object, by list and name.
#[derive(Default)]
struct Before<'a>(Vec<Site<'a>>);

impl<'a> Before<'a> {
    fn new(pod: Pod<'a>) -> Self {
        let mut sites = pod.into_sites();
        sites.sort_unstable_by(|one, other| key(&one.place).cmp(&key(&other.place)));
        Self(sites)
    }

    /// At the same place; the last one of several.
    fn at(&self, place: &Place) -> Option<&str> {
        let wanted = (place.list, &*place.name);
        let end = self.0.partition_point(|site| (site.place.list, &*site.place.name) <= wanted);
        let site = self.0[..end].last().filter(|site| (site.place.list, &*site.place.name) == wanted)?;
        Some(&site.image)
    }
}

fn key<'p>(place: &'p Place) -> (List, &'p str, usize) {
    (place.list, &place.name, place.index)
}
