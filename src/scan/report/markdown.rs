//! Markdown for issues and merge requests of GitHub and GitLab.

use std::fmt::{self, Write};

use super::{operators, words};
use crate::scan::{Bucket, Report, Row, Share, Skipped, Sums, Unknowns, Verdict};
use crate::words::{count, visible};

/// Formats the report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let sums = report.sums();
    let title = report.title.as_deref().map_or_else(|| format!("Images in {}", code(&report.subject)), inert);
    writeln!(text, "## {title}\n")?;
    let rules =
        report.rules.as_deref().map_or_else(|| "Without rules".to_owned(), |rules| format!("Using {}", code(rules)));
    let generated = report.generated.as_deref().map(|generated| format!(", {}", inert(generated))).unwrap_or_default();
    writeln!(text, "{rules}{generated}: {}; {}.", words::totals(&sums), words::looked_at(report))?;
    let rollouts = words::rollouts(report);
    if !rollouts.is_empty() {
        writeln!(text)?;
        rollouts.iter().try_for_each(|line| writeln!(text, "- {}", inert(line)))?;
    }
    let failing = words::failing(report);
    if !failing.is_empty() {
        let names: Vec<String> = report.fail_on.iter().map(|name| code(name)).collect();
        writeln!(
            text,
            "\n**{} from a registry of `--fail-on`: {}.**",
            count(failing.len(), "image"),
            names.join(", ")
        )?;
    }
    if !sums.groups.is_empty() {
        registries(text, &sums)?;
        namespaces(text, &sums)?;
    }
    for group in &sums.groups {
        let share = format!("{} at {}", count(group.share.images, "image"), count(group.share.places, "place"));
        writeln!(text, "\n### {}\n\n{share}.\n", group.registry.map_or_else(|| words::registry(group), code))?;
        writeln!(text, "| Image | Outcome | Where |\n| --- | --- | --- |")?;
        for row in &group.rows {
            let whereabouts = format!("{}: {}", words::uses(row.uses()), code(&words::whereabouts(row)));
            writeln!(text, "| {} | {} | {} |", code(&words::image(&row.finding.image)), verdict(row), whereabouts)?;
        }
    }
    not_covered(text, &sums)?;
    operators(text, report)?;
    gaps(text, &report.skipped, &report.unknowns)
}

/// Writes what was skipped, and what was not understood.
pub(crate) fn gaps(text: &mut String, skipped: &[Skipped], unknowns: &Unknowns) -> fmt::Result {
    self::skipped(text, skipped)?;
    unknown(text, unknowns)
}

fn registries(text: &mut String, sums: &Sums) -> fmt::Result {
    let shares =
        sums.groups.iter().map(|group| (group.registry.map_or_else(|| words::registry(group), code), &group.share));
    shares_table(text, "Registry", &sums.total, shares.chain([("**total**".to_owned(), &sums.total)]))
}

fn namespaces(text: &mut String, sums: &Sums) -> fmt::Result {
    if sums.namespaces.iter().all(|(name, _)| name.is_none()) {
        return Ok(());
    }
    let name = |name: &Option<&str>| name.map_or_else(|| "none".to_owned(), code);
    shares_table(
        text,
        "Namespace",
        &sums.total,
        sums.namespaces.iter().map(|(namespace, share)| (name(namespace), share)),
    )
}

/// Writes a table with a column for each bucket of `total`.
fn shares_table<'s>(
    text: &mut String,
    of: &str,
    total: &Share,
    shares: impl Iterator<Item = (String, &'s Share)>,
) -> fmt::Result {
    let buckets: Vec<Bucket> = total.buckets().collect();
    write!(text, "\n| {of} | Images |")?;
    buckets.iter().try_for_each(|bucket| write!(text, " {} |", bucket.title()))?;
    writeln!(text, " Places |\n| --- | ---: |{} ---: |", " ---: |".repeat(buckets.len()))?;
    for (name, share) in shares {
        write!(text, "| {name} | {} |", share.images)?;
        buckets.iter().try_for_each(|bucket| write!(text, " {} |", share.of_bucket(*bucket)))?;
        writeln!(text, " {} |", share.places)?;
    }
    Ok(())
}

fn not_covered(text: &mut String, sums: &Sums) -> fmt::Result {
    let not_covered = sums.not_covered();
    if not_covered.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Not covered by the webhook\n")?;
    for (why, rows) in not_covered {
        writeln!(text, "- **{}**: {}.", why.title(), why.why())?;
        writeln!(text, "  Fix: {}.", why.reached_by())?;
        words::images(&rows).into_iter().try_for_each(|image| writeln!(text, "  - {}", code(&words::image(image))))?;
    }
    Ok(())
}

fn operators(text: &mut String, report: &Report) -> fmt::Result {
    let operators::Operators { known, possible } = operators::Operators::of(report);
    if !known.is_empty() {
        writeln!(text, "\n### {}\n", operators::KNOWN)?;
    }
    for operators::Known { title, effect, settings } in known {
        writeln!(text, "- **{}**: {}.", inert(&title), inert(&effect))?;
        settings.iter().try_for_each(|setting| writeln!(text, "  - {}", inert(setting)))?;
    }
    if !possible.is_empty() {
        let (title, why, fix) = (operators::POSSIBLE, operators::POSSIBLE_WHY, operators::POSSIBLE_FIX);
        writeln!(text, "\n### {title}\n\n{}. Fix: {}.\n", inert(why), inert(fix))?;
        possible.iter().try_for_each(|line| writeln!(text, "- {}", inert(line)))?;
    }
    Ok(())
}

fn skipped(text: &mut String, skipped: &[Skipped]) -> fmt::Result {
    if skipped.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Skipped\n\n| What | Why | Fix |\n| --- | --- | --- |")?;
    words::skipped(skipped).into_iter().try_for_each(|(names, skipped)| {
        let names = code(&words::few(&names, names.len()));
        writeln!(text, "| {names} | {} | {} |", inert(&skipped.why), inert(&skipped.fix))
    })
}

fn unknown(text: &mut String, unknowns: &Unknowns) -> fmt::Result {
    if unknowns.is_empty() {
        return Ok(());
    }
    let totals = unknowns.totals().join("; ");
    writeln!(
        text,
        "\n### Not understood\n\n{totals}.\n\n| What | Fields | Where | Entry of `manifests`, or fix |\n| --- | --- | --- | --- |"
    )?;
    let (shown, more) = unknowns.shown();
    shown.into_iter().try_for_each(|(subject, unknown)| {
        let [subject_text, place, fix] =
            [subject.to_string(), unknown.whereabouts(), words::fix(subject, unknown).1].map(|cell| code(&cell));
        writeln!(text, "| {subject_text} | {} | {place} | {fix} |", unknown.size(subject))
    })?;
    words::more(more).iter().try_for_each(|line| writeln!(text, "\n{line}"))
}

fn verdict(row: &Row) -> String {
    let reach = match (row.bucket, row.finding.not_covered) {
        (Bucket::NotCovered, Some(why)) => Some(format!("not covered ({})", code(why.as_str()))),
        _ => None,
    };
    let verdict = row.verdict().map(|verdict| match verdict {
        Verdict::Rewrite { result, rule } => format!("→ {} (rule {})", code(result), code(rule)),
        Verdict::NotRewritten { reason, rule, would_be } => {
            let rule = rule.as_deref().map(|rule| format!(" (rule {})", code(rule))).unwrap_or_default();
            let what = would_be.as_deref().map(|name| format!("would be → {}", code(name)));
            format!("{}: {}{rule}", code(reason.as_str()), what.as_deref().unwrap_or_else(|| reason.describe()))
        }
    });
    [reach, verdict].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Formats text from users and clusters as code.
pub(crate) fn code(text: &str) -> String {
    let text = visible(text);
    // A code span has no escapes, and a table splits at pipes before it reads code spans.
    let is_plain = |c: char| !matches!(c, '|' | '`' | '\\' | '<' | '>' | '&');
    if text.chars().all(is_plain) && text.trim() == text && !text.is_empty() {
        format!("`{text}`")
    } else {
        format!("<code>{}</code>", inert(&text))
    }
}

/// Escapes text so that it is no markup, link or mention.
pub(crate) fn inert(text: &str) -> String {
    let inert = visible(text).chars().fold(String::with_capacity(text.len()), |mut inert, c| {
        match c {
            // GitHub searches the rendered text for mentions.
            '@' => inert.push_str("&#64;<!-- -->"),
            '\'' | '(' | ')' | ',' | '-' | '.' | '/' | ';' => inert.push(c),
            c if c.is_ascii_punctuation() => drop(write!(inert, "&#{};", u32::from(c))),
            c => inert.push(c),
        }
        inert
    });
    inert.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn names_are_nothing_but_names() {
        assert_eq!(code("nginx:1.29@sha256:00"), "`nginx:1.29@sha256:00`");
        assert_eq!(code(""), "<code></code>");
        assert_eq!(code("a|b\\"), "<code>a&#124;b&#92;</code>");
        assert_eq!(code("`@all`"), "<code>&#96;&#64;<!-- -->all&#96;</code>");
        assert_eq!(code("<b>\nhttps://www.x"), "<code>&#60;b&#62;\u{fffd}https&#58;//www&#46;x</code>");
    }
}
