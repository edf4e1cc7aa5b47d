//! Markdown for issues and merge requests of GitHub and GitLab.

use std::fmt::{self, Write};

use super::report::Report;
use super::{Match, Verified, words};
use crate::diagnosis::{Advice, Status};
use crate::scan::report::markdown::{code, gaps, inert};
use crate::words::count;

/// Formats the report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let Report { images, others, skipped, unknowns, .. } = report;
    writeln!(text, "## {}\n", inert(&report.title()))?;
    writeln!(text, "| Status | Images |\n| --- | ---: |")?;
    for status in Status::ALL {
        let of_status = images.iter().filter(|verified| verified.diagnosis.status == status).count();
        if of_status > 0 {
            writeln!(text, "| {} | {of_status} |", status.title())?;
        }
    }
    if *others > 0 {
        let others = count(*others, "place");
        writeln!(text, "\n{others} not checked, since no rule sends the image to a cache.")?;
    }
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Served) {
        let of_status: Vec<_> = images.iter().filter(|verified| verified.diagnosis.status == status).collect();
        if of_status.is_empty() {
            continue;
        }
        writeln!(text, "\n### {}\n\n| Image | For | Causes and fixes | Answer | Where |", capitalised(status.title()))?;
        writeln!(text, "| --- | --- | --- | --- | --- |")?;
        of_status.into_iter().try_for_each(|verified| row(text, verified))?;
    }
    let differing: Vec<_> = images.iter().filter(|verified| is_differing(verified)).collect();
    if !differing.is_empty() {
        writeln!(text, "\n### Digests\n\n| Image | Result | Cache | Upstream |\n| --- | --- | --- | --- |")?;
    }
    for Verified { target, seen, .. } in differing {
        let Some(proof) = &seen.proof else { continue };
        let result = match &proof.reason {
            Some(reason) => format!("{}: {}", proof.result.as_str(), inert(reason)),
            None => format!("{}: {}", proof.result.as_str(), inert(proof.result.words().0)),
        };
        let [cache, upstream] = [&seen.digest, &proof.upstream_digest]
            .map(|digest| digest.as_ref().map_or_else(String::new, |digest| code(digest.as_str())));
        writeln!(text, "| {} | {result} | {cache} | {upstream} |", code(&target.image))?;
    }
    let warnings = words::warnings(images);
    if !warnings.is_empty() {
        writeln!(text, "\n### Warnings of caches\n\n| Cache | Images | Warning |\n| --- | ---: | --- |")?;
    }
    for ((host, warning), images) in warnings {
        writeln!(text, "| {} | {images} | {} |", code(host), inert(warning))?;
    }
    gaps(text, skipped, unknowns)
}

fn is_differing(verified: &Verified) -> bool {
    verified.seen.proof.as_ref().is_some_and(|proof| proof.result != Match::Equal)
}

fn row(text: &mut String, verified: &Verified) -> fmt::Result {
    let Verified { target, seen, .. } = verified;
    let causes: Vec<String> = verified.advice().map(|advice| cause(&advice)).collect();
    let causes = if causes.len() > 1 { format!("one of:<br>{}", causes.join("<br>")) } else { causes.concat() };
    let upstream = seen.upstream.as_ref().map(|upstream| format!("<br>upstream: {}", inert(&upstream.in_words())));
    let more = match target.places.others() {
        0 => String::new(),
        more => format!(" and {}", count(more, "more place")),
    };
    let secrets = target.pull.as_deref().map(|uses| format!("<br>pull Secrets: {}", inert(&words::pull_secrets(uses))));
    writeln!(
        text,
        "| {} | {} | {causes} | {}{} | {}{more}{} |",
        code(&target.image),
        target.upstream.as_deref().map_or_else(String::new, code),
        inert(&seen.cache.in_words()),
        upstream.unwrap_or_default(),
        code(&target.places.first().to_string()),
        secrets.unwrap_or_default(),
    )
}

fn cause(Advice { cause: _, text, fix, source }: &Advice) -> String {
    let source = source.map(|source| format!(" (<{source}>)")).unwrap_or_default();
    format!("{}; fix: {}{source}", inert(text), inert(fix))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
