//! Messages about fields that look like images in unknown kinds, and about inputs without objects.

use super::output;
use crate::files::NOTHING_FIX;
use crate::scan::{Subject, Unknowns, report};
use crate::words::visible;

/// The most kinds that are listed.
const FEW: usize = 10;

pub fn tell(unknowns: &Unknowns) {
    for line in unknowns.totals() {
        output::talk(format_args!("warning: {line}"));
    }
    let (shown, more) = unknowns.shown();
    for (subject, unknown) in shown.iter().take(FEW) {
        let line = format!("  {subject}: {}: {}", unknown.size(subject), unknown.whereabouts());
        output::talk(visible(&line));
        output::talk(visible(&format!("    {}", report::fix(subject, unknown).1)));
    }
    match shown.len().saturating_sub(FEW) + more {
        0 => {}
        more => output::talk(format_args!("  and {more} more; `pullthrough scan` lists them")),
    }
    if shown.iter().any(|(subject, _)| !matches!(subject, Subject::Texts(_))) {
        output::note("hint: copy the right entries to `manifests` of the rules file");
    }
}

/// Returns why a gate fails that found such fields.
pub fn error(what: &str) -> String {
    format!(
        "fields that were not understood may have images {what}; declare their kinds under `manifests` in the rules file, \
         read texts with --deep, or pass --allow-unknown"
    )
}

/// Returns why a gate fails that found no object.
pub fn nothing(subject: &str) -> String {
    format!("nothing was inspected: no Kubernetes object in {subject}; {NOTHING_FIX}")
}
