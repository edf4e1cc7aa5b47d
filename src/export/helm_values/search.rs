//! Finds images in a chart's values.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::chart::{Chart, Subcharts};
use super::overrides::{Override, Overrides, Stays};
use super::registry::{LOGIN, REGISTRIES, a_registry, is_bare_host, registry_of};
use super::rendered;
use super::split::Split;
use super::template::{Templates, known};
use super::{Sight, text};
use crate::engine::{Decision, ImageRef, Mode, Policy, Question, Reason, Rule, has_host};
use crate::export::Omission;

const PULL_POLICIES: [&str; 2] = ["pullPolicy", "imagePullPolicy"];
const IN_A_LIST: &str = "it is in a list, and an override would replace the whole list";

/// Returns the overrides of a chart's values that are possible by their names.
pub fn overrides<'p>(policy: &'p Policy, namespace: &str, chart: &Chart, sight: Sight) -> Overrides<'p> {
    let somewhere = match sight {
        Sight::Templates(templates) => templates.registry().map(str::to_owned).or_else(|| a_registry(&chart.values)),
        Sight::Rendered(_) => None,
    };
    let mut search = Search {
        policy,
        namespace,
        sight,
        somewhere,
        images: Vec::new(),
        omissions: BTreeSet::new(),
        stays: BTreeSet::new(),
        found_image: false,
    };
    search.chart(&chart.values, &chart.subcharts, Prefixes::default(), &[]);
    let Search { images, omissions, stays, found_image, .. } = search;
    let (omissions, stays) = (omissions.into_iter().collect(), stays.into_iter().collect());
    Overrides { images, omissions, stays, found_image }
}

struct Search<'s, 'p> {
    policy: &'p Policy,
    namespace: &'s str,
    sight: Sight<'s>,
    /// A registry that templates may put in front of any image without a host.
    somewhere: Option<String>,
    images: Vec<Override<'p>>,
    omissions: BTreeSet<Omission>,
    stays: BTreeSet<Stays>,
    found_image: bool,
}

/// The registries that a chart's templates may put in front of a repository.
#[derive(Debug, Clone, Copy, Default)]
struct Prefixes<'v> {
    /// The registry of all its images, which also replaces their own.
    global: Option<&'v str>,
    /// The registry of a surrounding mapping, for images without their own.
    around: Option<&'v str>,
}

/// The keys of a value's place.
type Path<'p> = [&'p str];

impl<'s, 'p> Search<'s, 'p> {
    fn chart(
        &mut self,
        values: &'s Map<String, Value>,
        subcharts: &Subcharts,
        prefixes: Prefixes<'s>,
        path: &Path<'s>,
    ) {
        let global = values.get("global").and_then(Value::as_object);
        let of_image = || text(global?.get("image")?.as_object()?, "registry").filter(|registry| !registry.is_empty());
        let global_registry = prefixes.global.or_else(|| global.and_then(registry_of)).or_else(of_image);
        let prefixes = Prefixes { global: global_registry, around: registry_of(values) };
        if values.get("global").is_some_and(|global| global["security"]["allowInsecureImages"] == false) {
            let why = "with `false`, the chart fails with images of another registry: set it to `true`";
            let what = [path, &["global", "security", "allowInsecureImages"]].concat().join(".");
            self.omissions.insert(Omission { what: format!("`{what}`"), why: why.to_owned() });
        }
        let split = Split::of(values);
        if let Some(split) = split {
            self.split_image(values, split, Prefixes { around: None, ..prefixes }, path);
        }
        for (key, value) in values.iter().filter(|(key, _)| split.is_none_or(|split| !split.has(key))) {
            let path = [path, &[key.as_str()]].concat();
            match (subcharts.0.get(key), value) {
                (Some(subcharts), Value::Object(values)) => self.chart(values, subcharts, prefixes, &path),
                _ => self.value(value, values, prefixes, &path),
            }
        }
    }

    /// Searches a value. `parent` is the mapping that contains it.
    fn value(&mut self, value: &'s Value, parent: &Map<String, Value>, prefixes: Prefixes<'s>, path: &Path<'s>) {
        match value {
            Value::Object(map) => {
                let split = Split::of(map);
                if let Some(split) = split {
                    self.split_image(map, split, prefixes, path);
                }
                let prefixes = Prefixes { around: registry_of(map).or(prefixes.around), ..prefixes };
                for (key, value) in map.iter().filter(|(key, _)| split.is_none_or(|split| !split.has(key))) {
                    self.value(value, map, prefixes, &[path, &[key.as_str()]].concat());
                }
            }
            Value::String(image) => self.string(image, parent, prefixes, path),
            Value::Array(items) => {
                for item in items {
                    self.item(item, path);
                }
            }
            _ => {}
        }
    }

    /// Searches a mapping with a repository.
    fn split_image(&mut self, map: &Map<String, Value>, split: Split, prefixes: Prefixes, path: &Path) {
        let key = path.last().copied().unwrap_or_default();
        let repository_path = [path, &[split.key]].concat();
        let (whole, joined) = (split.whole(), split.joined());
        let image = joined.as_ref().unwrap_or(&whole).clone();
        if !split.is_image(key, map) {
            let is_any_name = split.key == "name" && !split.repository.contains('/') && !map.contains_key("tag");
            if has_host(&known(&image)) && !is_any_name {
                self.omit(&repository_path, &[image], map, "no key beside it shows that it is an image");
            }
            return;
        }
        self.found_image = true;
        if image.contains("{{") {
            return self.omit(&repository_path, &[image], map, "it is a template");
        }
        match self.seen(&image, prefixes, !split.registry.is_empty()) {
            Seen::AsIs => {}
            Seen::As(rendered) if split.part.is_none() => {
                let Some((rule, to)) = self.decide(&rendered, map) else { return };
                let registry = to.split_once('/').map(|(host, rest)| {
                    vec![([path, &["registry"]].concat(), host.to_owned()), (repository_path.clone(), rest.to_owned())]
                });
                let whole = vec![(repository_path, to.clone())];
                return self.set(rule, (&rendered, false), registry.into_iter().chain([whole]).collect());
            }
            Seen::As(rendered) => {
                let why = format!("Helm renders it as {rendered}, with a part from another value");
                return self.omit(&repository_path, &[image, rendered], map, &why);
            }
            Seen::Not(why, others) => {
                let elsewhere = others.into_iter().flat_map(|registry| {
                    let elsewhere = Split { registry: &registry, ..split };
                    [elsewhere.whole(), elsewhere.joined().unwrap_or_default()]
                });
                let images: Vec<String> = [image, whole.clone()].into_iter().chain(elsewhere).collect();
                return self.omit(&repository_path, &images, map, &why);
            }
        }
        // The rewritten repository with its registry: without its last part, and as the whole image.
        let mut results = Vec::new();
        if let Some((joined, (_, part))) = joined.filter(|joined| ImageRef::parse(joined).is_ok()).zip(split.part) {
            let result = self.decide(&joined, map);
            let before_part = |result: &str| Some(result.strip_suffix(part)?.strip_suffix('/')?.to_owned());
            results.push(match result.map(|(rule, result)| (rule, before_part(&result))) {
                Some((_, None)) => {
                    return self.omit(&repository_path, &[joined], map, "the rules also change its last part");
                }
                Some((rule, Some(result))) => Some((rule, result)),
                None => None,
            });
        }
        let is_whole = results.is_empty() || split.part.is_some_and(|(part, _)| part == "name");
        if is_whole && !is_bare_host(&whole) && ImageRef::parse(&whole).is_ok() {
            results.push(self.decide(&whole, map));
        }
        match results.as_slice() {
            [] if is_bare_host(&whole) => self.bare_host(&repository_path, &whole),
            [] => {
                let image = image.replace("//", "/");
                let why = "its parts together have a double slash";
                self.omit(&repository_path, &[image], map, why);
            }
            [one, other] if one.as_ref().map(|(_, to)| to) != other.as_ref().map(|(_, to)| to) => {
                let why = "templates may append `name`, and the rules decide differently with it than without";
                self.omit(&repository_path, &[whole, image], map, why);
            }
            [Some((rule, to)), ..] => match (to.split_once('/'), map.contains_key("registry")) {
                (_, true) if self.templates().is_some_and(|templates| templates.may_not_join(&repository_path)) => {
                    let why = "no template is known that joins `registry` and this value";
                    self.omit(&repository_path, &[image], map, why);
                }
                (Some((host, rest)), true) => {
                    let registry = ([path, &["registry"]].concat(), host.to_owned());
                    self.set(rule, (&image, true), vec![vec![registry, (repository_path, rest.to_owned())]]);
                }
                (None, true) => {
                    self.omit(&repository_path, &[image], map, "the rules leave no path for this value");
                }
                (_, false) => match self.something_before(&repository_path) {
                    Some(place) => self.omit(&repository_path, &[image], map, &in_front_at(place)),
                    None => self.set(rule, (&image, true), vec![vec![(repository_path, to.clone())]]),
                },
            },
            [None, ..] => {}
        }
    }

    /// Searches a string, which its key shows to be an image.
    fn string(&mut self, image: &str, parent: &Map<String, Value>, prefixes: Prefixes, path: &Path) {
        let key = path.last().copied().unwrap_or_default();
        let is_complete = has_host(image) || ImageRef::parse(image).is_ok_and(|image| !image.suffix().is_empty());
        let is_image =
            key == "image" || (is_complete && ["Image", "imageName", "ImageName"].iter().any(|end| key.ends_with(end)));
        if !is_image {
            let place = self.templates().and_then(|templates| templates.with_image(path));
            let may_be_one = !REGISTRIES.contains(&key) && !is_bare_host(image) && self.is_rewritten(image, parent);
            if let Some(place) = place.filter(|_| may_be_one) {
                self.found_image = true;
                let why = format!("its key does not show that it is an image, and {place} uses it as one");
                return self.omit(path, &[image.to_owned()], parent, &why);
            }
            if !REGISTRIES.contains(&key) {
                return self.stray(image, parent, path, "its key does not show that it is an image");
            }
            let why = "templates may put it in front of a name";
            let is_login = LOGIN.iter().any(|key| parent.contains_key(*key));
            if !is_login && !image.is_empty() && !is_bare_host(image) && !has_host(image) {
                let images = [image.to_owned(), [image, "/x"].concat()];
                return self.omit(path, &images, parent, why);
            }
            return self.stray(image, parent, path, why);
        }
        self.found_image = true;
        if image.contains("{{") {
            self.stay(path, image, "it is a template");
            return;
        }
        if is_bare_host(image) {
            return self.bare_host(path, image);
        }
        let (image, is_whole) = match self.seen(image, prefixes, false) {
            Seen::AsIs => (image.to_owned(), true),
            Seen::As(rendered) => (rendered, false),
            Seen::Not(why, others) => {
                let elsewhere = others.iter().map(|registry| [registry, "/", image].concat());
                let images: Vec<String> = [image.to_owned()].into_iter().chain(elsewhere).collect();
                return self.omit(path, &images, parent, &why);
            }
        };
        if let Some(place) = self.something_before(path) {
            return self.omit(path, &[image], parent, &in_front_at(place));
        }
        if let Some((rule, result)) = self.decide(&image, parent) {
            self.set(rule, (&image, is_whole), vec![vec![(path.to_vec(), result)]]);
        }
    }

    fn templates(&self) -> Option<&'s Templates> {
        match self.sight {
            Sight::Templates(templates) => Some(templates),
            Sight::Rendered(_) => None,
        }
    }

    /// Returns the place of a template that puts text in front of a value.
    fn something_before(&self, path: &Path) -> Option<&'s str> {
        self.templates()?.with_something_before(path)
    }

    /// Returns the form of an image that templates render.
    fn seen(&self, image: &str, prefixes: Prefixes, has_registry: bool) -> Seen {
        match (self.sight, prefixes) {
            (Sight::Rendered(rendered), _) => match rendered.of(&known(image)).as_slice() {
                [] => Seen::Not("Helm's output does not contain it".to_owned(), None),
                [one] if *one == rendered::name_of(&known(image)) => Seen::AsIs,
                // The values may have a tag.
                [one] => Seen::As([one, &image[rendered::name_of(image).len()..]].concat()),
                [one, other, ..] => Seen::Not(format!("it may be {one} or {other}"), Some((*one).to_owned())),
            },
            (_, Prefixes { global: Some(global), .. }) if has_registry => {
                Seen::Not(format!("charts use the registry {global} of `global` instead"), Some(global.to_owned()))
            }
            _ if has_host(image) => Seen::AsIs,
            (_, Prefixes { global: Some(registry), .. } | Prefixes { around: Some(registry), .. }) => {
                Seen::Not(in_front(registry), Some(registry.to_owned()))
            }
            _ => match &self.somewhere {
                Some(registry) => Seen::Not(in_front(registry), Some(registry.clone())),
                None => Seen::AsIs,
            },
        }
    }

    /// Searches an item of a list.
    fn item(&mut self, item: &Value, path: &Path) {
        match item {
            Value::Object(map) => {
                let split = Split::of(map);
                let images = match split {
                    Some(split) => split.joined().into_iter().chain([split.whole()]).collect(),
                    None => text(map, "image").map(|image| vec![image.to_owned()]).unwrap_or_default(),
                };
                self.found_image |= !images.is_empty();
                self.omit(path, &images, map, IN_A_LIST);
                for (key, value) in map.iter().filter(|(key, _)| split.is_none_or(|split| !split.has(key))) {
                    match value {
                        Value::String(_) if key == "image" => {}
                        value => self.item(value, path),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.item(item, path)),
            Value::String(text) => self.stray(text, &Map::new(), path, IN_A_LIST),
            _ => {}
        }
    }

    /// Searches a text that no key shows to be an image or to contain images. Only images with a host count.
    fn stray(&mut self, text: &str, beside: &Map<String, Value>, path: &Path, why: &str) {
        let is_other = |c: char| !c.is_ascii_alphanumeric() && !"._-/:@{".contains(c);
        let words: Vec<&str> = if has_host(text) { vec![text] } else { text.split(is_other).collect() };
        for word in words.into_iter().filter(|word| has_host(&known(word))) {
            self.omit(path, &[word.to_owned()], beside, why);
        }
    }

    /// Reports a registry without a path in the place of an image.
    fn bare_host(&mut self, path: &Path, host: &str) {
        let image = [host.trim_end_matches('/'), "/x"].concat();
        let image = ImageRef::parse(&image);
        let host_of_image = image.as_ref().ok().and_then(ImageRef::registry);
        // A pattern may match any image.
        let may_change = |rule: &Rule| {
            let from = rule.matcher.sources();
            from.is_none_or(|from| from.iter().any(|prefix| Some(prefix.host()) == host_of_image))
        };
        let mut rules = self.policy.rules().iter();
        if rules.any(|rule| {
            rule.mode == Mode::Enforce
                && rule.is_rolled_out()
                && rule.namespaces.contain(self.namespace)
                && may_change(rule)
        }) {
            self.stay(path, host, "it is a registry, and templates append the rest of the name");
        }
    }

    /// Returns the rule and the rewritten image; `None` if the rules do not rewrite it.
    fn decide(&mut self, image: &str, beside: &Map<String, Value>) -> Option<(&'p Rule, String)> {
        match self.decision(image, beside) {
            Decision::Rewrite { rule, result, .. } => Some((rule, result)),
            Decision::NotRewritten { reason: Reason::Observed, rule: Some(rule), .. } => {
                let why = "its images are not overridden and not reported, since its mode is `observe`";
                self.omissions.insert(Omission::rule(&rule.name, why));
                None
            }
            Decision::NotRewritten { reason: Reason::NotRolledOut, rule: Some(rule), .. } => {
                self.omissions.extend(Omission::of_rollout(rule));
                None
            }
            Decision::Restore { .. } | Decision::NotRewritten { .. } => None,
        }
    }

    fn decision(&self, image: &str, beside: &Map<String, Value>) -> Decision<'p> {
        let pull_never = PULL_POLICIES.iter().any(|key| text(beside, key) == Some("Never"));
        self.policy.decide(Question {
            image,
            namespace: self.namespace,
            pull_never,
            previous: None,
            included_from: None,
        })
    }

    fn set(&mut self, rule: &'p Rule, (image, is_whole): (&str, bool), ways: Vec<Vec<(Vec<&str>, String)>>) {
        let owned = |(path, text): (Vec<&str>, String)| (path.into_iter().map(str::to_owned).collect(), text);
        let ways = ways.into_iter().map(|way| way.into_iter().map(owned).collect()).collect();
        self.images.push(Override { rule, image: image.to_owned(), is_whole, ways });
    }

    fn stay(&mut self, path: &Path, image: &str, why: &str) {
        self.stays.insert(Stays { path: path.join("."), image: image.to_owned(), why: why.to_owned() });
    }

    /// Records that an image is not overridden, if the rules would rewrite one of `images`.
    fn omit(&mut self, path: &Path, images: &[String], beside: &Map<String, Value>, why: &str) {
        if images.iter().any(|image| self.is_rewritten(image, beside)) {
            self.stay(path, &images[0], why);
        }
    }

    fn is_rewritten(&self, image: &str, beside: &Map<String, Value>) -> bool {
        matches!(self.decision(&known(image), beside), Decision::Rewrite { .. })
    }
}

/// The form of an image that templates render.
enum Seen {
    AsIs,
    /// With text in front of it.
    As(String),
    /// Unknown: the reason, and a registry that may be in front of it.
    Not(String, Option<String>),
}

fn in_front_at(place: &str) -> String {
    format!("{place} puts text in front of it")
}

fn in_front(registry: &str) -> String {
    format!("templates may put {registry} in front of it")
}
