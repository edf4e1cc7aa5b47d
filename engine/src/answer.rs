//! Turns the bytes of a request into the bytes of its answer.

use std::borrow::Cow;

use super::bounds::{MAX_PATCH_BYTES, MAX_WOULD_BE_BYTES};
use super::context::Context;
use super::decision::{Decision, ImageDecision};
use super::json::{InvalidJson, Raw};
use super::list::{Change, List};
use super::operators::{Operator, User};
use super::origin::Origin;
use super::outline::may_change_an_image;
use super::patch::{self, Patch};
use super::pod::{Metadata, Place, Pod, Site};
use super::pod_kind::PodKind;
use super::pod_template::{self, Advice};
use super::policy::{PodState, Policy, Previous, Question, WhenNotUnderstood};
use super::response;
use super::review::{self, Asking, Objects, Operation, Resource, Unreadable};
use super::rollout::Workload;
use super::rule::Rule;

/// The AdmissionReview to send back, as JSON, and its summary.
#[derive(Debug)]
pub struct Answer<'a> {
    pub body: Vec<u8>,
    pub summary: Summary<'a>,
}

/// An admission as metrics and logs report it.
#[derive(Debug)]
pub struct Summary<'a> {
    pub resource: Resource,
    pub operation: Operation,
    pub dry_run: bool,
    pub outcome: Outcome,
    pub uid: Cow<'a, str>,
    pub namespace: Cow<'a, str>,
    /// The object's name; empty while the API server has not generated it.
    pub name: Cow<'a, str>,
    /// The start of the name that the API server generates. Empty if the object has a name.
    pub generate_name: Cow<'a, str>,
    /// Who has the Pod created, if the request creates one.
    pub origin: Origin<'a>,
    /// The decision about each image of the Pod.
    pub images: Vec<ImageDecision<'a>>,
    /// The rules of a template's images that the user is warned about, with the number of images. They are not rewritten, and
    /// not among `images`.
    pub warned: Vec<(&'a Rule, usize)>,
    /// Why the object can't be understood.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Patched,
    Unchanged,
    /// A template, allowed unchanged with warnings about its images.
    Warned,
    /// Allowed unchanged because the object can't be understood.
    NotUnderstood,
    /// Denied because the object can't be understood and the rules say `whenNotUnderstood: deny`.
    Denied,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unchanged => "unchanged",
            Self::Warned => "warned",
            Self::NotUnderstood => "not_understood",
            Self::Denied => "denied",
        }
    }
}

/// Answers an AdmissionReview: a pure function of the request and of its context.
///
/// An object that can't be understood is not an error. It is allowed unchanged, or denied if the rules say so.
///
/// # Errors
///
/// Returns an error if the body is not an AdmissionReview of `admission.k8s.io/v1` with a `uid` to answer to.
pub fn answer<'a>(context: Context<'a>, body: &'a [u8]) -> Result<Answer<'a>, Unreadable> {
    let (asked, objects) = review::read(body)?;
    let Objects { object, old_object } = objects;
    let raw_object = object.as_ref().map(|object| object.raw.clone());
    let pod = object.map(|object| object.pod);
    let warn = context.options.warnings && !asked.is_machine;
    let understood = match asked.resource {
        Resource::Templates(kind) => {
            let template = raw_object.as_ref().filter(|_| warn);
            understand_template(context.policy, &asked, kind, pod, template)
        }
        _ => understand(context, &asked, pod, old_object.as_ref()),
    };
    let Understood { name: object_name, generate_name, origin, decided } = understood;
    let (Decided { images, patch, advice }, problem) = match decided {
        Ok(decided) => (decided, None),
        Err(problem) => (Decided::default(), Some(problem)),
    };
    let is_denied = problem.is_some()
        && context.policy.settings().when_not_understood == WhenNotUnderstood::Deny
        && may_be_denied(&asked, raw_object.as_ref(), old_object.as_ref());
    let outcome = match (&problem, &patch) {
        (Some(_), _) if is_denied => Outcome::Denied,
        (Some(_), _) => Outcome::NotUnderstood,
        (None, Some(_)) => Outcome::Patched,
        (None, None) if advice.by_rule.is_empty() => Outcome::Unchanged,
        (None, None) => Outcome::Warned,
    };
    let warnings = match asked.resource {
        _ if !warn || is_denied => Vec::new(),
        Resource::Templates(kind) => match &problem {
            Some(problem) => pod_template::unreadable(problem),
            None => advice.warnings(kind),
        },
        _ => response::warnings(&images, problem.as_deref(), origin.operator),
    };
    let body = response::write(&response::Content {
        uid: &asked.uid,
        patch,
        problem: problem.as_deref(),
        is_denied,
        warnings,
        decisions: &images,
    });
    let Asking { uid, resource, operation, name, namespace, dry_run, username: _, is_machine: _ } = asked;
    let name = if name.is_empty() { object_name } else { name };
    let generate_name = if name.is_empty() { generate_name } else { Cow::default() };
    Ok(Answer {
        body,
        summary: Summary {
            resource,
            operation,
            dry_run,
            outcome,
            uid,
            namespace,
            name,
            generate_name,
            origin,
            images,
            warned: advice.by_rule,
            problem,
        },
    })
}

/// Returns whether a request that can't be understood may be denied: the creation of a Pod, or an update that may change an
/// image.
fn may_be_denied(asked: &Asking, object: Option<&Raw>, old_object: Option<&Raw>) -> bool {
    match (asked.resource, asked.operation) {
        (Resource::Pods, Operation::Create) => true,
        (Resource::Pods | Resource::PodsEphemeralContainers, Operation::Update) => {
            may_change_an_image(object, old_object)
        }
        _ => false,
    }
}

/// The result of reading the objects of a request.
struct Understood<'a> {
    /// The object's `name`, or empty.
    name: Cow<'a, str>,
    /// The object's `generateName`, or empty.
    generate_name: Cow<'a, str>,
    origin: Origin<'a>,
    /// The decisions, or why the object can't be understood.
    decided: Result<Decided<'a>, String>,
}

impl<'a> Understood<'a> {
    fn nameless(decided: Result<Decided<'a>, String>) -> Self {
        Self { name: Cow::default(), generate_name: Cow::default(), origin: Origin::default(), decided }
    }
}

#[derive(Default)]
struct Decided<'a> {
    images: Vec<ImageDecision<'a>>,
    patch: Option<Patch<'a>>,
    /// The images of a template to warn about.
    advice: Advice<'a>,
}

fn understand<'a>(
    context: Context<'a>,
    asked: &Asking<'a>,
    object: Option<Result<Pod<'a>, InvalidJson>>,
    old_object: Option<&Raw<'a>>,
) -> Understood<'a> {
    let pod = match pod(asked, object) {
        Ok(Some(pod)) => pod,
        Ok(None) => return Understood::nameless(Ok(Decided::default())),
        Err(problem) => return Understood::nameless(Err(problem)),
    };
    let (name, generate_name) = pod.metadata.as_ref().map(Metadata::names).unwrap_or_default();
    let is_creation = asked.resource == Resource::Pods && asked.operation == Operation::Create;
    let origin = if is_creation { pod.origin(asked.namespace.clone()) } else { Origin::default() };
    let decided = decide(context, asked, &origin, pod, old_object);
    Understood { name, generate_name, origin, decided }
}

/// Reads an object with a template, which is `None` without a user to warn.
fn understand_template<'a>(
    policy: &'a Policy,
    asked: &Asking<'a>,
    kind: &'static PodKind,
    object: Option<Result<Pod<'a>, InvalidJson>>,
    template: Option<&Raw<'a>>,
) -> Understood<'a> {
    let object = match object.transpose() {
        Ok(object) => object.unwrap_or_default(),
        Err(error) => return Understood::nameless(Err(format!("it can't be read: {error}"))),
    };
    let (name, generate_name) = object.metadata.as_ref().map(Metadata::names).unwrap_or_default();
    let is_deleting = object.metadata.is_some_and(|metadata| metadata.state().deleting);
    let sets_images = matches!(asked.operation, Operation::Create | Operation::Update) && !is_deleting;
    let advice = match template.filter(|_| sets_images) {
        Some(object) => Advice::of(policy, &asked.namespace, kind, object),
        None => Ok(Advice::default()),
    };
    let decided = advice.map(|advice| Decided { advice, ..Decided::default() });
    Understood { name, generate_name, origin: Origin::default(), decided }
}

/// Returns the Pod of a request; `None` if the request can't change an image.
fn pod<'a>(asked: &Asking, object: Option<Result<Pod<'a>, InvalidJson>>) -> Result<Option<Pod<'a>>, String> {
    match (asked.resource, asked.operation) {
        (Resource::Other, _) => Err("only Pods are rewritten, and the request is for another resource".to_owned()),
        (Resource::Pods, Operation::Create | Operation::Update)
        | (Resource::PodsEphemeralContainers, Operation::Update) => {
            object.ok_or("the request has no object")?.map(Some).map_err(unreadable)
        }
        _ => Ok(None),
    }
}

fn unreadable(error: InvalidJson) -> String {
    format!("the Pod can't be read: {error}")
}

/// Returns whether a new Pod is not rewritten because of who has it created.
fn is_left(context: Context, asked: &Asking, Origin { operator, owner }: &Origin) -> bool {
    let skips = |operator: &Operator| {
        context.policy.settings().operators.skips(operator, &asked.namespace, User::Named(&asked.username))
    };
    operator.is_some_and(skips) || owner.as_ref().is_some_and(|owner| context.facts.standing_down().contains(owner))
}

/// Decides about each image of a Pod.
fn decide<'a>(
    context: Context<'a>,
    asked: &Asking,
    origin: &Origin,
    pod: Pod<'a>,
    old_object: Option<&Raw<'a>>,
) -> Result<Decided<'a>, String> {
    let additions = (asked.operation == Operation::Create).then(|| patch::Additions::new(context.policy, &pod));
    let reason_for_all = pod.metadata.as_ref().and_then(|metadata| {
        let state = PodState { operator_managed: is_left(context, asked, origin), ..metadata.state() };
        context.policy.reason_for_all(state)
    });
    let old_pod: Option<Pod> = match (asked.operation, old_object) {
        (Operation::Update, Some(old_object)) => Some(old_object.parse().map_err(unreadable)?),
        _ => None,
    };
    // On an update the stored Pod says whose it is: a client may send ephemeral containers alone.
    let stored = old_pod.as_ref().and_then(|pod| pod.metadata.as_ref()).or(pod.metadata.as_ref());
    let included_from = stored
        .filter(|_| context.policy.has_rollouts())
        .map(|metadata| Workload::of_pod(metadata).included_from(&asked.namespace));
    let before = old_pod.map(Before::new).unwrap_or_default();
    let sites = pod.into_sites();
    let mut images = Vec::with_capacity(sites.len());
    let (mut patch_bytes, mut would_be_bytes) = (0, 0);
    for Site { place, image, pull_never } in sites {
        if asked.resource != Resource::Pods && place.list.change() != Change::Additions {
            continue;
        }
        let mut decision = reason_for_all.map(Decision::not_rewritten).unwrap_or_else(|| {
            context.decide(Question {
                image: &image,
                namespace: &asked.namespace,
                pull_never,
                previous: before.at(&place).map(|image| Previous { image, immutable: place.list.is_immutable() }),
                included_from,
            })
        });
        if let Decision::Rewrite { result, .. } | Decision::Restore { result } = &decision {
            patch_bytes += patch::replace_bytes(result);
        }
        if patch_bytes > MAX_PATCH_BYTES {
            return Err(patch::TOO_LARGE.to_owned());
        }
        if let Decision::NotRewritten { would_be: would_be @ Some(_), .. } = &mut decision {
            would_be_bytes += would_be.as_ref().map_or(0, String::len);
            if would_be_bytes > MAX_WOULD_BE_BYTES {
                *would_be = None;
            }
        }
        images.push(ImageDecision { place, image, decision });
    }
    let patch = Patch::new(&images, additions)?;
    Ok(Decided { images, patch, advice: Advice::default() })
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

    /// Returns the image at the same place; the last one if there are several.
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
