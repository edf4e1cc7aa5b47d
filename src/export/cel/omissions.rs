//! What the decisions in CEL omit of the rules.

use std::collections::BTreeSet;

use super::super::Omission;
use super::super::regions::{Choice, Gives, Region};
use crate::engine::{DOCKER_HUB, Mode, Namespaces, Policy, Prefix, Rule};

/// Returns what the variables do not express.
pub fn of(policy: &Policy, regions: &[Region]) -> Vec<Omission> {
    let mut omissions = BTreeSet::new();
    // Regions contain `except` and `namespaces`; pull secrets are a variable.
    for rule in policy.rules() {
        omissions.extend(Omission::of_facts(rule, false));
        omissions.extend(Omission::of_rollout(rule));
        let Rule {
            name,
            matcher,
            except: _,
            namespaces: _,
            image_pull_secrets: _,
            mode,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        if matcher.pattern().is_some() {
            omissions.insert(Omission::rule(
                name,
                "its images are not rewritten, since CEL does not support the groups of a `pattern`",
            ));
        }
        if *mode == Mode::Observe {
            omissions.insert(Omission::rule(
                name,
                "`mode: observe` is not supported by policies; remove it to export the rule",
            ));
        }
    }
    for Region { prefix, choices } in regions {
        for Choice { namespaces, rule, gives } in choices {
            let mut add = |what: String, why: String| omissions.insert(Omission { what, why });
            match gives {
                Gives::Unknown => {
                    let name = &rule.name;
                    let why = if **namespaces == Namespaces::All {
                        format!("its images are not rewritten, since the pattern of rule `{name}` may match them")
                    } else {
                        format!(
                            "its images are not rewritten in the namespaces of rule `{name}`, whose pattern may match them"
                        )
                    };
                    add(format!("`{prefix}`"), why)
                }
                Gives::Rewrite { to, .. } if prefix.contains('/') && is_official_image(to) => add(
                    format!("the image `{prefix}` itself"),
                    format!(
                        "it is not rewritten, since the result of rule `{}` is another image on Docker Hub",
                        rule.name
                    ),
                ),
                _ => continue,
            };
        }
    }
    omissions.into_iter().collect()
}

/// Returns whether a `to` is itself an image on Docker Hub that has another canonical name.
pub fn is_official_image(to: &str) -> bool {
    Prefix::parse(to).is_ok_and(|to| to.host() == DOCKER_HUB && to.canonical().matches('/').count() == 1)
}

/// Returns the omission of `recordOriginals`, which policies do not support.
pub fn originals() -> Omission {
    Omission::field("recordOriginals", "policies write no annotation")
}
