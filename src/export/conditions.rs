//! CEL match conditions: which Pods the API server need not ask about.
//!
//! With `failurePolicy: Ignore` an expression that fails or costs too much skips the call, so a condition must do
//! neither for any Pod, and must hold for every Pod that the engine would change.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use thiserror::Error;

use super::cel::Entry;
use crate::engine::{
    DOCKER_HUB, List, MIRROR_ANNOTATION, Policy, REWRITE_DISABLED, REWRITE_LABEL, Rule, Settings, aliases_of,
};

/// The name of the condition on images.
pub const ON_IMAGES: &str = "may-rewrite-an-image";

/// Why no condition can say which images the rules change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Inexact {
    #[error("rule `{0}` has a pattern, and CEL could not say exactly what it matches")]
    Pattern(String),
    #[error(
        "the rules name {0} registry hosts, and above {MAX_HOSTS} the condition could exceed the API server's cost limit"
    )]
    TooManyHosts(usize),
    #[error(
        "the host `{0}` of a rule is longer than the {MAX_IMAGE_CHARS} characters up to which images are looked at"
    )]
    LongHost(String),
}

/// Pods with more containers and volumes are asked about without a look at their images.
const MAX_IMAGES: usize = 256;
/// So are Pods with a longer image string.
const MAX_IMAGE_CHARS: usize = 1024;
/// With the two bounds above, the most that a Pod can cost is about two thirds of the limit of 1,000,000: each image costs
/// up to 6 passes of 0.1 a character over its string (615), a comparison of at most 27 with each host, and 100 for the
/// steps in between.
const MAX_HOSTS: usize = 64;

/// Safe for every set of rules: what these leave out is never rewritten.
pub(super) fn always() -> Vec<MatchCondition> {
    vec![
        condition("not-deleting", "!has(object.metadata.deletionTimestamp)".to_owned()),
        condition("not-mirror-pod", format!("!('{MIRROR_ANNOTATION}' in object.metadata.?annotations.orValue({{}}))")),
    ]
}

/// What a policy that nobody asks goes by: also whether a Pod opts out, where the rules let it. A selector would look at what
/// the Pod was before, too.
pub(super) fn of_policy(policy: &Policy) -> Vec<MatchCondition> {
    let mut conditions = always();
    // Neither decides which Pods are evaluated.
    let Settings { allow_opt_out, record_originals: _, when_not_understood: _ } = policy.settings();
    if allow_opt_out {
        let label = format!("object.metadata.?labels[?'{REWRITE_LABEL}'].orValue('')");
        conditions.push(condition("not-opted-out", format!("{label} != '{REWRITE_DISABLED}'")));
    }
    conditions
}

/// Holds for every Pod with an image on a host that a rule names.
pub(super) fn on_images(policy: &Policy) -> Result<MatchCondition, Inexact> {
    let mut hosts = BTreeSet::new();
    // The condition holds for more Pods than a rule changes, so it needs nothing that narrows one.
    for Rule { name, matcher, except: _, namespaces: _, image_pull_secrets: _, mode: _ } in policy.rules() {
        let Some(from) = matcher.sources() else { return Err(Inexact::Pattern(name.clone())) };
        hosts.extend(from.iter().map(|prefix| prefix.host()));
    }
    let docker_hub = hosts.contains(DOCKER_HUB);
    hosts.extend(hosts.clone().into_iter().flat_map(aliases_of));
    if hosts.len() > MAX_HOSTS {
        return Err(Inexact::TooManyHosts(hosts.len()));
    }
    if let Some(host) = hosts.iter().find(|host| host.len() >= MAX_IMAGE_CHARS) {
        return Err(Inexact::LongHost((*host).to_owned()));
    }
    let mut lists = List::ALL;
    // The one that every Pod has comes first.
    lists.sort_by_key(|list| *list != List::Containers);
    let of = |list: List| format!("object.spec.?{}.orValue([])", list.as_str());
    let sizes = lists.map(|list| format!("size({})", of(list)));
    let images = lists.map(|list| {
        let Entry { variable, is_image, image, .. } = Entry::of(list);
        let images = is_image.map(|condition| format!(".filter({variable}, {condition})")).unwrap_or_default();
        format!("{}{images}.map({variable}, {image})", of(list))
    });
    let immutable: Vec<String> = lists
        .into_iter()
        .rev()
        .filter(|list| list.is_immutable())
        .map(|list| match Entry::of(list) {
            Entry { variable, is_image: Some(condition), .. } => {
                format!("{}.exists({variable}, {condition})", of(list))
            }
            _ => format!("size({}) > 0", of(list)),
        })
        .collect();
    let hosts: Vec<String> = hosts.iter().map(|host| format!("'{host}'")).collect();
    let hosts = hosts.join(", ");
    // A port with a zero before it may be any. A first component without a dot and a colon is no host; and without a slash
    // there is none.
    let implied = match docker_hub {
        true => " || !(h.contains('.') || h.contains(':') || h == 'localhost')",
        false => "",
    };
    let expression = [
        format!("{} > {MAX_IMAGES}", sizes.join(" + ")),
        // What can't be changed goes back to what it was, whichever the rules are now.
        format!("request.operation == 'UPDATE' && ({})", immutable.join(" || ")),
        format!(
            "({})\n    .map(i, size(i) > {MAX_IMAGE_CHARS} ? '' : i.contains('/') ? i.split('/', 2)[0].lowerAscii() : '{DOCKER_HUB}')\n    .map(h, h.endsWith(':443') ? h.substring(0, size(h) - 4) : h)\n    .exists(h, h in ['', {hosts}] || h.contains(':0'){implied})",
            images.join("\n    + ")
        ),
    ];
    Ok(condition(ON_IMAGES, expression.join("\n|| ")))
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}
