//! What is told when all is done.

use std::collections::BTreeMap;

use super::super::output;
use super::outcome::{Done, Left, Outcome, Refused};
use super::selectors;
use crate::cluster::words::count;
use crate::files::{Problem, Skipped};

pub struct Summary<'o> {
    pub problems: &'o [Problem],
    /// Not of the folders that were named.
    pub skipped: &'o [Skipped],
    pub outcomes: &'o [Outcome],
    /// One text was to be printed, and not files written.
    pub is_print: bool,
    /// Images are rewritten, and not only asked for.
    pub is_done: bool,
}

impl<'o> Summary<'o> {
    /// Whether something could not be read, parsed or written.
    pub fn has_failed(&self) -> bool {
        !self.problems.is_empty() || self.outcomes.iter().any(|outcome| self.is_failure(outcome))
    }

    /// A template among files is none.
    fn is_failure(&self, outcome: &Outcome) -> bool {
        match outcome {
            Ok(_) => false,
            Err(Left::Problem(_)) => true,
            Err(Left::Unreadable(unreadable)) => self.is_print || !unreadable.is_template,
        }
    }

    /// Whether an image is not what the rules want.
    pub fn would_change(&self) -> bool {
        self.done().any(|done| !done.changes.is_empty() || !done.refused.is_empty())
    }

    fn done(&self) -> impl Iterator<Item = &'o Done> + Clone + use<'o> {
        self.outcomes.iter().flatten()
    }

    pub fn tell(&self) {
        for problem in self.problems {
            output::talk(format_args!("error: {problem}"));
        }
        for skipped in self.skipped {
            output::talk(format_args!("skipped: {skipped}"));
        }
        for outcome in self.outcomes {
            let prefix = if self.is_failure(outcome) { "error" } else { "left alone" };
            match outcome {
                Ok(done) => {
                    tell_refused(done);
                    tell_template(done);
                }
                Err(Left::Problem(problem)) => output::talk(format_args!("{prefix}: {problem}")),
                Err(Left::Unreadable(unreadable)) => output::talk(format_args!("{prefix}: {unreadable}")),
            }
        }
        for warning in selectors::warnings(self.done()) {
            output::talk(warning);
        }
        let is_template = |outcome: &Outcome| match outcome {
            Ok(done) => done.template_line.is_some(),
            Err(Left::Unreadable(text)) => text.is_template,
            Err(Left::Problem(_)) => false,
        };
        if self.outcomes.iter().any(is_template) {
            output::talk("hint: render templates first: helm template CHART | pullthrough rewrite …");
        }
        if !(self.is_print && self.has_failed()) {
            output::talk(self.totals());
        }
    }

    fn totals(&self) -> String {
        let changed = self.done().filter(|done| !done.changes.is_empty()).count();
        let rewritten: usize = self.done().map(|done| done.changes.len()).sum();
        let refused: usize = self.done().map(|done| done.refused.len()).sum();
        let left_alone = self.problems.len() + self.outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for (reason, count) in self.done().flat_map(|done| &done.kept) {
            *kept.entry(reason).or_default() += count;
        }
        let read = count(self.done().count(), "file");
        if rewritten + refused + kept.len() == 0 && left_alone == 0 {
            return format!("{read}: no image found");
        }
        let verb = if self.is_done { "rewritten" } else { "to be rewritten" };
        let mut text = format!("{read}: {} {verb} in {changed}", count(rewritten, "image"));
        text += &format!(", {} kept", kept.values().sum::<usize>() + refused);
        let mut reasons: Vec<String> = kept.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.extend((refused > 0).then(|| format!("{refused} refused")));
        if !reasons.is_empty() {
            text += &format!(" ({})", reasons.join(", "));
        }
        if left_alone > 0 {
            text += &format!("; {} left alone", count(left_alone, "file"));
        }
        text
    }
}

fn tell_refused(done: &Done) {
    for Refused { line, image, after, why, pointer: _ } in &done.refused {
        output::talk(format_args!("warning: {}:{line}: {image} is not made {after}: {why}", done.name));
    }
}

fn tell_template(done: &Done) {
    if let Some(line) = done.template_line {
        output::talk(format_args!(
            "warning: {}:{line}: a template: what is rendered for `{{{{` was not looked at",
            done.name
        ));
    }
}
