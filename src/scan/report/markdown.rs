//! Markdown as GitHub and GitLab have it, to be pasted into an issue.

use std::fmt::{self, Write};

use super::words::{self, count, visible};
use crate::scan::{Outcome, Report, Row, Share, Sums, Verdict};

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let sums = report.sums();
    writeln!(text, "## What {} pulls\n", code(&report.subject))?;
    let rules = report
        .rules
        .as_deref()
        .map_or_else(|| "Without rules".to_owned(), |rules| format!("By the rules of {}", code(rules)));
    let generated = report.generated.as_deref().map(|generated| format!(", {}", inert(generated))).unwrap_or_default();
    writeln!(text, "{rules}{generated}: {}; {}.", words::totals(&sums), words::looked_at(report))?;
    let failing = words::failing(report);
    if !failing.is_empty() {
        let names: Vec<String> = report.fail_on.iter().map(|name| code(name)).collect();
        writeln!(text, "\n**{} from what `--fail-on` names: {}.**", count(failing.len(), "image"), names.join(", "))?;
    }
    if !sums.groups.is_empty() {
        registries(text, &sums)?;
        namespaces(text, &sums)?;
    }
    for group in &sums.groups {
        let share = format!("{} at {}", count(group.share.images, "image"), count(group.share.places, "place"));
        writeln!(text, "\n### {}\n\n{share}.\n", group.registry.map_or_else(|| words::registry(group), code))?;
        writeln!(text, "| Image | What the rules do | Where |\n| --- | --- | --- |")?;
        for row in &group.rows {
            let whereabouts = format!("{}: {}", words::uses(row.uses()), code(&words::whereabouts(row)));
            writeln!(text, "| {} | {} | {} |", code(&words::image(&row.finding.image)), verdict(row), whereabouts)?;
        }
    }
    out_of_reach(text, &sums)?;
    unseen(text, report)?;
    unknown(text, report)
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

/// Columns for what there is of `total`.
fn shares_table<'s>(
    text: &mut String,
    of: &str,
    total: &Share,
    shares: impl Iterator<Item = (String, &'s Share)>,
) -> fmt::Result {
    let outcomes: Vec<Outcome> = total.outcomes().collect();
    write!(text, "\n| {of} | Images |")?;
    outcomes.iter().try_for_each(|outcome| write!(text, " {} |", outcome.title()))?;
    writeln!(text, " Places |\n| --- | ---: |{} ---: |", " ---: |".repeat(outcomes.len()))?;
    for (name, share) in shares {
        write!(text, "| {name} | {} |", share.images)?;
        outcomes.iter().try_for_each(|outcome| write!(text, " {} |", share.of_outcome(*outcome)))?;
        writeln!(text, " {} |", share.places)?;
    }
    Ok(())
}

fn out_of_reach(text: &mut String, sums: &Sums) -> fmt::Result {
    let out_of_reach = sums.out_of_reach();
    if out_of_reach.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Out of the webhook's reach\n")?;
    for (why, rows) in out_of_reach {
        writeln!(text, "- **{}**: {}.", why.title(), why.why())?;
        writeln!(text, "  What reaches them: {}.", why.reached_by())?;
        words::images(&rows).into_iter().try_for_each(|image| writeln!(text, "  - {}", code(&words::image(image))))?;
    }
    Ok(())
}

fn unseen(text: &mut String, report: &Report) -> fmt::Result {
    if report.unseen.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n### Could not be looked at\n\n| What | Why | What would help |\n| --- | --- | --- |")?;
    words::unseen(report).into_iter().try_for_each(|(names, unseen)| {
        let names = code(&words::few(&names, names.len()));
        writeln!(text, "| {names} | {} | {} |", inert(&unseen.why), inert(&unseen.cure))
    })
}

fn unknown(text: &mut String, report: &Report) -> fmt::Result {
    if report.unknowns.is_empty() {
        return Ok(());
    }
    let totals = report.unknowns.totals().join("; ");
    writeln!(
        text,
        "\n### Not understood\n\n{totals}.\n\n| What | Fields | Where | Entry of `manifests`, or what to do |\n| --- | --- | --- | --- |"
    )?;
    let (shown, more) = report.unknowns.shown();
    shown.into_iter().try_for_each(|(subject, unknown)| {
        let [subject_text, place, cure] =
            [subject.to_string(), unknown.whereabouts(), words::cure(subject, unknown).1].map(|cell| code(&cell));
        writeln!(text, "| {subject_text} | {} | {place} | {cure} |", unknown.size(subject))
    })?;
    words::more(more).iter().try_for_each(|line| writeln!(text, "\n{line}"))
}

fn verdict(row: &Row) -> String {
    let reach = match (row.outcome, row.finding.out_of_reach) {
        (Outcome::OutOfReach, Some(why)) => Some(format!("out of reach ({})", code(why.as_str()))),
        _ => None,
    };
    let verdict = row.verdict().map(|verdict| match verdict {
        Verdict::Rewrite { result, rule } => format!("→ {} (rule {})", code(result), code(rule)),
        Verdict::Keep { reason, rule } => {
            let rule = rule.as_deref().map(|rule| format!(" (rule {})", code(rule))).unwrap_or_default();
            format!("{}: {}{rule}", code(reason.as_str()), reason.describe())
        }
    });
    [reach, verdict].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Somebody else's text.
fn code(text: &str) -> String {
    let text = visible(text);
    // A code span has no escapes, and the pipes of tables come before it.
    let is_plain = |c: char| !matches!(c, '|' | '`' | '\\' | '<' | '>' | '&');
    match text.chars().all(is_plain) && text.trim() == text && !text.is_empty() {
        true => format!("`{text}`"),
        false => format!("<code>{}</code>", inert(&text)),
    }
}

/// Text that nobody takes for markup, a link or a mention.
fn inert(text: &str) -> String {
    let inert = visible(text).chars().fold(String::with_capacity(text.len()), |mut inert, c| {
        match c {
            // Mentions are looked for in what is shown.
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
