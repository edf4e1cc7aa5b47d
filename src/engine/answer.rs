//! From the bytes of a request to the bytes of its answer.

use std::borrow::Cow;
use std::collections::HashMap;

use super::decision::Decision;
use super::patch;
use super::pod::{List, Place, Pod, Site};
use super::policy::{Policy, Previous, Question};
use super::response;
use super::review::{self, Asked, Objects, Operation, Resource, Unreadable};

/// What of an answer is up to the operator, and not to the rules.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether people are told by `kubectl` what was rewritten.
    pub warnings: bool,
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
    /// Allowed unchanged, since the object makes no sense.
    NotUnderstood,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unchanged => "unchanged",
            Self::NotUnderstood => "not_understood",
        }
    }
}

/// Answers an AdmissionReview: a pure function of the request, the rules and the options.
///
/// # Errors
///
/// Where the body is no AdmissionReview of `admission.k8s.io/v1`, and so has no `uid` to answer to. Whatever is wrong
/// inside the object is allowed unchanged instead.
pub fn answer<'a>(policy: &'a Policy, options: Options, body: &'a [u8]) -> Result<Answer<'a>, Unreadable> {
    let (mut asked, objects) = review::read(body)?;
    let content = match understand(policy, &mut asked, objects) {
        Ok(content) => content,
        Err(problem) => Content { problem: Some(problem), ..Content::default() },
    };
    let Content { images, patch, problem } = content;
    let patch = (!patch.0.is_empty()).then_some(patch);
    let outcome = match (&problem, &patch) {
        (Some(_), _) => Outcome::NotUnderstood,
        (None, Some(_)) => Outcome::Patched,
        (None, None) => Outcome::Unchanged,
    };
    let warn = options.warnings && !asked.is_machine;
    let body = response::write(&response::Content {
        uid: &asked.uid,
        patch: patch.as_ref(),
        warnings: if warn { response::warnings(&images, problem.as_deref()) } else { Vec::new() },
        decisions: &images,
    });
    let Asked { uid, resource, operation, name, namespace, dry_run, is_machine: _ } = asked;
    Ok(Answer {
        body,
        summary: Summary { resource, operation, dry_run, outcome, uid, namespace, name, images, problem },
    })
}

#[derive(Default)]
struct Content<'a> {
    images: Vec<ImageDecision<'a>>,
    patch: json_patch::Patch,
    problem: Option<String>,
}

fn understand<'a>(policy: &'a Policy, asked: &mut Asked<'a>, objects: Objects<'a>) -> Result<Content<'a>, String> {
    match (asked.resource, asked.operation) {
        (Resource::Other, _) => {
            return Err("only Pods are rewritten, and the request is for another resource".to_owned());
        }
        (Resource::Pods, Operation::Create | Operation::Update) => {}
        (Resource::PodsEphemeralContainers, Operation::Update) => {}
        _ => return Ok(Content::default()),
    }
    let (object, old_object) = objects.map_err(|error| format!("the Pod can't be read: {error}"))?;
    let mut pod = object.ok_or("the request has no object")?;
    let additions = (asked.operation == Operation::Create).then(|| patch::Additions::new(policy, &pod));
    let metadata = pod.metadata.take().unwrap_or_default();
    if asked.name.is_empty() {
        asked.name = [&metadata.name, &metadata.generate_name]
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .map_or(Cow::Borrowed(""), |name| name.0.clone());
    }
    let kept = policy.keeps_all(metadata.state());
    let before = match asked.operation {
        Operation::Update => images_by_place(old_object),
        _ => HashMap::new(),
    };
    let images: Vec<ImageDecision> = pod
        .into_sites()
        .into_iter()
        .filter(|site| asked.resource == Resource::Pods || site.place.list == List::EphemeralContainers)
        .map(|Site { place, image, pull_never }| {
            let decision = kept.map(Decision::keep).unwrap_or_else(|| {
                policy.decide(Question {
                    image: &image,
                    namespace: &asked.namespace,
                    pull_never,
                    previous: before.get(&(place.list, Cow::Borrowed(&*place.name))).map(|image| Previous {
                        image,
                        immutable: matches!(place.list, List::EphemeralContainers | List::Volumes),
                    }),
                })
            });
            ImageDecision { place, image, decision }
        })
        .collect();
    let patch = patch::write(&images, additions);
    Ok(Content { images, patch, problem: None })
}

fn images_by_place(pod: Option<Pod<'_>>) -> HashMap<(List, Cow<'_, str>), Cow<'_, str>> {
    let sites = pod.map(Pod::into_sites).unwrap_or_default();
    sites.into_iter().map(|Site { place, image, .. }| ((place.list, place.name), image)).collect()
}
