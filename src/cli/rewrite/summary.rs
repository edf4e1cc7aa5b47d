//! The messages at the end of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::{output, unknown};
use crate::files::{self, Problem, SkippedFile, Source};
use crate::manifest::Unreadable;
use crate::rewrite::{Done, KeptFor, LEFT_SHOWN, Left, Refused, TextOutcome, fixed, not_rolled_out};
use crate::scan::Unknowns;
use crate::words::{count, few};

/// The options of `--check`.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    pub allow_unknown: bool,
}

pub struct Summary<'o> {
    pub paths: &'o [PathBuf],
    /// The files, as many as `outcomes`.
    pub sources: &'o [Source],
    pub problems: &'o [Problem],
    /// Files outside of the named folders.
    pub skipped: &'o [SkippedFile],
    pub outcomes: &'o [TextOutcome],
    /// Notes about the output of kustomizations.
    pub notes: &'o [String],
    /// One text is printed.
    pub is_print: bool,
    /// Images are rewritten, not only checked.
    pub is_done: bool,
    pub gate: Option<Gate>,
}

impl<'o> Summary<'o> {
    /// Returns whether an input could not be read, parsed or written.
    pub fn has_failed(&self) -> bool {
        let is_failure = |outcome: &TextOutcome| match outcome {
            Ok(done) => done.unreadable.iter().any(|unreadable| self.is_failure(unreadable)),
            Err(Left::Problem(_)) => true,
            Err(Left::Unreadable(unreadable)) => self.is_failure(unreadable),
        };
        !self.problems.is_empty() || self.outcomes.iter().any(is_failure)
    }

    /// A template in a folder is not a failure.
    fn is_failure(&self, unreadable: &Unreadable) -> bool {
        self.is_print || !unreadable.is_template
    }

    fn tell_unreadable(&self, unreadable: &Unreadable) {
        let prefix = if self.is_failure(unreadable) { "error" } else { "skipped" };
        output::talk(format_args!("{prefix}: {unreadable}"));
    }

    /// Returns whether the rules rewrite an image.
    pub fn would_change(&self) -> bool {
        self.done().any(|done| done.changed > 0 || !done.refused.is_empty())
    }

    fn done(&self) -> impl Iterator<Item = &'o Done> + Clone + use<'o> {
        self.outcomes.iter().flatten()
    }

    /// Prints the messages, and returns whether `--check` fails since the inspection is incomplete.
    pub fn tell(&self) -> bool {
        for problem in self.problems {
            output::talk(format_args!("error: {problem}"));
        }
        for skipped in self.skipped {
            output::talk(format_args!("skipped: {skipped}"));
        }
        for outcome in self.outcomes {
            match outcome {
                Ok(done) => {
                    done.unreadable.iter().for_each(|unreadable| self.tell_unreadable(unreadable));
                    tell_refused(done);
                    tell_template(done);
                }
                Err(Left::Problem(problem)) => output::talk(format_args!("error: {problem}")),
                Err(Left::Unreadable(unreadable)) => self.tell_unreadable(unreadable),
            }
        }
        for note in self.notes {
            output::note(format_args!("note: {note}"));
        }
        self.tell_by_facts();
        let waiting = self.done().map(Done::not_rolled_out).sum();
        if waiting > 0 {
            output::talk(format_args!("not rewritten: {}", not_rolled_out(waiting)));
        }
        let why = "without a host, since a kustomization that is not read may rename them; name the whole tree, or use \
                   --rewrite-short-names";
        self.tell_left(KeptFor::ShortName, why);
        let why = "in files that kustomizations put into ConfigMaps and Secrets; use --deep";
        self.tell_left(KeptFor::Data, why);
        self.tell_left(KeptFor::Named, "that kustomizations name or have, since --no-kustomize is set");
        let is_template = |outcome: &TextOutcome| match outcome {
            Ok(done) => done.template_line.is_some() || done.unreadable.iter().any(|text| text.is_template),
            Err(Left::Unreadable(text)) => text.is_template,
            Err(Left::Problem(_)) => false,
        };
        if self.outcomes.iter().any(is_template) {
            output::note("hint: render templates first: helm template CHART | pullthrough rewrite …");
        }
        let silent = self.silent();
        for path in &silent {
            let (what, fix) = files::nothing(path);
            // Without --check, a chart that renders to nothing is not a mistake.
            if self.gate.is_some() || fix != files::NOTHING_FIX {
                output::talk(format_args!("skipped: {}: {what}; {fix}", path.display()));
            }
        }
        let mut unknowns = Unknowns::default();
        self.done().for_each(|done| unknowns.extend(&done.unknowns));
        unknown::tell(&unknowns);
        let is_empty = self.problems.is_empty() && self.outcomes.is_empty();
        if self.done().next().is_some() || (is_empty && !self.is_print) {
            output::note(self.totals());
        }
        let Some(Gate { allow_unknown }) = self.gate else { return false };
        let is_template = self.outcomes.iter().any(is_template);
        let reason = match () {
            // Printed above.
            () if self.has_failed() => return false,
            () if self.done().all(|done| done.contents.objects == 0) => {
                let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
                unknown::nothing(&few(&paths))
            }
            () if allow_unknown => return false,
            () if !unknowns.is_empty() => unknown::error("that the rules rewrite"),
            () if is_template || !silent.is_empty() => {
                "some input was not understood; fix what is listed above, or pass --allow-unknown".to_owned()
            }
            () => return false,
        };
        output::talk(format_args!("error: {reason}"));
        true
    }

    /// Returns the paths without objects that have no message yet.
    fn silent(&self) -> Vec<&PathBuf> {
        let is_said = |outcome: &TextOutcome| match outcome {
            Ok(done) => {
                done.contents.objects > 0
                    || !done.unknowns.is_empty()
                    || !done.unreadable.is_empty()
                    || done.template_line.is_some()
            }
            Err(_) => true,
        };
        let said = self.sources.iter().zip(self.outcomes).filter(|(_, outcome)| is_said(outcome));
        let said = said.map(|(source, _)| (source.name.as_str(), source.path.as_deref()));
        let problems = self.problems.iter().map(|problem| (problem.name.as_str(), None));
        files::silent(self.paths, said.chain(problems)).collect()
    }

    /// Prints what images lose that name a cache in manifests: only the webhook chooses by the state of caches.
    fn tell_by_facts(&self) {
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for (rule, images) in self.done().flat_map(|done| &done.by_facts) {
            *rules.entry(rule).or_default() += images;
        }
        for (rule, images) in rules {
            output::talk(format_args!("warning: {}", fixed(rule, images)));
        }
    }

    fn tell_left(&self, reason: KeptFor, why: &str) {
        let count_of = |done: &Done| done.kept.get(&reason).copied().unwrap_or_default();
        let total: usize = self.done().map(count_of).sum();
        if total == 0 {
            return;
        }
        let left = self.done().flat_map(|done| {
            let of_reason = done.left.iter().filter(|left| left.reason == reason);
            of_reason.map(|left| format!("{} ({}:{})", left.image, done.name, left.line))
        });
        let shown: Vec<String> = left.take(LEFT_SHOWN).collect();
        let more = if total > shown.len() { format!(", and {} more", total - shown.len()) } else { String::new() };
        let shown = shown.join(", ");
        output::talk(format_args!("not rewritten: {} {why}: {shown}{more}", count(total, "image")));
    }

    fn totals(&self) -> String {
        let changed = self.done().filter(|done| done.changed > 0).count();
        let rewritten: usize = self.done().map(|done| done.changed).sum();
        let refused: usize = self.done().map(|done| done.refused.len()).sum();
        let unreadable: usize = self.done().map(|done| done.unreadable.len()).sum();
        let left_alone = self.problems.len() + self.outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let mut kept: BTreeMap<KeptFor, usize> = BTreeMap::new();
        for (reason, count) in self.done().flat_map(|done| &done.kept) {
            *kept.entry(*reason).or_default() += count;
        }
        let read = count(self.done().count(), "file");
        if rewritten + refused + kept.len() + unreadable + left_alone == 0 {
            return format!("{read}: no image found");
        }
        let verb = if self.is_done { "rewritten" } else { "to be rewritten" };
        let mut text = format!("{read}: {} {verb} in {changed}", count(rewritten, "image"));
        text += &format!(", {} unchanged", kept.values().sum::<usize>() + refused);
        let mut reasons: Vec<String> =
            kept.iter().map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
        reasons.extend((refused > 0).then(|| format!("{refused} not possible")));
        if !reasons.is_empty() {
            text += &format!(" ({})", reasons.join(", "));
        }
        if left_alone > 0 {
            text += &format!("; {} skipped", count(left_alone, "file"));
        }
        if unreadable > 0 {
            text += &format!("; {} unreadable", count(unreadable, "document"));
        }
        text
    }
}

fn tell_refused(done: &Done) {
    for Refused { line, image, after, why, pointer: _ } in &done.refused {
        output::talk(format_args!("warning: {}:{line}: {image} is not rewritten to {after}: {why}", done.name));
    }
}

fn tell_template(done: &Done) {
    if let Some(line) = done.template_line {
        output::talk(format_args!(
            "warning: {}:{line}: a template: images that `{{{{` renders were not inspected",
            done.name
        ));
    }
}
