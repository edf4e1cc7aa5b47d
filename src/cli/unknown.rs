//! What commands say of fields that look like images in kinds that are not known, and of nothing to inspect.

use super::output;
use crate::scan::{Subject, Unknowns, report};

/// Kinds that are listed.
const FEW: usize = 10;

pub fn tell(unknowns: &Unknowns) {
    for line in unknowns.totals() {
        output::talk(format_args!("warning: {line}"));
    }
    let (shown, more) = unknowns.shown();
    for (subject, unknown) in shown.iter().take(FEW) {
        let line = format!("  {subject}: {}: {}", unknown.size(subject), unknown.whereabouts());
        output::talk(report::visible(&line));
        output::talk(report::visible(&format!("    {}", report::cure(subject, unknown).1)));
    }
    match shown.len().saturating_sub(FEW) + more {
        0 => {}
        more => output::talk(format_args!("  and {more} more; `pullthrough scan` lists them")),
    }
    if shown.iter().any(|(subject, _)| !matches!(subject, Subject::Texts(_))) {
        output::talk("hint: copy the entries that are right into `manifests` of the rules file");
    }
}

/// Why a gate that met such fields fails.
pub fn error(what: &str) -> String {
    format!(
        "what is not understood may have images {what}; declare kinds under `manifests` in the rules file, read texts with \
         --deep, or pass --allow-unknown"
    )
}

/// Why a gate that saw no object fails.
pub fn nothing(subject: &str) -> String {
    format!("nothing was inspected: no Kubernetes object in {subject}; {NOTHING_CURE}")
}

pub const NOTHING: &str = "no Kubernetes object in it";
pub const NOTHING_CURE: &str = "check the path, or the command that writes the manifests";
