//! The decisions on a Pod's images in CEL, for admission policies of Kubernetes 1.33 and later.
//!
//! The variables follow the engine's steps: the images, each parsed as a reference, its region, what is restored, what is
//! changed. Each is an expression of its own, since the API server limits the cost of one expression to a tenth of a policy's
//! (`PerCallLimit`, `RuntimeCELCostBudget`).

mod facts;
mod omissions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

pub(super) use self::omissions::is_official_image;
pub use self::omissions::originals;
use super::Export;
use super::regions::{Choice, Gives, Region, regions};
use crate::engine::{ALIASES, Change, DOCKER_HUB, Entries, Glob, List, Mode, Namespaces, Policy, Prefix, aliases_of};

/// An expression that later ones refer to as `variables.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub expression: String,
}

/// The variables of the decisions, each after those that it refers to.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// The last ones are `changes`, a list of `[JSON pointer, place, image, new image, region]`, and [`PULL_SECRETS`], the names
    /// that the Pod lacks. The region of a restored image is empty.
    pub variables: Vec<Variable>,
    pub has_pull_secrets: bool,
}

/// The expression is longer than the API server's CEL parser allows (`ParserExpressionSizeLimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rules need an expression of {size} characters, and the API server allows {MAX_EXPRESSION}: name whole registries \
     instead of single repositories, or use the webhook"
)]
pub struct TooLong {
    size: usize,
}

/// The name of the variable with pull secrets. It exists only if a rule has some.
pub const PULL_SECRETS: &str = "pullSecrets";

const MAX_EXPRESSION: usize = 100_000;

/// The value in `targets` of a region whose images are unchanged for another reason than an `except`.
const OTHERWISE: &str = "?";

/// `ReferenceRegexp` of `github.com/distribution/reference`, with the digests that `ImageRef` accepts.
const REFERENCE: &str = concat!(
    r"^(?:(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*",
    r"|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?",
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?",
    r"(?:@(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}))?$",
);
const IDENTIFIER: &str = "^[a-f0-9]{64}$";
/// A reference without its tag and digest.
const NAME: &str = "^(?:[^/@]*/)*[^/:@]*";
/// The longest text after a host: slash, path, colon, tag, `@` and digest.
const MAX_BEHIND_HOST: usize = 1 + 255 + 1 + 128 + 1 + "sha512:".len() + 128;

/// Returns the variables that decide on a Pod's images.
///
/// # Errors
///
/// If there are too many rules for one expression.
pub fn decisions(policy: &Policy) -> Result<Export<Decisions>, TooLong> {
    let regions = regions(policy);
    let sources = sources(policy);
    let caches = caches(policy);
    let names = facts::names(&regions);
    let siblings = facts::siblings(policy);
    let has_facts = !names.is_empty() || !siblings.is_empty();
    let omissions = omissions::of(policy, &regions);
    let prefixes = regions.iter().map(|region| region.prefix.as_str()).chain(sources.keys().copied());
    let prefixes: Vec<&str> = prefixes.chain(caches.iter().copied()).collect();
    let depth = prefixes.iter().map(|prefix| prefix.split('/').count()).max().unwrap_or(1);
    let has_pull_secrets = policy.rules().iter().any(|rule| !rule.image_pull_secrets.is_empty());

    let mut variables = vec![
        variable("targets", targets(&regions)),
        variable("sources", map(sources.iter().map(|(from, to)| (*from, list(to.iter().copied()))))),
        variable("caches", list(caches.iter().copied())),
    ];
    if has_facts {
        let siblings = siblings.iter().map(|(name, others)| (*name, list(others.iter().map(String::as_str))));
        variables.push(variable("names", map(names.into_iter())));
        variables.push(variable("siblings", map(siblings)));
    }
    variables.extend([
        variable("before", before()),
        variable("images", images()),
        variable("references", references(depth, longest_image(&prefixes), has_facts)),
        variable("restored", restored(depth, has_facts)),
        variable("changes", changes()),
    ]);
    if has_pull_secrets {
        variables.push(variable(PULL_SECRETS, pull_secrets(policy, &regions)));
    }
    match variables.iter().map(|variable| variable.expression.chars().count()).max() {
        Some(size) if size > MAX_EXPRESSION => Err(TooLong { size }),
        _ => Ok(Export {
            what: Decisions { variables, has_pull_secrets },
            notes: without_effect(policy).into_iter().collect(),
            omissions,
        }),
    }
}

fn variable(name: &'static str, expression: String) -> Variable {
    Variable { name, expression }
}

/// Returns a note if no rule enforces.
pub fn without_effect(policy: &Policy) -> Option<String> {
    let enforces = policy.rules().iter().any(|rule| rule.mode == Mode::Enforce && rule.is_rolled_out());
    (!enforces).then(|| "no rule enforces for every workload, so the policy rewrites and reports no image".to_owned())
}

/// Returns the prefixes in `from`, each with every `to` and failover that may replace it, as written and in canonical form.
fn sources(policy: &Policy) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, targets) in policy.rules().iter().filter_map(|rule| rule.matcher.prefixes()) {
        for prefix in from.iter() {
            let names = targets.iter().flat_map(|to| [to.written(), to.canonical()]);
            sources.entry(prefix.canonical()).or_default().extend(names);
        }
    }
    sources
}

fn caches(policy: &Policy) -> BTreeSet<&str> {
    policy
        .rules()
        .iter()
        .filter_map(|rule| rule.matcher.prefixes())
        .flat_map(|(_, to)| to)
        .map(Prefix::canonical)
        .collect()
}

/// Returns the length in bytes above which no image is in a region, however its host is written. A port counts for up to 32
/// characters with its leading zeros, since the API server limits what an expression reads.
fn longest_image(prefixes: &[&str]) -> usize {
    let host = |prefix: &&str| prefix.split('/').next().unwrap_or_default().len();
    let aliases = ALIASES.iter().map(|(alias, _)| alias.len());
    let host = prefixes.iter().map(host).chain(aliases).max().unwrap_or_default();
    host + ":".len() + 32 + MAX_BEHIND_HOST
}

/// Returns a map from each region to its replacement in the request's namespace.
fn targets(regions: &[Region]) -> String {
    map(regions.iter().map(|region| {
        let of = |choice: &Choice| match &choice.gives {
            Gives::Rewrite { to, .. } => quoted(to),
            Gives::Excepted => quoted(""),
            Gives::Observed | Gives::NotRolledOut { .. } | Gives::Unknown => quoted(OTHERWISE),
        };
        (region.prefix.as_str(), by_namespace(&region.choices, &quoted(""), of))
    }))
}

/// Returns the value of the first choice that applies in the request's namespace.
fn by_namespace(choices: &[Choice], otherwise: &str, value: impl Fn(&Choice) -> String) -> String {
    choices.iter().rev().fold(otherwise.to_owned(), |rest, choice| match condition(choice.namespaces) {
        None => value(choice),
        Some(_) if value(choice) == rest => rest,
        Some(condition) => format!("{condition} ? {} : {rest}", value(choice)),
    })
}

/// Returns the condition on the request's namespace; `None` for every namespace.
pub fn condition(namespaces: &Namespaces) -> Option<String> {
    let (globs, is_include) = match namespaces {
        Namespaces::All => return None,
        Namespaces::Include(globs) => (globs, true),
        Namespaces::Exclude(globs) => (globs, false),
    };
    let (names, patterns): (Vec<&str>, Vec<&str>) =
        globs.iter().map(Glob::as_str).partition(|glob| !glob.contains('*'));
    let mut any = Vec::new();
    if !names.is_empty() {
        any.push(format!("request.namespace in {}", list(names)));
    }
    if !patterns.is_empty() {
        any.push(format!("request.namespace.matches('^(?:{})$')", patterns.join("|").replace('*', ".*")));
    }
    let any = any.join(" || ");
    Some(if is_include { format!("({any})") } else { format!("!({any})") })
}

/// Returns a map from each place to the old object's image.
fn before() -> String {
    let lists = List::ALL.map(|list| {
        let (name, Entry { variable, is_image, image, .. }) = (list.as_str(), Entry::of(list));
        let images = is_image.map(|condition| format!(".filter({variable}, {condition})")).unwrap_or_default();
        format!(
            "oldObject.spec.?{name}.orValue([]){images}.map({variable}, ['{name}/' + string({variable}.?name.orValue('')), string({image})])"
        )
    });
    format!(
        "request.operation != 'UPDATE' ? {{}} : (\n  {}\n).transformMapEntry(i, p, {{p[0]: p[1]}})",
        lists.join("\n  + ")
    )
}

/// An entry of a list in CEL.
pub(super) struct Entry {
    pub variable: &'static str,
    /// The condition that it has an image; `None` if each entry has one.
    pub is_image: Option<&'static str>,
    /// The image; an empty string if absent.
    pub image: String,
    pull_policy: String,
}

impl Entry {
    pub fn of(list: List) -> Self {
        let (variable, is_image) = match list.entries() {
            Entries::Containers => ("c", None),
            Entries::Volumes => ("v", Some("has(v.image)")),
        };
        let string = |keys: &[&str]| match keys {
            [key] => format!("{variable}.?{key}.orValue('')"),
            // Every entry that has an image has the fields above the last key.
            [above @ .., key] => format!("{variable}.{}.?{key}.orValue('')", above.join(".")),
            [] => variable.to_owned(),
        };
        Self {
            variable,
            is_image,
            image: string(list.entries().image()),
            pull_policy: string(list.entries().pull_policy()),
        }
    }
}

/// Returns `[JSON pointer, place, image, pull policy, image before]` of each image that differs from the old object's.
fn images() -> String {
    let images = |list: &List| {
        let (name, pointer) = (list.as_str(), list.entries().image().join("/"));
        let Entry { variable, is_image, image, pull_policy } = Entry::of(*list);
        let condition = is_image.map(|condition| format!("{condition}, ")).unwrap_or_default();
        format!(
            "object.spec.?{name}.orValue([]).transformList(i, {variable}, {condition}['/spec/{name}/' + string(i) + '/{pointer}', \
             '{name}/' + string({variable}.?name.orValue('')), string({image}), string({pull_policy})])"
        )
    };
    let (of_subresource, others): (Vec<List>, Vec<List>) =
        List::ALL.into_iter().partition(|list| list.change() == Change::Additions);
    let joined = |lists: &[List], plus: &str| lists.iter().map(images).collect::<Vec<_>>().join(plus);
    format!(
        "(\n  (request.?subResource.orValue('') == 'ephemeralcontainers' ? [] : (\n    {}\n  ))\n  + {}\n)\
         .map(p, p + [string(variables.before[?p[1]].orValue(''))])\n.filter(p, p[2] != p[4] && p[2] != 'auto')",
        joined(&others, "\n    + "),
        joined(&of_subresource, "\n  + "),
    )
}

/// Returns a condition that the place of `p` is immutable.
fn is_immutable() -> String {
    let lists: Vec<&str> = List::ALL.into_iter().rev().filter(|list| list.is_immutable()).map(List::as_str).collect();
    format!("p[1].matches('^(?:{})/')", lists.join("|"))
}

/// Returns `[JSON pointer, place, image, pull policy, image before, name, canonical name, region]` of each valid image. The old
/// images of immutable places are included, with an empty pointer; with facts, those of all places.
fn references(depth: usize, longest: usize, has_facts: bool) -> String {
    let aliases = map(ALIASES.iter().map(|(alias, of)| (*alias, quoted(of))));
    let of_lists = if has_facts { String::new() } else { format!(" && {}", is_immutable()) };
    format!(
        "(variables.images + variables.images.filter(p, p[4] != ''{of_lists})\
         .map(p, ['', p[1], p[4], '', '']))\n\
         .filter(p, size(p[2]) <= {longest} && p[2].matches(r'{REFERENCE}') && !p[2].matches('{IDENTIFIER}'))\n\
         .map(p, p + [p[2].find('{NAME}')])\n\
         .map(p, p + [p[5].contains('/') ? p[5].substring(0, p[5].indexOf('/')) : ''])\n\
         .map(p, p + [p[6].find(':[0-9]+$')])\n\
         .map(p, p + (p[6].matches('[.:A-Z]|^localhost$')\n  \
         ? [p[6].substring(0, size(p[6]) - size(p[7])).lowerAscii()\n    \
         + (p[7].matches('^(?::0*443)?$') ? '' : ':' + p[7].find('(?:[1-9][0-9]*|0)$')), p[5].substring(size(p[6]) + 1)]\n  \
         : ['{DOCKER_HUB}', p[5]]))\n\
         .map(p, [p[0], p[1], p[2], p[3], p[4], p[5], string({aliases}[?p[8]].orValue(p[8])), p[9]])\n\
         .map(p, [p[0], p[1], p[2], p[3], p[4], p[5],\n  \
         p[6] + (p[6] == '{DOCKER_HUB}' && !p[7].contains('/') ? '/library/' : '/') + p[7]])\n\
         .filter(p, size(p[6]) - p[6].indexOf('/') - 1 <= 255)\n\
         .map(p, p + [({}.filter(q, q in variables.targets) + [''])[0]])",
        prefixes_of("p[6]", depth),
    )
}

/// Returns the prefixes of a canonical name that end at a component's end, longest first. If a name has fewer components, a
/// prefix is empty.
fn prefixes_of(name: &str, depth: usize) -> String {
    let finds: Vec<String> = (1..=depth)
        .rev()
        .map(|components| match components {
            1 => format!("{name}.find('^[^/]+')"),
            _ => format!("{name}.find('^[^/]+(?:/[^/]+){{{}}}')", components - 1),
        })
        .collect();
    format!("[{}]", finds.join(", "))
}

/// Returns `[JSON pointer, place, image, image before, '']` of each place whose old image is restored: of immutable places, and
/// with facts of those where a rule gives both images.
fn restored(depth: usize, has_facts: bool) -> String {
    let suffix = |p: &str| format!("{p}[2].substring(size({p}[5]))");
    // A rule that is not rolled out rewrites no image, and has a name for it all the same.
    let has_target = "size(string(variables.targets[?p[7]].orValue(''))) > 1";
    let has_target =
        if has_facts { format!("({has_target} || p[7] in variables.names)") } else { has_target.to_owned() };
    let (open, close) = if has_facts {
        let by_facts = facts::gives_both(&prefixes_of("p[6]", depth));
        (format!("{by_facts}{} && (\n    ", is_immutable()), ")")
    } else {
        (String::new(), "")
    };
    format!(
        "request.operation != 'UPDATE' ? [] : variables.references.filter(p, p[0] != '').map(p,\n  \
         variables.references.filter(o, o[0] == '' && o[1] == p[1] && {} == {} && (\n    {open}\
         variables.sources[?p[6]].orValue([]).exists(t, o[5] == t || o[6] == t)\n    \
         || o[6].endsWith(p[6].substring(size(({}.filter(q, q in variables.sources && q != p[6]) + [p[6].find('^[^/]+')])[0]))) && (\n      \
         {}.exists(q, q in variables.caches)\n      \
         || {has_target} && variables.targets[?o[7]].orValue('') == ''\n        \
         && o[5].matches('^(?:[^/]*[.:A-Z][^/]*|localhost)/'))\n  \
         ){close}).map(o, [p[0], p[1], p[2], o[2], ''])\n).filter(l, size(l) > 0).map(l, l[0])",
        suffix("p"),
        suffix("o"),
        prefixes_of("p[6]", depth),
        prefixes_of("o[6]", depth),
    )
}

/// Returns the changes. A result must name a host, and must not be another image on Docker Hub.
fn changes() -> String {
    let names: Vec<&str> = aliases_of(DOCKER_HUB).chain([DOCKER_HUB]).collect();
    let official = format!("(?i)^(?:{})(?::0*443)?/[^/]+$", names.join("|").replace('.', "[.]"));
    format!(
        "variables.restored + variables.references\n\
     .filter(p, p[0] != '' && p[3] != 'Never' && !variables.restored.exists(r, r[0] == p[0]))\n\
     .map(p, [p[0], p[1], p[2], string(variables.targets[?p[7]].orValue('')), p[6].substring(size(p[7])), p[2].substring(size(p[5])), p[7]])\n\
     .filter(p, size(p[3]) > 1 && size(p[3]) + size(p[4]) <= 255 && (p[4] != '' || p[3].contains('/') && !p[3].matches('{official}')))\n\
     .map(p, [p[0], p[1], p[2], p[3] + p[4] + p[5], p[6]])"
    )
}

/// Returns the pull secrets of the rules that changed an image, on CREATE.
fn pull_secrets(policy: &Policy, regions: &[Region]) -> String {
    let names: BTreeSet<&str> =
        policy.rules().iter().flat_map(|rule| &rule.image_pull_secrets).map(String::as_str).collect();
    let by_region = map(regions.iter().map(|region| {
        let secrets = |choice: &Choice| list(choice.rule.image_pull_secrets.iter().map(String::as_str));
        (region.prefix.as_str(), by_namespace(&region.choices, "[]", secrets))
    }));
    format!(
        "request.operation != 'CREATE' ? [] : [{by_region}].map(secrets, {}.filter(s,\n  \
         variables.changes.exists(c, s in secrets[?c[4]].orValue([]))\n  \
         && !object.spec.?imagePullSecrets.orValue([]).exists(e, e.?name.orValue('') == s)))[0]",
        list(names)
    )
}

/// Returns a CEL map from strings to expressions, one entry a line.
fn map<'k>(entries: impl Iterator<Item = (&'k str, String)>) -> String {
    let mut text = String::from("{");
    for (index, (key, value)) in entries.enumerate() {
        let _ = write!(text, "{}\n  {}: {value}", if index == 0 { "" } else { "," }, quoted(key));
    }
    text + "\n}"
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

/// Returns a CEL string. Prefixes and names of Secrets and namespaces contain no quotes or backslashes.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}
