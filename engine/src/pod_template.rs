//! Warnings about the images of workload templates. A template is never rewritten: GitOps tools would see a difference.

use std::collections::HashMap;

use super::config::is_dns_label;
use super::context::Context;
use super::decision::{Decision, ImageDecision};
use super::json::{Fault, Raw, Read, Reader};
use super::pod::{Place, Pod, Site};
use super::pod_kind::PodKind;
use super::policy::{Policy, Question};
use super::reason::Reason;
use super::response::{MAX_WARNINGS, printable};
use super::rule::Rule;

/// Characters of a warning. The API server may truncate longer ones (`apiserver`, `pkg/endpoints/filters/warning.go`). Its
/// documentation asks for 120 if possible, and a field with both names of an image often has more.
const MAX_WARNING_CHARS: usize = 256;

/// The images of a template whose field should name the cache, or would have to if their rule enforced.
#[derive(Debug, Default)]
pub(super) struct Advice<'a> {
    /// The first ones, as many as there are warnings: a hostile template has tens of thousands.
    shown: Vec<ImageDecision<'a>>,
    images: usize,
    /// Their rules, in the order of the images, with the number of images.
    pub by_rule: Vec<(&'a Rule, usize)>,
}

impl<'a> Advice<'a> {
    /// Decides about each image of a template.
    ///
    /// The decision is that for a new Pod of the template, without facts: the state of caches changes, and manifests stay. So
    /// images of a rule that depends on facts are omitted, since an image that names the cache has no failover, and those of a
    /// rule with a partial roll-out, since it would stay when the share is lowered. On an update,
    /// unchanged images count too, as in warnings of Pod Security (`pod-security-admission`, `admission.go`,
    /// `ValidatePodController`): the user who applies a manifest can change all of it.
    ///
    /// # Errors
    ///
    /// Returns why the template is unreadable.
    pub fn of(policy: &'a Policy, namespace: &str, kind: &'static PodKind, object: &Raw<'a>) -> Result<Self, String> {
        let template = object.read_with(|reader| pod_within(kind.pod(), reader));
        let template = template.map_err(|error| format!("its template can't be read: {error}"))?;
        let is_decided =
            |pod: &Pod| pod.metadata.as_ref().is_none_or(|metadata| policy.reason_for_all(metadata.state()).is_none());
        let sites = template.filter(is_decided).map(Pod::into_sites).unwrap_or_default();
        let mut advice = Self::default();
        let mut positions: HashMap<*const Rule, usize> = HashMap::new();
        let context = Context::of(policy);
        for Site { place, image, pull_never } in sites {
            let decision =
                context.decide(Question { image: &image, namespace, pull_never, previous: None, included_from: None });
            let Some(rule) = decision.rule().filter(|_| advised_name(&decision).is_some()) else { continue };
            advice.images += 1;
            let position = *positions.entry(std::ptr::from_ref(rule)).or_insert(advice.by_rule.len());
            match advice.by_rule.get_mut(position) {
                Some((_, count)) => *count += 1,
                None => advice.by_rule.push((rule, 1)),
            }
            if advice.shown.len() < MAX_WARNINGS {
                advice.shown.push(ImageDecision { place, image, decision });
            }
        }
        Ok(advice)
    }

    /// Returns one line for each image, or for the first ones with the number of the others.
    pub fn warnings(&self, kind: &PodKind) -> Vec<String> {
        let Self { shown, images, by_rule: _ } = self;
        let lines = if *images > MAX_WARNINGS { MAX_WARNINGS - 1 } else { *images };
        let others = images - lines;
        let more = (others > 0)
            .then(|| format!("pullthrough: {others} more images match rules; `pullthrough rewrite` lists them"));
        shown.iter().take(lines).filter_map(|image| warning(kind, image)).chain(more).collect()
    }
}

/// Returns the name to write into a template; `None` if its image should stay.
fn advised_name<'d>(decision: &'d Decision) -> Option<&'d str> {
    let name = match decision {
        Decision::Rewrite { result, .. } => Some(&**result),
        Decision::NotRewritten { reason: Reason::Observed, would_be, .. } => would_be.as_deref(),
        Decision::NotRewritten { .. } | Decision::Restore { .. } => None,
    };
    name.filter(|_| decision.rule().is_some_and(|rule| !rule.varies()))
}

/// Returns the line for an object whose template is unreadable.
pub(super) fn unreadable(problem: &str) -> Vec<String> {
    vec![printable(format!("pullthrough can't check the images of this object: {problem}"), MAX_WARNING_CHARS)]
}

/// Returns the line for an image: the field, the image, and the name to write. A cut name could not be used, so names are whole:
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
