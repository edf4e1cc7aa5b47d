//! The older kind, `kyverno.io/v1` ClusterPolicy, for Kyverno 1.10 and later.
//!
//! The steps of the engine are JMESPath, the same for all rules files: `cluster-policy.yaml`. The rules become a chain of
//! regular expressions in it, in the order of the rules file.
//!
//! What is evaluated for all images at once stands in the `list` of the `foreach`, since Kyverno evaluates the variables of
//! the rule again for each of its elements. Text of a Pod is never put between `{{ }}`, where Kyverno would look for
//! variables in it once more.

use super::re2::{self, Missing};
use crate::engine::{
    ALIASES, Glob, List, MIRROR_ANNOTATION, Matcher, Mode, Namespaces, Pattern, Policy, Prefix, REWRITE_DISABLED,
    REWRITE_LABEL, Rule, Settings, Template, WhenNotUnderstood,
};
use crate::export::cel::is_official_image;
use crate::export::webhook::CONFIGURATION_NAME;
use crate::export::{Export, Omission, kyverno};

const POLICY: &str = include_str!("cluster-policy.yaml");
/// `domain` of the grammar of references, in lower case.
const HOST: &str =
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(?::[0-9]+)?";
/// `remote-name` of the grammar.
const PATH: &str = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*";
/// What lies at or below a prefix.
const BELOW: &str = "(?:/.*)?$";

/// Whatever the rules are.
const NOTE: &str = "an update gives image volumes and ephemeral containers that a Pod has already what the rules want now, and the \
                        API server refuses it where the rules have changed since";

/// The policy as YAML.
pub fn cluster_policy(policy: &Policy) -> Export<String> {
    let mut omissions = Vec::new();
    let Settings { allow_opt_out, record_originals, when_not_understood } = policy.settings();
    if record_originals {
        omissions.push(Omission::field("recordOriginals", "a ClusterPolicy changes images only"));
    }
    omissions.extend((when_not_understood == WhenNotUnderstood::Deny).then(kyverno::admitted));
    let mut clauses = Vec::new();
    for rule in policy.rules() {
        // The clause has the others.
        let Rule { name, matcher, except: _, namespaces: _, image_pull_secrets, mode } = rule;
        let mut add = |why: &str| omissions.push(Omission::rule(name, why));
        if !image_pull_secrets.is_empty() {
            add("its `imagePullSecrets` are not added: a ClusterPolicy changes images only");
        }
        if *mode == Mode::Observe {
            add("it only observes: its images are left alone, and nothing reports them");
        }
        let clause = match matcher {
            Matcher::From { from, to } => {
                Clause { matches: format!("^{}(/.*)?$", any_of(from)), to: Some(format!("{}${{1}}", to.written())) }
            }
            Matcher::Pattern { pattern, to } => match of_pattern(pattern, to) {
                Ok((clause, None)) => clause,
                Ok((clause, Some(why))) => {
                    add(&format!("what it matches is left alone, since {why}"));
                    clause
                }
                Err(missing) => {
                    add(&format!("it and the rules below it are left out, since its pattern has {missing}"));
                    break;
                }
            },
        };
        let misread = misread(rule);
        omissions.extend(misread.iter().map(|image| Omission {
            what: format!("the image `{}` itself", image.canonical()),
            why: format!("it is left alone, since Docker Hub reads what rule `{name}` makes of it as another"),
        }));
        clauses.push(clause.written(rule, &misread));
    }
    let opt_out = |text: &str| match allow_opt_out {
        true => text.replace("@LABEL@", REWRITE_LABEL).replace("@DISABLED@", REWRITE_DISABLED),
        false => String::new(),
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
    Export { what: text, notes: vec![NOTE.to_owned()], omissions }
}

const EXCLUDED_NAMESPACES: &str = "    exclude:
      any:
      - resources:
          namespaceSelector:
            matchLabels: {@LABEL@: @DISABLED@}
";
const OPTED_OUT: &str = "      - {key: \"{{ request.object.metadata.labels.\\\"@LABEL@\\\" == '@DISABLED@' }}\", operator: Equals, value: false}
";

/// What a rule matches, and what takes its place; nothing where that can't be expressed.
struct Clause {
    matches: String,
    to: Option<String>,
}

impl Clause {
    /// The new name if the rule is the one that decides, or `-` where that leaves the image alone. No text has a quote in it.
    fn written(&self, rule: &Rule, misread: &[Prefix]) -> String {
        let mut conditions = vec![format!("regex_match('{}', element.name)", self.matches)];
        let Rule { name: _, matcher: _, except, namespaces, image_pull_secrets: _, mode } = rule;
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
        let result = match self.to.as_ref().filter(|_| *mode == Mode::Enforce) {
            Some(to) => format!("{excepted}regex_replace_all('{}', element.name, '{to}') || '-'", self.matches),
            None => "'-'".to_owned(),
        };
        format!("{} && ({result})", conditions.join(" && "))
    }
}

/// Images of which a rule makes one of a single component on Docker Hub.
fn misread(rule: &Rule) -> Vec<Prefix> {
    match rule.matcher.prefixes() {
        Some((from, to)) if is_official_image(to.written()) => {
            from.iter().filter(|prefix| prefix.canonical().contains('/')).cloned().collect()
        }
        _ => Vec::new(),
    }
}

fn in_namespaces(globs: &[Glob]) -> String {
    let globs: Vec<String> = globs.iter().map(|glob| glob.as_str().replace('*', ".*")).collect();
    format!("regex_match('^(?:{})$', '{{{{ request.namespace }}}}')", globs.join("|"))
}

/// And why it has no `to`, if it has none.
fn of_pattern(pattern: &Pattern, to: &Template) -> Result<(Clause, Option<&'static str>), Missing> {
    let hir = regex_syntax::parse(pattern.written()).map_err(|_| "a syntax of its own")?;
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
            Some("a group that its `to` names may match nothing (write `.+` for `.*`, and no `?` behind a group)")
        }
        (_, false) => Some("the host of its `to` has a group"),
        (true, true) => None,
    };
    Ok((Clause { matches, to: why.is_none().then_some(replacement) }, why))
}

/// What is under some `to`.
fn cached(policy: &Policy) -> String {
    let alternatives = policy.rules().iter().map(|rule| match &rule.matcher {
        Matcher::From { to, .. } => format!("^{}{BELOW}", re2::literal(to.canonical())),
        Matcher::Pattern { to, .. } => to.under().to_owned(),
    });
    alternatives.collect::<Vec<_>>().join("|")
}

fn any_of(prefixes: &[Prefix]) -> String {
    let literals: Vec<String> = prefixes.iter().map(|prefix| re2::literal(prefix.canonical())).collect();
    format!("(?:{})", literals.join("|"))
}

/// A host with its port as a number and none of 443, and one name for each registry.
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

/// The elements of a list.
fn lines<const LISTS: usize>(elements: [String; LISTS]) -> String {
    format!("          {}\n", elements.join(",\n          "))
}

/// The first that holds.
fn choice(alternatives: &[String]) -> String {
    format!("              {}\n", alternatives.join("\n              || "))
}
