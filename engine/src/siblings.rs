//! The other names that a rule gives to an image: one for `to`, and one for each failover.

use super::hashing::ByName;
use super::image::ImageRef;
use super::prefix::boundaries;
use super::rule::{Matcher, Mode, Rule};
use super::template::{Reverse, Template};

/// The names that one rule gives to the same image. Rules that only observe give none.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    /// The numbers of the rules that have a canonical prefix as `to` or failover, in ascending order. The others of a rule
    /// are not stored with each, which would be as many as pairs.
    prefixes: ByName<Vec<usize>>,
    /// The templates of each rule with a pattern and a failover.
    templates: Vec<Vec<(Template, Option<Reverse>)>>,
}

impl Siblings {
    pub fn new(rules: &[Rule]) -> Self {
        let mut siblings = Self::default();
        let rules = rules.iter().filter(|rule| rule.matcher.has_failover() && rule.mode == Mode::Enforce);
        for (number, rule) in rules.enumerate() {
            match &rule.matcher {
                Matcher::From { from: _, to, failover } => {
                    for name in [to].into_iter().chain(failover) {
                        siblings.prefixes.entry(name.canonical().into()).or_default().push(number);
                    }
                }
                Matcher::Pattern { pattern, to, failover } => {
                    let templates = [to].into_iter().chain(failover);
                    siblings.templates.push(templates.map(|to| (to.clone(), to.reverse(pattern))).collect());
                }
            }
        }
        siblings
    }

    /// Returns whether a rule gives both canonical names to one image. If a template can give a name with several texts of its
    /// groups, the first ones are considered.
    pub fn are(&self, one: &str, other: &str) -> bool {
        self.have_prefixes(one, other)
            || self.templates.iter().any(|names| are_of(names, one, other) || are_of(names, other, one))
    }

    fn have_prefixes(&self, one: &str, other: &str) -> bool {
        !self.prefixes.is_empty()
            && boundaries(one).any(|prefix| {
                self.prefixes.get(prefix).is_some_and(|rules| {
                    let of_other = other.strip_suffix(&one[prefix.len()..]).filter(|of_other| *of_other != prefix);
                    of_other.and_then(|of_other| self.prefixes.get(of_other)).is_some_and(|others| meet(rules, others))
                })
            })
    }
}

/// Returns whether two lists of numbers, each in ascending order, have one in common.
fn meet(one: &[usize], other: &[usize]) -> bool {
    let (few, many) = if one.len() < other.len() { (one, other) } else { (other, one) };
    few.iter().any(|number| many.binary_search(number).is_ok())
}

/// Returns whether the groups with which a template gives one name give the other name with another template.
fn are_of(names: &[(Template, Option<Reverse>)], one: &str, other: &str) -> bool {
    names.iter().enumerate().any(|(at, (_, reverse))| {
        reverse.as_ref().and_then(|reverse| reverse.groups(one)).is_some_and(|groups| {
            let others = names.iter().enumerate().filter(|(position, _)| *position != at);
            others.map(|(_, (to, _))| to).any(|to| {
                let mut are_known = true;
                let name = to.with_groups(|group| {
                    let text = groups.iter().find(|(of, _)| *of == group).map(|(_, text)| *text);
                    are_known &= text.is_some();
                    text.unwrap_or_default().to_owned()
                });
                are_known && ImageRef::parse(&name).is_ok_and(|name| name.canonical() == other)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn siblings(rules: &str) -> Siblings {
        let text = format!(
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{{prefix: a.io, health: {{}}}}, {{prefix: b.io, health: {{}}}}]\nrules:\n{rules}"
        );
        let config = config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
        Siblings::new(&config.rules)
    }

    #[test]
    fn names_of_one_rule_with_the_same_rest_are_siblings() {
        let siblings = siblings(
            r"
  - {name: hub, from: [docker.io], to: a.io/hub, failover: [B.io:443/mirror/hub, c.io]}
  - {name: quay, from: [quay.io], to: a.io/quay, failover: [c.io/quay]}
  - {name: ghcr, from: [ghcr.io], to: a.io/ghcr, failover: [b.io/ghcr], mode: observe}
  - {name: mcr, from: [mcr.microsoft.com], to: a.io/mcr}
  - {name: gitlab, pattern: 'gitlab\.io/([^/]+)/(.+)', to: 'a.io/gitlab-$1/$2', failover: ['B.io/$1/$2', 'c.io/gitlab/$2']}
",
        );
        for (one, other, expected) in [
            ("a.io/hub/library/nginx", "b.io/mirror/hub/library/nginx", true),
            ("a.io/hub/library/nginx", "c.io/library/nginx", true),
            ("a.io/hub", "c.io", true),
            ("a.io/hub/library/nginx", "b.io/mirror/hub/library/redis", false),
            ("a.io/hub/library/nginx", "b.io/library/nginx", false),
            ("a.io/hub/nginx", "a.io/hub/nginx", false),
            ("a.io/hubb/nginx", "c.iob/nginx", false),
            ("a.io/quay/x", "c.io/quay/x", true),
            ("a.io/hub/quay/x", "c.io/quay/x", true),
            ("a.io/ghcr/x", "b.io/ghcr/x", false),
            ("a.io/mcr/x", "a.io/mcr/x", false),
            ("a.io/gitlab-g/a/b", "b.io/g/a/b", true),
            ("a.io/gitlab-g/a/b", "b.io/h/a/b", false),
            ("a.io/gitlab-g/a/b", "c.io/gitlab/a/b", true),
            ("b.io/g/a", "c.io/gitlab/a", true),
            ("b.io/g/a", "c.io/gitlab/b", false),
        ] {
            assert_eq!(siblings.are(one, other), expected, "{one} and {other}");
            assert_eq!(siblings.are(other, one), expected, "{other} and {one}");
        }
    }
}
