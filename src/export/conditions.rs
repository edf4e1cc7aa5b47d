//! CEL match conditions: for which Pods the API server calls the webhook.
//!
//! With `failurePolicy: Ignore`, an expression that fails or exceeds the cost limit skips the call. So a condition must do neither
//! for any Pod, and must hold for every Pod that the engine would change.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use thiserror::Error;

use super::cel::Entry;
use crate::engine::{
    DOCKER_HUB, List, MIRROR_ANNOTATION, Policy, REWRITE_DISABLED, REWRITE_LABEL, Rule, Settings, aliases_of,
};

/// The name of the condition on images.
pub const ON_IMAGES: &str = "may-rewrite-an-image";

/// The name of the condition that excludes service accounts and `system:` users.
pub const BY_A_USER: &str = "by-a-user";

/// The reason why no condition matches exactly the images that the rules change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Inexact {
    #[error("rule `{0}` has a `pattern`, and a CEL condition can't match the same images exactly")]
    Pattern(String),
    #[error(
        "the rules name {0} registry hosts, and above {MAX_HOSTS} the condition could exceed the API server's cost limit"
    )]
    TooManyHosts(usize),
    #[error(
        "the host `{0}` of a rule is longer than {MAX_IMAGE_CHARS} characters, and the condition reads no longer images"
    )]
    LongHost(String),
}

/// For Pods with more containers and volumes, the webhook is called whatever their images are.
const MAX_IMAGES: usize = 256;
/// So it is for Pods with a longer image string, in characters.
const MAX_IMAGE_CHARS: usize = 1024;
/// With the two bounds above, a Pod costs at most about two thirds of the limit of 1,000,000. Each image costs up to 6 passes of
/// 0.1 a character over its string (615), a comparison of at most 27 with each host, and 100 for the other steps.
const MAX_HOSTS: usize = 64;

/// Returns the conditions that are safe for every set of rules: Pods that they exclude are never rewritten.
pub(super) fn always() -> Vec<MatchCondition> {
    vec![
        not_deleting(),
        condition("not-mirror-pod", format!("!('{MIRROR_ANNOTATION}' in object.metadata.?annotations.orValue({{}}))")),
    ]
}

/// Returns the conditions for warnings about templates: only a user can change the manifest. Controllers and the other
/// components of the cluster would log each warning.
pub(super) fn on_templates() -> Vec<MatchCondition> {
    let is_user = "!request.userInfo.?username.orValue('').startsWith('system:')";
    vec![not_deleting(), condition(BY_A_USER, is_user.to_owned())]
}

fn not_deleting() -> MatchCondition {
    condition("not-deleting", "!has(object.metadata.deletionTimestamp)".to_owned())
}

/// Returns the conditions of a policy: those of [`always`], and that the Pod is not opted out, if the rules allow it. A selector
/// would match the old object too.
pub(super) fn of_policy(policy: &Policy) -> Vec<MatchCondition> {
    let mut conditions = always();
    // The others do not decide which Pods are evaluated: an omission says that for `operators`.
    let &Settings { allow_opt_out, record_originals: _, when_not_understood: _, caches: _, operators: _ } =
        policy.settings();
    if allow_opt_out {
        let label = format!("object.metadata.?labels[?'{REWRITE_LABEL}'].orValue('')");
        conditions.push(condition("not-opted-out", format!("{label} != '{REWRITE_DISABLED}'")));
    }
    conditions
}

/// Returns a condition that holds for every Pod with an image on a host that a rule names.
pub(super) fn on_images(policy: &Policy) -> Result<MatchCondition, Inexact> {
    let mut hosts = BTreeSet::new();
    // The condition may hold for more Pods than a rule changes, so it ignores what narrows a rule.
    for rule in policy.rules() {
        let Rule {
            name,
            matcher,
            except: _,
            namespaces: _,
            image_pull_secrets: _,
            mode: _,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        let Some((from, targets)) = matcher.prefixes() else { return Err(Inexact::Pattern(name.clone())) };
        hosts.extend(from.iter().map(|prefix| prefix.host()));
        // On an update, one name of the rule is replaced by another one.
        if matcher.has_failover() {
            hosts.extend(targets.into_iter().map(|prefix| prefix.host()));
        }
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
    // Every Pod has containers, so they come first.
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
    // A port with a leading zero may be any port. A first component without a dot or colon is not a host, and neither is a name
    // without a slash.
    let implied = if docker_hub { " || !(h.contains('.') || h.contains(':') || h == 'localhost')" } else { "" };
    let expression = [
        format!("{} > {MAX_IMAGES}", sizes.join(" + ")),
        // Immutable places get their old image back, whatever the rules are now.
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
