//! The words that formats share.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::engine::Reason;
use crate::manifest::Contents;
use crate::scan::{
    Bucket, Group, Location, Report, Rollout, RolloutCounts, Row, Skipped, Subject, Sums, Unknown, Use, Verdict,
};
use crate::words::{count, first, plural, visible};

const NO_DECLARATION: &str = "no declaration supports it: the image is split over other fields";
const UNREAD: &str = "read them with --deep";
const NOT_SURE: &str = "check them: they may be images";
/// The number of names in a list before `and 5 more`.
const FEW: usize = 3;

/// Returns the image for output. A blank one has a name.
pub fn image(image: &str) -> String {
    if image.trim().is_empty() { "(blank)".to_owned() } else { visible(image) }
}

pub fn registry(group: &Group) -> String {
    let is_invalid = |row: &Row| row.finding.repository.is_none();
    match group.registry {
        Some(registry) => visible(registry),
        None if group.rows.iter().all(is_invalid) => "invalid reference".to_owned(),
        None => "no registry".to_owned(),
    }
}

/// Returns the heading of a document.
pub fn title(report: &Report) -> String {
    report.title.clone().unwrap_or_else(|| format!("Images in {}", report.subject))
}

/// Returns what was scanned, and using which rules.
pub fn subject(report: &Report) -> String {
    let rules = match &report.rules {
        Some(rules) => format!(", using {rules}"),
        None => ", without rules".to_owned(),
    };
    visible(&[&*report.subject, &rules].concat())
}

/// Returns `no_rule: no rule matches`, with the rule that decided.
pub fn reason(reason: Reason, rule: Option<&str>) -> String {
    visible(&format!("{}: {}{}", reason.as_str(), reason.describe(), by(rule)))
}

/// `observed: would be → cache.example.com/nginx (rule hub)`.
pub fn observed(would_be: &str, reason: Reason, rule: Option<&str>) -> String {
    visible(&format!("{}: would be → {would_be}{}", reason.as_str(), by(rule)))
}

/// ` (rule hub)`.
fn by(rule: Option<&str>) -> String {
    rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default()
}

/// Returns what to do so that an image with this reason is rewritten.
pub const fn reason_fix(reason: Reason) -> &'static str {
    match reason {
        Reason::NoRule => "add a rule for the registry, if a cache serves it",
        Reason::Observed => "remove `mode: observe` from the rule",
        Reason::NotRolledOut => {
            "raise `rollout` of the rule; if a CronJob or a custom resource creates the Pods, to 100%"
        }
        Reason::Excepted => "remove the `except` entry, if the cache serves the image",
        Reason::NamespaceExcluded => "change `namespaces` of the rule",
        Reason::Invalid => "correct the reference; the kubelet rejects it",
        Reason::ResultInvalid => "correct or shorten `to` of the rule",
        Reason::PullNever => "none needed: the node does not pull the image",
        Reason::Placeholder => "none needed: another component sets the image",
        Reason::AlreadyCached => "none needed: the image names a cache",
        Reason::OptedOut => "remove the label from the Pod's template",
        Reason::OperatorManaged => {
            "write the rewritten image name into the field of the custom resource that the operator reads"
        }
        Reason::MirrorPod => "write the rewritten image name into the static Pod's file on the node",
        Reason::NotInCache => "copy the image to the cache, or remove `checkExists` from the rule",
        Reason::CacheDown => "none needed: the rule names its caches again when one is up",
        Reason::Deleting | Reason::Unchanged => "none needed",
    }
}

/// Returns the outcome of an image. It is empty without rules.
pub fn verdict(row: &Row) -> String {
    let not_covered = row.finding.not_covered.filter(|_| row.bucket == Bucket::NotCovered);
    let not_covered = not_covered.map(|why| format!("not covered ({})", why.as_str()));
    let verdict = row.verdict().map(|verdict| match verdict {
        Verdict::Rewrite { result, rule } => visible(&format!("→ {result} (rule {rule})")),
        Verdict::NotRewritten { reason, rule, would_be: Some(name) } => observed(name, *reason, rule.as_deref()),
        Verdict::NotRewritten { reason, rule, would_be: None } => self::reason(*reason, rule.as_deref()),
    });
    not_covered.into_iter().chain(verdict).collect::<Vec<_>>().join("; ")
}

/// `30 in Pods, 1 in a template`.
pub fn uses(uses: impl Iterator<Item = (Use, usize)>) -> String {
    let told = |(in_use, count): (Use, usize)| {
        let (one, many) = in_use.noun();
        format!("{count} {}", if count == 1 { one } else { many })
    };
    uses.map(told).collect::<Vec<_>>().join(", ")
}

/// Returns the namespaces with the most places, or the first places in files and on nodes.
pub fn whereabouts(row: &Row) -> String {
    let is_in_namespaces = matches!(row.places.first(), Some(Location::Cluster { namespace: Some(_), .. }));
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

/// Returns the first names, and the number of others.
pub fn few<T: AsRef<str>>(names: &[T], all: usize) -> String {
    let shown: Vec<String> = names.iter().take(FEW).map(|name| image(name.as_ref())).collect();
    first(FEW, &shown, all)
}

/// Returns the distinct images of rows.
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

/// Returns how much was scanned, and how much was skipped.
pub fn looked_at(report: &Report) -> String {
    let what = match report.entries.first().map(|entry| &entry.finding.place) {
        Some(Location::File { .. }) => count(report.looked_at, "file"),
        Some(Location::Cluster { .. } | Location::Node { .. }) => count(report.looked_at, "object"),
        None => format!("{} or {}", count(report.looked_at, "file"), plural("object")),
    };
    let what = match report.contents {
        Some(Contents { objects, others }) => contents(report.looked_at, objects, others),
        None => what,
    };
    let seen = format!("{what} scanned");
    match report.skipped.len() {
        0 => seen,
        skipped => format!("{seen}; {skipped} skipped"),
    }
}

/// `rule hub, rollout 25%: 12 of 40 workloads included` for each rule with a `rollout` below 100%.
pub fn rollouts(report: &Report) -> Vec<String> {
    let line = |rollout: &Rollout| {
        let RolloutCounts { included, known, unknown } = rollout.counts();
        let line = format!(
            "rule {}, rollout {}: {included} of {} included",
            rollout.rule,
            rollout.percent,
            count(known, "workload")
        );
        match unknown {
            0 => line,
            _ => format!("{line}; not known for {} (such as CronJobs)", count(unknown, "object")),
        }
    };
    report.rollouts.iter().map(line).collect()
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

/// Returns the number of files that are not listed.
pub fn more(files: usize) -> Option<String> {
    (files > 0)
        .then(|| format!("and {} without Kubernetes objects; -o json lists every field", count(files, "more file")))
}

/// Returns the fix for fields that look like images, and its label: the entry of `manifests` that declares a kind, or the
/// flag that reads texts.
pub fn fix(subject: &Subject, unknown: &Unknown) -> (&'static str, String) {
    match (subject, unknown.declaration(subject)) {
        (Subject::Texts(in_text), _) => ("fix", if in_text.is_read { NOT_SURE } else { UNREAD }.to_owned()),
        (_, Some(declaration)) => ("declare", format!("- {declaration}")),
        (_, None) => ("fix", NO_DECLARATION.to_owned()),
    }
}

/// Groups what was skipped by cause and fix.
pub fn skipped(all: &[Skipped]) -> Vec<(Vec<&str>, &Skipped)> {
    let mut groups: Vec<(Vec<&str>, &Skipped)> = Vec::new();
    let mut positions = HashMap::new();
    for skipped in all {
        let position = *positions.entry((&skipped.why, &skipped.fix)).or_insert(groups.len());
        if position == groups.len() {
            groups.push((Vec::new(), skipped));
        }
        groups[position].0.push(&skipped.what);
    }
    groups
}

/// Returns the images from registries of `--fail-on`, sorted.
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
        assert_eq!(reason(Reason::NoRule, None), "no_rule: no rule matches");
    }
}
