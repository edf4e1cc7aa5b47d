//! Rules that overlap: `loop` and `shadowed`.

use super::index::Index;
use super::{Findings, Lint, PlacedRule, Target};
use crate::engine::{Glob, ImageRef, Namespaces, Prefix, Rule};

pub fn check(index: &Index, findings: &mut Findings) {
    for number in 0..index.rules.len() {
        target_is_taken(number, index, findings);
        under_a_target(number, index, findings);
        shadowed(number, index, findings);
    }
}

/// Adds a `to` or failover that a rule matches by name.
fn target_is_taken(number: usize, index: &Index, findings: &mut Findings) {
    let place = index.rules[number];
    for target in &index.targets[number] {
        let prefix = &target.prefix;
        let is_taking = |other| Some((index.rules[other], taking(index.rules[other], prefix)?));
        if let Some((other, source)) = index.first_taking(prefix.canonical(), prefix.host(), is_taking) {
            add_taken(place, target, other, source, findings);
        }
    }
}

fn add_taken(place: PlacedRule, target: &Target, other: PlacedRule, source: &str, findings: &mut Findings) {
    let Target { prefix, written, span } = target;
    let (by, there) = if std::ptr::eq(other.rule, place.rule) {
        ("this rule itself".to_owned(), "this rule")
    } else {
        (format!("rule `{}`", other.rule.name), "that rule")
    };
    findings.add(
        Lint::Loop,
        place,
        span,
        format!("`{written}` is under `{source}`, which {by} rewrites"),
        format!(
            "images under a `to` are never rewritten again; write the last cache of the chain, or add `except: [{}]` to \
             {there}",
            prefix.written()
        ),
    );
}

/// Returns the `from` or pattern of a rule that matches a `to` or failover and all below it.
fn taking<'c>(other: PlacedRule<'c>, target: &Prefix) -> Option<&'c str> {
    if other.rule.except.first_above(target.canonical()).is_some() {
        return None;
    }
    if let Some(source) = other.source_above(target.canonical()) {
        return Some(source.written());
    }
    let (pattern, _) = other.pattern()?;
    // A pattern for any host is meant to match every `to` as well.
    let starts = pattern.starts();
    let names_host = !starts.is_empty() && starts.iter().all(|start| start.host() == Some(target.host()));
    let takes = |tail: &&str| {
        let name = format!("{}/{tail}", target.canonical());
        ImageRef::parse(&name).is_ok_and(|image| other.rule.takes(&image))
    };
    let is_taken = names_host && ["app", "team/app", "team/group/app"].iter().any(takes);
    is_taken.then(|| pattern.written())
}

/// Adds a `from` or a pattern under a `to` or failover.
fn under_a_target(number: usize, index: &Index, findings: &mut Findings) {
    let place = index.rules[number];
    let add = |findings: &mut Findings, span, source: &str, above: PlacedRule| {
        let of = if std::ptr::eq(above.rule, place.rule) {
            "this rule's `to`".to_owned()
        } else {
            format!("the `to` of rule `{}`", above.rule.name)
        };
        findings.add(
            Lint::Loop,
            place,
            span,
            format!("`{source}` is under {of}, so it is never rewritten"),
            "images under a `to` are in the cache already; remove it here, or give that `to` a path of its own"
                .to_owned(),
        );
    };
    for (source, span) in place.from() {
        // `target_is_taken` finds the same pair.
        let above = index.first_above(source.canonical(), |other| {
            let place = index.rules[other];
            let is_above = place.rule.matcher.is_above(source.canonical())
                && index.targets[other].iter().all(|target| !source.covers(&target.prefix));
            is_above.then_some(place)
        });
        if let Some(above) = above {
            add(findings, span, source.written(), above);
        }
    }
    if let Some((pattern, span)) = place.pattern()
        && let starts @ [first, ..] = pattern.starts()
    {
        let is_below = |target: &Target| starts.iter().all(|start| start.is_below(&target.prefix));
        let above = index.first_above(&first.text, |other| {
            let place = index.rules[other];
            (place.sources().is_some() && index.targets[other].iter().any(is_below)).then_some(place)
        });
        if let Some(above) = above {
            add(findings, span, pattern.written(), above);
        }
    }
}

/// Adds names that an earlier rule matches. Its `except` is irrelevant, because it ends the search too.
fn shadowed<'c>(number: usize, index: &Index<'c>, findings: &mut Findings) {
    let place = index.rules[number];
    let earlier = |name: &str, by: &dyn Fn(PlacedRule<'c>) -> Option<&'c Prefix>| {
        index.first_before(number, name, &place.rule.namespaces, |other| {
            let other = index.rules[other];
            // A rule that only observes, or only for some workloads rewrites, ends the search too.
            let Rule {
                name: _,
                matcher: _,
                except: _,
                namespaces,
                image_pull_secrets: _,
                mode: _,
                when_cache_down: _,
                check_exists: _,
                rollout: _,
            } = other.rule;
            Some((other, by(other).filter(|_| cover(namespaces, &place.rule.namespaces))?))
        })
    };
    if let Some((pattern, span)) = place.pattern() {
        let starts = pattern.starts();
        let Some(first) = starts.first() else { return };
        let below = |source: &Prefix| starts.iter().all(|start| start.is_below(source));
        let by = earlier(&first.text, &|other| other.from().map(|(source, _)| source).find(|source| below(source)));
        if let Some((other, source)) = by {
            report(place, span, pattern.written(), other, source, findings);
        }
        return;
    }
    for (position, (source, span)) in place.from().enumerate() {
        // A duplicate name has no effect.
        let parent = source.canonical().rsplit_once('/').map(|(parent, _)| parent);
        let before = place.sources().zip(parent).and_then(|(from, parent)| {
            from.position_above(parent).filter(|&before| before < position).map(|before| &from[before])
        });
        if let Some(before) = before {
            findings.add(
                Lint::Shadowed,
                place,
                span,
                format!("`{}` earlier in the list matches all of `{}`", before.written(), source.written()),
                "the first entry that matches is replaced by `to`; put the longer one first, or remove it".to_owned(),
            );
            continue;
        }
        let by = earlier(source.canonical(), &|other| other.source_above(source.canonical()));
        if let Some((other, before)) = by {
            report(place, span, source.written(), other, before, findings);
        }
    }
}

fn report(
    place: PlacedRule,
    span: &std::ops::Range<usize>,
    what: &str,
    other: PlacedRule,
    by: &Prefix,
    findings: &mut Findings,
) {
    let (name, before) = (&place.rule.name, &other.rule.name);
    // A copy for some namespaces, or a rule for longer names, is meant to come first. An equal rule has no effect at any place.
    let is_narrower = place.rule.namespaces != other.rule.namespaces || what != by.written();
    let fix = if is_narrower {
        format!(
            "the first rule that matches decides; put rule `{name}` before `{before}`, or remove `{what}` from `{name}`"
        )
    } else {
        format!("the first rule that matches decides; remove `{what}` from `{name}`")
    };
    findings.add(
        Lint::Shadowed,
        place,
        span,
        format!("`{what}` is never used: rule `{before}` before it matches all of `{}`", by.written()),
        fix,
    );
}

/// Returns whether every namespace of `inner` is surely one of `outer`.
fn cover(outer: &Namespaces, inner: &Namespaces) -> bool {
    // A glob that matches another glob's text, with `*` as a plain character, matches all names of the other.
    let each = |globs: &[Glob], of: &Namespaces| globs.iter().all(|glob| of.contain(glob.as_str()));
    match (outer, inner) {
        (Namespaces::All, _) => true,
        (Namespaces::Include(_), Namespaces::Include(inner)) => each(inner, outer),
        (Namespaces::Include(outer), _) => outer.iter().any(|glob| glob.as_str().trim_matches('*').is_empty()),
        (Namespaces::Exclude(_), Namespaces::Include(inner)) => {
            inner.iter().all(|glob| !glob.as_str().contains('*')) && each(inner, outer)
        }
        (Namespaces::Exclude(outer), Namespaces::Exclude(inner)) => each(outer, &Namespaces::Include(inner.clone())),
        (Namespaces::Exclude(_), Namespaces::All) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(text: &str) -> Namespaces {
        let globs = |text: &str| text.split(',').map(|glob| Glob::parse(glob).expect("a glob")).collect();
        match text.split_at(1) {
            ("+", rest) => Namespaces::Include(globs(rest)),
            ("-", rest) => Namespaces::Exclude(globs(rest)),
            _ => Namespaces::All,
        }
    }

    #[test]
    fn namespaces_cover_others_only_where_that_is_sure() {
        for (outer, inner, expected) in [
            ("all", "-a", true),
            ("+a,b", "+a", true),
            ("+ci-*", "+ci-a,ci-*-x", true),
            ("+ci-a", "+ci-*", false),
            ("+*", "all", true),
            ("+a", "all", false),
            ("-a", "+b", true),
            ("-a", "+a", false),
            ("-a*", "+*b", false),
            ("-a", "-a,b", true),
            ("-ab", "-a*", true),
            ("-a*", "-ab", false),
            ("-a", "all", false),
        ] {
            assert_eq!(cover(&namespaces(outer), &namespaces(inner)), expected, "{outer} over {inner}");
        }
    }
}
