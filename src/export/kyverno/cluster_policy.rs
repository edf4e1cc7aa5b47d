//! `kyverno.io/v1` ClusterPolicy, for Kyverno 1.10 and later.
//!
//! The engine's steps are JMESPath in `cluster-policy.yaml`, the same for all rules files. The rules become a chain of regular
//! expressions in it, in the order of the rules file.
//!
//! Expressions on all images are in the `list` of the `foreach`, since Kyverno evaluates variables of the rule again for each
//! element. The policy never puts a Pod's text between `{{ }}`, where Kyverno would evaluate it again.

use super::re2::{self, Missing};
use crate::engine::{
    ALIASES, Glob, List, MIRROR_ANNOTATION, Matcher, Mode, Namespaces, Pattern, Policy, Prefix, REWRITE_DISABLED,
    REWRITE_LABEL, Rule, Settings, Template, WhenNotUnderstood,
};
use crate::export::cel::{is_official_image, without_effect};
use crate::export::webhook::CONFIGURATION_NAME;
use crate::export::{Export, Omission, kyverno};

const POLICY: &str = include_str!("cluster-policy.yaml");
/// `domain` of the reference grammar, in lower case.
const HOST: &str =
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[0-9]+)?";
/// `remote-name` of the reference grammar.
const PATH: &str = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*";
/// The rest of a name at or below a prefix.
const BELOW: &str = "(?:/.*)?$";

/// The note that holds for every set of rules.
const NOTE: &str = "on an update, existing image volumes and ephemeral containers are rewritten by the present rules; if these \
                        changed since the Pod was created, the API server rejects the update";

/// The plan of Kyverno's maintainers, of September 2026 (kyverno/kyverno#17701, #17718).
const DEPRECATED: &str = "ClusterPolicy is deprecated: Kyverno plans to ignore it and to reject changes of it from 1.20 on, and to remove it in \
                          1.21; with Kyverno 1.18 and later, use --kind MutatingPolicy";

/// Returns the policy as YAML.
pub fn cluster_policy(policy: &Policy) -> Export<String> {
    let mut omissions = Vec::new();
    // `caches` is for requests to registries, which a policy does not send.
    let &Settings { allow_opt_out, record_originals, when_not_understood, caches: _, ref operators } =
        policy.settings();
    if record_originals {
        omissions.push(Omission::field("recordOriginals", "a ClusterPolicy changes images only"));
    }
    omissions.extend((when_not_understood == WhenNotUnderstood::Deny).then(kyverno::admitted));
    omissions.extend(Omission::of_operators(operators));
    let mut clauses = Vec::new();
    for rule in policy.rules() {
        // The clause contains the other fields.
        let Rule {
            name,
            matcher,
            except: _,
            namespaces: _,
            image_pull_secrets,
            mode,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        let omission = |why: &str| Omission::rule(name, why);
        if !image_pull_secrets.is_empty() {
            omissions.push(omission("its `imagePullSecrets` are not added: a ClusterPolicy changes images only"));
        }
        if *mode == Mode::Observe {
            omissions.push(omission("`mode: observe` is not supported by policies; remove it to export the rule"));
        }
        omissions.extend(Omission::of_rollout(rule));
        if matcher.has_failover() {
            omissions.push(omission("its images are not rewritten, since it has `failover`: a ClusterPolicy can't restore the image of a container on an \
                 update, and would move it to another cache"));
        } else {
            omissions.extend(Omission::of_facts(rule, false));
        }
        let clause = match matcher {
            Matcher::From { from, to, failover: _ } => {
                Clause { matches: format!("^{}(/.*)?$", any_of(from)), to: Some(format!("{}${{1}}", to.written())) }
            }
            Matcher::Pattern { pattern, to, failover: _ } => match of_pattern(pattern, to) {
                Ok((clause, None)) => clause,
                Ok((clause, Some(_))) if matcher.has_failover() || !rule.is_rolled_out() => clause,
                Ok((clause, Some(why))) => {
                    omissions.push(omission(&format!("images that it matches are not rewritten, since {why}")));
                    clause
                }
                Err(missing) => {
                    omissions.push(omission(&format!(
                        "this rule and those below it are omitted: Kyverno does not support {missing} in a pattern"
                    )));
                    break;
                }
            },
        };
        let misread = misread(rule);
        omissions.extend(misread.iter().map(|image| Omission {
            what: format!("the image `{}` itself", image.canonical()),
            why: format!("it is not rewritten, since the result of rule `{name}` is another image on Docker Hub"),
        }));
        clauses.push(clause.written(rule, &misread));
    }
    let opt_out = |text: &str| {
        if allow_opt_out {
            text.replace("@LABEL@", REWRITE_LABEL).replace("@DISABLED@", REWRITE_DISABLED)
        } else {
            String::new()
        }
    };
    let text = POLICY
        .replace("@EXCLUDE@", &opt_out(EXCLUDED_NAMESPACES))
        .replace("@OPTED_OUT@", &opt_out(OPTED_OUT))
        .replace("@NAME@", CONFIGURATION_NAME)
        .replace("@MIRROR@", MIRROR_ANNOTATION)
        .replace("@RULES@", &choice(&clauses))
        .replace("@CACHED@", &cached(policy))
        .replace("@HOST@", HOST)
        .replace("@PATH@", PATH)
        .replace("@FOUND@", &lines(List::ALL.map(found)))
        .replace("@BEFORE@", &lines(List::ALL.map(before)))
        .replace("@FOLDED@", &folded("to_lower(split(image, '/')[0])"));
    let notes = [DEPRECATED, NOTE].map(str::to_owned).into_iter().chain(without_effect(policy)).collect();
    Export { what: text, notes, omissions }
}

const EXCLUDED_NAMESPACES: &str = "    exclude:
      any:
      - resources:
          namespaceSelector:
            matchLabels: {@LABEL@: @DISABLED@}
";
const OPTED_OUT: &str = "      - {key: \"{{ request.object.metadata.labels.\\\"@LABEL@\\\" == '@DISABLED@' }}\", operator: Equals, value: false}
";

/// The names that a rule matches, and their replacement; `None` if Kyverno does not support it.
struct Clause {
    matches: String,
    to: Option<String>,
}

impl Clause {
    /// Returns an expression of the new name if this rule decides, or of `-` if the image is unchanged. No text contains a quote.
    fn written(&self, rule: &Rule, misread: &[Prefix]) -> String {
        let mut conditions = vec![format!("regex_match('{}', element.name)", self.matches)];
        let Rule {
            name: _,
            matcher,
            except,
            namespaces,
            image_pull_secrets: _,
            mode,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        match namespaces {
            Namespaces::All => {}
            Namespaces::Include(globs) => conditions.push(in_namespaces(globs)),
            Namespaces::Exclude(globs) => conditions.push(format!("!{}", in_namespaces(globs))),
        }
        let except = (!except.is_empty()).then(|| format!("^{}{BELOW}", any_of(except)));
        let misread = (!misread.is_empty()).then(|| format!("^{}$", any_of(misread)));
        let excepted =
            except.into_iter().chain(misread).map(|names| format!("!regex_match('{names}', element.name) && "));
        let excepted: String = excepted.collect();
        let is_rewritten = *mode == Mode::Enforce && !matcher.has_failover() && rule.is_rolled_out();
        let result = match self.to.as_ref().filter(|_| is_rewritten) {
            Some(to) => format!("{excepted}regex_replace_all('{}', element.name, '{to}') || '-'", self.matches),
            None => "'-'".to_owned(),
        };
        format!("{} && ({result})", conditions.join(" && "))
    }
}

/// Returns the images that a rule rewrites to a name of one component on Docker Hub.
fn misread(rule: &Rule) -> Vec<Prefix> {
    match rule.matcher.prefixes() {
        Some((from, targets)) if targets.first().is_some_and(|to| is_official_image(to.written())) => {
            from.iter().filter(|prefix| prefix.canonical().contains('/')).cloned().collect()
        }
        _ => Vec::new(),
    }
}

fn in_namespaces(globs: &[Glob]) -> String {
    let globs: Vec<String> = globs.iter().map(|glob| glob.as_str().replace('*', ".*")).collect();
    format!("regex_match('^(?:{})$', '{{{{ request.namespace }}}}')", globs.join("|"))
}

/// Returns the clause, and the reason why it has no `to`, if it has none.
fn of_pattern(pattern: &Pattern, to: &Template) -> Result<(Clause, Option<&'static str>), Missing> {
    let hir = regex_syntax::parse(pattern.written()).map_err(|_| "this syntax")?;
    let matches = format!("^(?:{})$", re2::of(&hir)?);
    let certain = re2::certain_groups(&hir);
    let mut are_certain = true;
    let replacement = to.with_groups(|group| {
        are_certain &= certain.iter().any(|certain| usize::try_from(*certain) == Ok(group));
        format!("${{{group}}}")
    });
    let host_is_literal = !replacement.split('/').next().unwrap_or_default().contains('$');
    let why = match (are_certain, host_is_literal) {
        (false, _) => {
            Some("a group in its `to` may match nothing (write `.+` instead of `.*`, and no `?` behind a group)")
        }
        (_, false) => Some("the host of its `to` has a group"),
        (true, true) => None,
    };
    Ok((Clause { matches, to: why.is_none().then_some(replacement) }, why))
}

/// Returns an expression that matches the names under any `to` or failover.
fn cached(policy: &Policy) -> String {
    let alternatives = policy.rules().iter().flat_map(|rule| match &rule.matcher {
        Matcher::From { from: _, to, failover } => {
            let under = |to: &Prefix| format!("^{}{BELOW}", re2::literal(to.canonical()));
            [to].into_iter().chain(failover).map(under).collect::<Vec<_>>()
        }
        Matcher::Pattern { pattern: _, to, failover } => {
            [to].into_iter().chain(failover).map(|to| to.under().to_owned()).collect()
        }
    });
    alternatives.collect::<Vec<_>>().join("|")
}

fn any_of(prefixes: &[Prefix]) -> String {
    let literals: Vec<String> = prefixes.iter().map(|prefix| re2::literal(prefix.canonical())).collect();
    format!("(?:{})", literals.join("|"))
}

/// Returns an expression of the folded host: the port as a number, 443 omitted, one name for each registry.
fn folded(host: &str) -> String {
    let ports = [("):0+([0-9]+)$", "${1}:${2}"), ("):443$", "${1}")]
        .map(|(port, to)| (format!(r"^([^:]*|\[.*\]{port}"), to.to_owned()));
    let aliases = ALIASES.map(|(alias, of)| (format!("^{}$", re2::literal(alias)), of.to_owned()));
    ports
        .into_iter()
        .chain(aliases)
        .fold(host.to_owned(), |host, (matches, to)| format!("regex_replace_all('{matches}', {host}, '{to}')"))
}

fn found(list: List) -> String {
    let (image, pull) = (list.entries().image(), list.entries().pull_policy().join("."));
    let (list, image, pointer) = (list.as_str(), image.join("."), image.join("/"));
    format!(
        "items(request.object.spec.{list} || `[]`, 'i', 'x')[].{{list: '{list}', name: x.name, image: x.{image}, pull: x.{pull},
          path: join('/', ['/spec/{list}', to_string(i), '{pointer}'])}}"
    )
}

fn before(list: List) -> String {
    let (list, image) = (list.as_str(), list.entries().image().join("."));
    format!("(request.oldObject.spec.{list} || `[]`)[].join(' ', ['{list}', name || '', {image} || ''])")
}

/// Returns the elements of a list, one a line.
fn lines<const LISTS: usize>(elements: [String; LISTS]) -> String {
    format!("          {}\n", elements.join(",\n          "))
}

/// Returns an expression of the first alternative that holds.
fn choice(alternatives: &[String]) -> String {
    format!("              {}\n", alternatives.join("\n              || "))
}
