//! What several formats say alike.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::engine::Reason;
use crate::manifest::Contents;
use crate::scan::{Group, Outcome, Place, Report, Row, Subject, Sums, Unknown, Unseen, Use, Verdict};

const NO_DECLARATION: &str = "no declaration can say it: the image is split over other fields";
const UNREAD: &str = "read them with --deep";
const NOT_SURE: &str = "check them: nothing says whether they are images";
/// Names that are given of many.
const FEW: usize = 3;

/// `1 image`, `3 images`.
pub fn count(number: usize, what: &str) -> String {
    let what = if number == 1 { what.to_owned() } else { plural(what) };
    format!("{number} {what}")
}

fn plural(what: &str) -> String {
    match what.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{what}s"),
    }
}

/// Nothing that a terminal would obey, or that would turn the reading direction.
pub fn visible(text: &str) -> String {
    let is_obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// An image as it is shown; one that is blank would not be seen.
pub fn image(image: &str) -> String {
    match image.trim().is_empty() {
        true => "(blank)".to_owned(),
        false => visible(image),
    }
}

pub fn registry(group: &Group) -> String {
    group.registry.map_or_else(|| "no registry".to_owned(), visible)
}

/// What was scanned, and by which rules.
pub fn subject(report: &Report) -> String {
    let rules = match &report.rules {
        Some(rules) => format!(", by the rules of {rules}"),
        None => ", without rules".to_owned(),
    };
    visible(&[&*report.subject, &rules].concat())
}

/// `no_rule: no rule matches`, and the rule where it is the reason.
pub fn reason(reason: Reason, rule: Option<&str>) -> String {
    let rule = rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    visible(&format!("{}: {}{rule}", reason.as_str(), reason.describe()))
}

/// What becomes of an image; nothing where nobody can say.
pub fn verdict(row: &Row) -> String {
    let reach = match (row.outcome, row.finding.out_of_reach) {
        (Outcome::OutOfReach, Some(why)) => format!("out of reach ({})", why.as_str()),
        _ => String::new(),
    };
    let verdict = row.verdict().map(|verdict| match verdict {
        Verdict::Rewrite { result, rule } => visible(&format!("→ {result} (rule {rule})")),
        Verdict::Keep { reason, rule } => self::reason(*reason, rule.as_deref()),
    });
    [Some(reach).filter(|reach| !reach.is_empty()), verdict].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `30 in Pods, 1 in a template`.
pub fn uses(uses: impl Iterator<Item = (Use, usize)>) -> String {
    let told = |(in_use, count): (Use, usize)| {
        let (one, many) = in_use.noun();
        format!("{count} {}", if count == 1 { one } else { many })
    };
    uses.map(told).collect::<Vec<_>>().join(", ")
}

/// Where it is: the namespaces with the most, or the first places in files and on nodes.
pub fn whereabouts(row: &Row) -> String {
    let is_in_namespaces = matches!(row.places.first(), Some(Place::Cluster { namespace: Some(_), .. }));
    if is_in_namespaces {
        let mut namespaces: Vec<_> = row.namespaces.iter().collect();
        namespaces.sort_by_key(|(_, count)| Reverse(**count));
        let named = |(name, count): (&&str, &usize)| format!("{name} ({count})");
        let names: Vec<String> = namespaces.iter().take(FEW).map(|(name, count)| named((*name, *count))).collect();
        few(&names, namespaces.len())
    } else {
        let names: Vec<String> = row.places.iter().take(FEW).map(ToString::to_string).collect();
        few(&names, row.count)
    }
}

/// The first few names, and how many more there are.
pub fn few<T: AsRef<str>>(names: &[T], of: usize) -> String {
    let shown: Vec<String> = names.iter().take(FEW).map(|name| image(name.as_ref())).collect();
    match of.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The images of rows, each once.
pub fn images<'r>(rows: &[&Row<'r>]) -> Vec<&'r str> {
    let mut images: Vec<&str> = rows.iter().map(|row| row.finding.image.as_str()).collect();
    images.dedup();
    images
}

/// `13 images from 6 registries at 84 places: 63 in Pods, 21 in templates`.
pub fn totals(sums: &Sums) -> String {
    let total = &sums.total;
    if total.images == 0 {
        return "no image".to_owned();
    }
    let images = count(total.images, "image");
    let registries = count(sums.registries(), "registry");
    format!("{images} from {registries} at {}: {}", count(total.places, "place"), uses(total.uses()))
}

/// How much was looked at, and how much could not be.
pub fn looked_at(report: &Report) -> String {
    let what = match report.entries.first().map(|entry| &entry.finding.place) {
        Some(Place::File { .. }) => count(report.looked_at, "file"),
        Some(Place::Cluster { .. } | Place::Node { .. }) => count(report.looked_at, "object"),
        None => format!("{} or {}", count(report.looked_at, "file"), plural("object")),
    };
    let what = match report.contents {
        Some(Contents { objects, others }) => contents(report.looked_at, objects, others),
        None => what,
    };
    let seen = format!("{what} looked at");
    match report.unseen.len() {
        0 => seen,
        unseen => format!("{seen}; {} could not be looked at", count(unseen, "thing")),
    }
}

/// `2 files with 7 objects, and 1 document that is not a Kubernetes object`.
pub fn contents(files: usize, objects: usize, others: usize) -> String {
    let of_objects = format!("{} with {}", count(files, "file"), count(objects, "object"));
    match others {
        0 => of_objects,
        1 => format!("{of_objects}, and 1 document that is not a Kubernetes object,"),
        others => format!("{of_objects}, and {others} documents that are not Kubernetes objects,"),
    }
}

/// What is not listed of what is not known.
pub fn more(files: usize) -> Option<String> {
    (files > 0)
        .then(|| format!("and {} without Kubernetes objects; -o json lists every field", count(files, "more file")))
}

/// What to do about fields that look like images, and what to call that: the entry of `manifests` that makes a kind known, or
/// how texts are read.
pub fn cure(subject: &Subject, unknown: &Unknown) -> (&'static str, String) {
    match (subject, unknown.declaration(subject)) {
        (Subject::Texts(in_text), _) => ("cure", if in_text.is_read { NOT_SURE } else { UNREAD }.to_owned()),
        (_, Some(declaration)) => ("declare", format!("- {declaration}")),
        (_, None) => ("cure", NO_DECLARATION.to_owned()),
    }
}

/// What could not be looked at, by why.
pub fn unseen(report: &Report) -> Vec<(Vec<&str>, &Unseen)> {
    let mut groups: Vec<(Vec<&str>, &Unseen)> = Vec::new();
    let mut positions = HashMap::new();
    for unseen in &report.unseen {
        let position = *positions.entry((&unseen.why, &unseen.cure)).or_insert(groups.len());
        if position == groups.len() {
            groups.push((Vec::new(), unseen));
        }
        groups[position].0.push(&unseen.what);
    }
    groups
}

/// Images from registries that `--fail-on` names, sorted.
pub fn failing(report: &Report) -> Vec<&str> {
    let mut images: Vec<&str> = report.failing().map(|entry| entry.finding.image.as_str()).collect();
    images.sort_unstable();
    images.dedup();
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_well() {
        assert_eq!(count(1, "registry"), "1 registry");
        assert_eq!(count(0, "registry"), "0 registries");
        assert_eq!(few(&["a", "b", "c", "d"], 9), "a, b, c and 6 more");
        assert_eq!(few(&["a", ""], 2), "a, (blank)");
        assert_eq!(visible("a\u{1b}[2J\u{9b}\u{202e}é"), "a\u{fffd}[2J\u{fffd}\u{fffd}é");
        assert_eq!(reason(Reason::NoRule, None), "no_rule: no rule matches");
    }
}
