//! Rewrites one text after another.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use crate::config::Config;
use crate::engine::{Decision, Policy, Reason, has_host};
use crate::files::{Problem, Source, Writer};
use crate::kustomize::{self, Outside, Plan, Verdict};
use crate::manifest::kustomization::{JSON_PATCH, SELECTOR};
use crate::manifest::{self, Catalogue, Contents, Edits, Field, Known, Outline, Part, Unreadable};
use crate::scan::Unknowns;
use crate::words::count;

/// The options of a run.
pub struct RewriteOptions {
    /// The namespace of objects that name none.
    pub namespace: String,
    pub catalogue: Catalogue,
    pub deep: bool,
    pub no_kustomize: bool,
    pub rewrite_short_names: bool,
}

/// The change of every text.
pub struct Task {
    policy: Policy,
    /// The rules whose decisions depend on facts about caches.
    by_facts: BTreeSet<String>,
    known: Known,
    namespace: String,
    no_kustomize: bool,
    rewrite_short_names: bool,
    outside: Outside,
    plan: Plan,
    /// Writes files in place, if wanted.
    pub writer: Option<Writer>,
    /// Data that is needed until the end of the run.
    pub kept: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    #[default]
    Nothing,
    Texts,
    Lists,
}

/// The result for a text.
pub type TextOutcome = Result<Done, Left>;

/// Why a whole text is unchanged.
pub enum Left {
    /// Reading or writing it failed.
    Problem(Problem),
    Unreadable(Unreadable),
}

#[derive(Default)]
pub struct Done {
    pub name: String,
    /// The number of images that are rewritten.
    pub changed: usize,
    /// One line for each image that is not as the rules want, if lists are kept.
    pub list: String,
    pub refused: Vec<Refused>,
    /// Unreadable documents, which stay unchanged.
    pub unreadable: Vec<Unreadable>,
    /// The first line with a value of a template.
    pub template_line: Option<usize>,
    pub contents: Contents,
    pub unknowns: Unknowns,
    pub kept: BTreeMap<KeptFor, usize>,
    /// The rewritten images by rule, for rules whose decisions depend on facts about caches.
    pub by_facts: BTreeMap<String, usize>,
    /// Images that a kustomization outside the files may name, or names: the first of each reason, up to the limit.
    pub left: Vec<LeftImage>,
    /// The text before, and after if it differs.
    pub texts: Option<(String, Option<String>)>,
}

pub struct LeftImage {
    pub line: usize,
    pub image: String,
    pub reason: KeptFor,
}

/// The change of a field.
enum Action {
    Write {
        rule: String,
        result: String,
    },
    Keep(Reason),
    Leave(KeptFor),
    Refuse {
        after: String,
        why: String,
    },
    /// The field is no image to count, or changes with another one.
    Skip,
}

pub struct Refused {
    pub line: usize,
    pub image: String,
    pub after: String,
    pub why: String,
    pub pointer: String,
}

/// Why an image is not rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptFor {
    /// The rules do not rewrite it.
    Rules(Reason),
    /// It has no host, and a kustomization outside the files may name it.
    ShortName,
    /// A kustomization names it, and `--no-kustomize` leaves it unchanged.
    Named,
    /// A kustomization puts its file into a ConfigMap or Secret.
    Data,
}

impl KeptFor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules(reason) => reason.as_str(),
            Self::ShortName => "short_name",
            Self::Named => "named_by_kustomization",
            Self::Data => "generator_data",
        }
    }
}

/// Sorted by their words, as in the summary.
impl Ord for KeptFor {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for KeptFor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The number of names to list.
pub const LEFT_SHOWN: usize = 5;

impl Task {
    pub fn new(config: Config, options: RewriteOptions) -> Self {
        let RewriteOptions { namespace, catalogue, deep, no_kustomize, rewrite_short_names } = options;
        // Kustomizations are always read: they may name a rewritten image.
        let known = Known { declared: config.manifests.clone(), catalogue, deep, ..Known::default() };
        let by_facts =
            config.rules.iter().filter(|rule| rule.depends_on_facts()).map(|rule| rule.name.clone()).collect();
        Self {
            policy: Policy::from(config),
            by_facts,
            known,
            namespace,
            no_kustomize,
            rewrite_short_names,
            outside: Outside::default(),
            plan: Plan::default(),
            writer: None,
            kept: Kept::default(),
        }
    }

    /// Reads how the files include each other, and what outside may include them.
    pub fn prepare(&mut self, paths: &[PathBuf], sources: &[Source]) {
        self.outside = Outside::of(paths);
        let options = kustomize::TreeOptions {
            policy: &self.policy,
            known: &self.known,
            namespace: &self.namespace,
            no_kustomize: self.no_kustomize,
            rewrite_short_names: self.rewrite_short_names,
        };
        self.plan = Plan::new(sources, &self.outside, options);
    }

    pub fn notes(&self) -> &[String] {
        &self.plan.notes
    }

    pub fn perform(&self, source: &Source) -> TextOutcome {
        let text = source.read().map_err(Left::Problem)?;
        let may_be_included = source.path.as_ref().is_none_or(|path| self.outside.may_include(path));
        let (mut done, new) = self.rewrite(&source.name, &text, may_be_included).map_err(Left::Unreadable)?;
        if let (Some(writer), Some(path), Some(new)) = (&self.writer, &source.path, &new) {
            let named = |problem| Left::Problem(Problem { name: source.name.clone(), ..problem });
            writer.replace(path, new).map_err(named)?;
        }
        done.texts = (self.kept == Kept::Texts).then_some((text, new));
        Ok(done)
    }

    /// Returns the result for a text, and the new text if it changes. A kustomization outside may include the text.
    pub fn rewrite(&self, name: &str, text: &str, may_be_included: bool) -> Result<(Done, Option<String>), Unreadable> {
        let mut done = Done { name: name.to_owned(), ..Done::default() };
        let mut edits = Edits::default();
        let outline = manifest::parts_in_tree(name, text, &self.known, |part| {
            done.unknowns.add(name, &part.lookalikes);
            self.rewrite_part(&part, may_be_included, &mut edits, &mut done);
        })?;
        let Outline { contents, template_line, unreadable } = outline;
        (done.contents, done.template_line, done.unreadable) = (contents, template_line, unreadable);
        done.refused.sort_by_key(|refused| refused.line);
        let new = (!edits.is_empty()).then(|| edits.apply(text)).filter(|new| new != text);
        Ok((done, new))
    }

    fn rewrite_part(&self, part: &Part, may_be_included: bool, edits: &mut Edits, done: &mut Done) {
        let fields = &part.fields;
        let actions: Vec<Action> = fields.iter().map(|field| self.action(&done.name, field, may_be_included)).collect();
        for (field, action) in fields.iter().zip(&actions) {
            match action {
                Action::Keep(reason) => *done.kept.entry(KeptFor::Rules(*reason)).or_default() += 1,
                Action::Leave(reason) => {
                    let count = done.kept.entry(*reason).or_default();
                    *count += 1;
                    if *count <= LEFT_SHOWN {
                        done.left.push(LeftImage { line: field.line, image: field.image.clone(), reason: *reason });
                    }
                }
                Action::Refuse { after, why } => done.refused.push(Refused::of(field, after, why.clone())),
                Action::Write { .. } | Action::Skip => {}
            }
        }
        let mut next = actions.iter();
        let edited = part.edit(edits, |_| match next.next() {
            Some(Action::Write { result, .. }) => Some(result.clone()),
            _ => None,
        });
        done.changed += edited.changed.len();
        for index in &edited.changed {
            if let Action::Write { rule, .. } = &actions[*index]
                && self.by_facts.contains(rule)
            {
                *done.by_facts.entry(rule.clone()).or_default() += 1;
            }
        }
        for index in edited.changed.into_iter().filter(|_| self.kept == Kept::Lists) {
            if let Action::Write { rule, result } = &actions[index] {
                let Field { line, image, .. } = &fields[index];
                let _ = writeln!(done.list, "{}:{line}: {image} → {result} ({rule})", done.name);
            }
        }
        for (index, why) in edited.refused {
            if let Action::Write { result, .. } = &actions[index] {
                done.refused.push(Refused::of(&fields[index], result, why));
            }
        }
    }

    fn action(&self, name: &str, field: &Field, may_be_included: bool) -> Action {
        let is_entry = field.place.starts_with("images/");
        let counts_alone = !field.place.starts_with(SELECTOR) && !field.place.starts_with(JSON_PATCH);
        let decided = || match field.decide(&self.policy, &self.namespace, None) {
            Decision::Rewrite { rule, result, .. } => Action::Write { rule: rule.name.clone(), result },
            decision => decision.reason().map_or(Action::Skip, Action::Keep),
        };
        match self.plan.verdict(name, field.object.document, &field.pointer) {
            Some(Verdict::Write { rule, result }) => Action::Write { rule: rule.clone(), result: result.clone() },
            Some(Verdict::Keep(Some(reason))) if counts_alone => Action::Keep(*reason),
            Some(Verdict::Keep(None)) if counts_alone => decided().kept(),
            Some(Verdict::Keep(_) | Verdict::InStep) => Action::Skip,
            Some(Verdict::Data) if self.known.deep => decided(),
            Some(Verdict::Data) => Action::Leave(KeptFor::Data),
            Some(Verdict::ShortName) => Action::Leave(KeptFor::ShortName),
            Some(Verdict::Named) if is_entry => Action::Skip,
            Some(Verdict::Named) => Action::Leave(KeptFor::Named),
            Some(Verdict::Refused { after, why }) => Action::Refuse { after: after.clone(), why: why.clone() },
            None if !counts_alone || is_entry && self.no_kustomize => Action::Skip,
            None => match decided() {
                Action::Write { .. } if may_be_included && !self.rewrite_short_names && is_short(field) => {
                    Action::Leave(KeptFor::ShortName)
                }
                action => action,
            },
        }
    }
}

impl Action {
    /// Replaces a change by `Skip`.
    fn kept(self) -> Self {
        if let Self::Write { .. } = self { Self::Skip } else { self }
    }
}

impl Refused {
    fn of(field: &Field, after: &str, why: String) -> Self {
        let Field { line, image, pointer, .. } = field;
        Self { line: *line, image: image.clone(), after: after.to_owned(), why, pointer: pointer.clone() }
    }
}

/// Returns what the images of a rule lose that name a cache in manifests, if its decisions depend on facts about caches.
pub fn fixed(rule: &str, images: usize) -> String {
    format!(
        "{} of rule {rule} name its `to`, whatever the state of the cache: the webhook chooses no other name for an image that \
         names a cache; leave the images of this rule to the webhook",
        count(images, "image")
    )
}

/// Returns why images of rules that are not rolled out stay as written.
pub fn not_rolled_out(images: usize) -> String {
    format!(
        "{} of rules with `rollout` below 100%: only the webhook rewrites a share of the workloads",
        count(images, "image")
    )
}

impl Done {
    /// Returns the number of images of rules that are not rolled out.
    pub fn not_rolled_out(&self) -> usize {
        self.kept.get(&KeptFor::Rules(Reason::NotRolledOut)).copied().unwrap_or_default()
    }
}

/// Returns whether a kustomization outside the files may rename the image. A `newName` is the result of a renaming.
fn is_short(field: &Field) -> bool {
    !field.is_in_text && !has_host(&field.image) && !field.pointer.ends_with("/newName")
}

impl Done {
    pub fn text(&self) -> &str {
        match &self.texts {
            Some((_, Some(new))) => new,
            Some((old, None)) => old,
            None => "",
        }
    }
}
