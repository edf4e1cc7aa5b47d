//! Warnings about the images of workload templates. A template is never rewritten: GitOps tools would see a difference.

use super::config::is_dns_label;
use super::context::Context;
use super::decision::{Decision, ImageDecision};
use super::json::{Fault, Raw, Read, Reader};
use super::pod::{Place, Pod, Site};
use super::pod_kind::PodKind;
use super::policy::{Policy, Question};
use super::reason::Reason;
use super::response::{MAX_WARNINGS, printable};

/// Characters of a warning. The API server may truncate longer ones (`apiserver`, `pkg/endpoints/filters/warning.go`). Its
/// documentation asks for 120 if possible, and a field with both names of an image often has more.
const MAX_WARNING_CHARS: usize = 256;

/// Returns the images of a template whose field should name the cache, or would have to if their rule enforced.
///
/// Each image is decided as in a new Pod of the template, without facts: the state of caches changes, and manifests stay.
/// So images are not among them if their rule depends on facts, since an image that names the cache has no failover. On an
/// update, unchanged images are among them too, as in warnings of Pod Security (`pod-security-admission`,
/// `admission.go`, `ValidatePodController`): the user who applies a manifest can change all of it.
///
/// # Errors
///
/// Returns why the template is unreadable.
pub(super) fn named_upstreams<'a>(
    policy: &'a Policy,
    namespace: &str,
    kind: &'static PodKind,
    object: &Raw<'a>,
) -> Result<Vec<ImageDecision<'a>>, String> {
    let template = object.read_with(|reader| pod_within(kind.pod(), reader));
    let Some(pod) = template.map_err(|error| format!("its template can't be read: {error}"))? else {
        return Ok(Vec::new());
    };
    if pod.metadata.as_ref().is_some_and(|metadata| policy.reason_for_all(metadata.state()).is_some()) {
        return Ok(Vec::new());
    }
    let context = Context::of(policy);
    let decided = pod.into_sites().into_iter().map(|Site { place, image, pull_never }| {
        let question = Question { image: &image, namespace, pull_never, previous: None };
        ImageDecision { decision: context.decide(question), place, image }
    });
    Ok(decided.filter(|image| advised_name(&image.decision).is_some()).collect())
}

/// Returns the name to write into a template; `None` if its image should stay.
fn advised_name<'d>(decision: &'d Decision) -> Option<&'d str> {
    let name = match decision {
        Decision::Rewrite { result, .. } => Some(&**result),
        Decision::NotRewritten { reason: Reason::Observed, would_be, .. } => would_be.as_deref(),
        Decision::NotRewritten { .. } | Decision::Restore { .. } => None,
    };
    name.filter(|_| decision.rule().is_some_and(|rule| !rule.depends_on_facts()))
}

/// Returns one line for each image, or for the first ones with the number of the others.
pub(super) fn warnings(kind: &PodKind, images: &[ImageDecision]) -> Vec<String> {
    let shown = if images.len() > MAX_WARNINGS { MAX_WARNINGS - 1 } else { images.len() };
    let (shown, others) = images.split_at(shown);
    let mut lines: Vec<String> = shown.iter().filter_map(|image| warning(kind, image)).collect();
    if !others.is_empty() {
        lines.push(format!("pullthrough: {} more images match rules; `pullthrough rewrite` lists them", others.len()));
    }
    lines
}

/// Returns the line for an object whose template is unreadable.
pub(super) fn unreadable(problem: &str) -> Vec<String> {
    vec![printable(format!("pullthrough can't check the images of this object: {problem}"), MAX_WARNING_CHARS)]
}

/// Returns the line for an image: the field, the image, and the name to write. Names are never cut, since nobody could copy them:
/// without room for both, the line has the new one, or none.
fn warning(kind: &PodKind, image: &ImageDecision) -> Option<String> {
    let ImageDecision { place, image, decision } = image;
    let (rule, name, field) = (decision.rule()?, advised_name(decision)?, field(kind, place));
    let secrets = match &rule.image_pull_secrets[..] {
        [] => String::new(),
        secrets => format!(", and add to imagePullSecrets: {}", secrets.join(", ")),
    };
    let lines = match decision {
        Decision::Rewrite { .. } => [
            format!("pullthrough: change {field} from {image} to {name}{secrets}"),
            format!("pullthrough: change {field} to {name}{secrets}"),
            format!("pullthrough: change {field} to the name that `pullthrough rewrite` writes"),
        ],
        _ => {
            let observes = format!("(rule {} observes)", rule.name);
            [
                format!("pullthrough: {field} {image} would become {name} {observes}"),
                format!("pullthrough: {field} would become {name} {observes}"),
                format!("pullthrough: {field} would become a longer name {observes}"),
            ]
        }
    };
    lines.into_iter().find(|line| line.chars().count() <= MAX_WARNING_CHARS)
}

/// Returns the field of an image: `spec.template.spec.containers[app].image`. An entry without a valid name has its position.
fn field(kind: &PodKind, place: &Place) -> String {
    let Place { list, index, name } = place;
    let image = list.entries().image().join(".");
    let entry = if is_dns_label(name) { name.to_string() } else { index.to_string() };
    format!("{}.{}[{entry}].{image}", kind.pod_spec.join("."), list.as_str())
}

/// Reads the Pod below these keys of an object; `None` if a key is missing or null.
fn pod_within<'a>(keys: &'static [&'static str], reader: &mut Reader<'a>) -> Result<Option<Pod<'a>>, Fault> {
    if reader.is_null()? {
        return Ok(None);
    }
    let Some((first, rest)) = keys.split_first() else { return Pod::read(reader).map(Some) };
    let mut pod = None;
    reader.object(|key, reader| {
        if key.key() != *first {
            return reader.skip();
        }
        if pod.is_some() {
            return Err(reader.duplicate(first));
        }
        pod = Some(pod_within(rest, reader)?);
        Ok(())
    })?;
    Ok(pod.flatten())
}
