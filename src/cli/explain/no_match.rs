//! Rules that do not match an image, by why: a file may have thousands.

use crate::engine::{ImageRef, Prefix, Rule};
use crate::words::few;

/// Rules with the host of the image that are shown each by itself, since they may be meant for it.
const NEAR_MISSES: usize = 3;

#[derive(Default)]
struct Groups<'r> {
    host: Vec<&'r Rule>,
    pattern: Vec<&'r Rule>,
    /// With the entry of `from` that is the most like the image, and the parts of a path that they have in common.
    path: Vec<(&'r Rule, &'r Prefix, usize)>,
}

/// Returns lines such as `7,998 rules do not match: the host differs (a, b and 7,996 more)`; the most alike last.
pub fn lines<'r>(image: &ImageRef, rules: impl Iterator<Item = &'r Rule>) -> Vec<String> {
    let mut groups = Groups::default();
    rules.for_each(|rule| groups.add(image, rule));
    let Groups { host, pattern, mut path } = groups;
    path.sort_by_key(|(_, _, common)| *common);
    let near = path.split_off(path.len().saturating_sub(NEAR_MISSES));
    let path: Vec<&Rule> = path.into_iter().map(|(rule, _, _)| rule).collect();
    let lines = [(host, "another host"), (pattern, "the pattern differs"), (path, "another path")];
    let mut lines: Vec<String> = lines.iter().filter_map(|(rules, why)| group(rules, why)).collect();
    lines.extend(near.iter().map(|(rule, from, _)| format!("{}: does not match: from {}", rule.name, from.written())));
    lines
}

impl<'r> Groups<'r> {
    fn add(&mut self, image: &ImageRef, rule: &'r Rule) {
        let Some(sources) = rule.matcher.sources() else { return self.pattern.push(rule) };
        let common = |from: &Prefix| {
            let parts = from.canonical().split('/').zip(image.canonical().split('/'));
            parts.take_while(|(one, other)| one == other).count()
        };
        let of_host = sources.iter().filter(|from| Some(from.host()) == image.registry());
        match of_host.map(|from| (from, common(from))).max_by_key(|(_, common)| *common) {
            Some((from, common)) => self.path.push((rule, from, common)),
            None => self.host.push(rule),
        }
    }
}

fn group(rules: &[&Rule], why: &str) -> Option<String> {
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    match *names {
        [] => None,
        [name] => Some(format!("{name}: does not match: {why}")),
        _ => Some(format!("{} rules do not match: {why} ({})", names.len(), few(&names))),
    }
}
