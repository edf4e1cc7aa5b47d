//! What came of one text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::config::Config;
use crate::engine::{Decision, ImageRef, List, Policy};
use crate::files::{Problem, Source, Writer};
use crate::manifest::{Contents, Field, Known, Lookalike, Manifest, Unreadable};

/// What is done with every text.
pub struct Task {
    policy: Policy,
    known: Known,
    /// Of objects that name none.
    namespace: String,
    no_kustomize: bool,
    /// Writes it in place, where that is wanted.
    pub writer: Option<Writer>,
    pub keep_texts: bool,
}

pub type Outcome = Result<Done, Left>;

/// Why a text was left alone as a whole.
pub enum Left {
    /// It could not be read or written.
    Problem(Problem),
    Unreadable(Unreadable),
}

pub struct Done {
    pub name: String,
    pub changes: Vec<Change>,
    pub refused: Vec<Refused>,
    /// Documents that are unchanged.
    pub unreadable: Vec<Unreadable>,
    /// The first line that a template has to fill in.
    pub template_line: Option<usize>,
    pub contents: Contents,
    pub lookalikes: Vec<Lookalike>,
    pub kept: BTreeMap<&'static str, usize>,
    /// What kustomizations select images by.
    pub selectors: Vec<Selector>,
    /// Where they are kept: before, and after if that differs.
    pub texts: Option<(String, Option<String>)>,
}

pub struct Change {
    pub line: usize,
    pub before: String,
    pub after: String,
    pub rule: String,
    /// Kustomize's `images` look for it.
    pub is_selectable: bool,
}

pub struct Refused {
    pub line: usize,
    pub image: String,
    pub after: String,
    pub why: String,
    pub pointer: String,
}

pub struct Selector {
    pub line: usize,
    pub image_name: String,
}

impl Task {
    pub fn new(config: Config, namespace: String, no_kustomize: bool) -> Self {
        // Kustomizations are read in any case: they may select what is rewritten.
        let known = Known { declared: config.manifests.clone(), without_kustomize: false };
        Self { policy: Policy::from(config), known, namespace, no_kustomize, writer: None, keep_texts: false }
    }

    pub fn perform(&self, source: &Source) -> Outcome {
        let text = source.read().map_err(Left::Problem)?;
        let (mut done, new) = self.rewrite(&source.name, &text).map_err(Left::Unreadable)?;
        if let (Some(writer), Some(path), Some(new)) = (&self.writer, &source.path, &new) {
            let named = |problem| Left::Problem(Problem { name: source.name.clone(), ..problem });
            writer.replace(path, new).map_err(named)?;
        }
        done.texts = self.keep_texts.then_some((text, new));
        Ok(done)
    }

    /// What becomes of a text, and the new one where it changes.
    pub fn rewrite(&self, name: &str, text: &str) -> Result<(Done, Option<String>), Unreadable> {
        let manifest = Manifest::read(name, text, &self.known)?;
        let fields = manifest.fields();
        let mut done = Done {
            name: name.to_owned(),
            changes: Vec::new(),
            refused: Vec::new(),
            unreadable: manifest.unreadable().to_vec(),
            contents: manifest.contents(),
            lookalikes: manifest.lookalikes().to_vec(),
            kept: BTreeMap::new(),
            selectors: Vec::new(),
            template_line: manifest.template_line(),
            texts: None,
        };
        let decisions: Vec<Option<Decision>> = fields.iter().map(|field| self.decide(field)).collect();
        for (field, decision) in fields.iter().zip(&decisions) {
            if let Some(reason) = decision.as_ref().and_then(Decision::reason) {
                *done.kept.entry(reason.as_str()).or_default() += 1;
            }
            if let Some(image_name) = selector(field) {
                done.selectors.push(Selector { line: field.line, image_name: image_name.to_owned() });
            }
        }
        if !decisions.iter().flatten().any(|decision| matches!(decision, Decision::Rewrite { .. })) {
            return Ok((done, None));
        }
        let written = manifest.write(|field| match self.decide(field)? {
            Decision::Rewrite { result, .. } => Some(result),
            Decision::Restore { .. } | Decision::Keep { .. } => None,
        });
        let result = |index: usize| match &decisions[index] {
            Some(Decision::Rewrite { rule, result }) => (rule.name.clone(), result.clone()),
            _ => Default::default(),
        };
        for index in written.changed {
            let (field, (rule, after)) = (&fields[index], result(index));
            let is_selectable = is_selectable(field);
            done.changes.push(Change { line: field.line, before: field.image.clone(), after, rule, is_selectable });
        }
        for (index, why) in written.refused {
            let (field, (_, after)) = (&fields[index], result(index));
            let (image, pointer) = (field.image.clone(), field.pointer.clone());
            done.refused.push(Refused { line: field.line, image, after, why, pointer });
        }
        let new = (written.text != text).then_some(written.text);
        Ok((done, new))
    }

    /// Nothing for what is not looked at.
    fn decide(&self, field: &Field) -> Option<Decision<'_>> {
        let is_left_out = self.no_kustomize && selector(field).is_some();
        (!is_left_out).then(|| field.decide(&self.policy, &self.namespace))
    }
}

/// What an entry of a kustomization's `images` selects by.
fn selector(field: &Field) -> Option<&str> {
    field.place.strip_prefix("images/")
}

/// Kustomize looks at containers alone, and there at nothing but their images.
fn is_selectable(field: &Field) -> bool {
    let lists = [List::Containers, List::InitContainers, List::EphemeralContainers];
    field.pointer.ends_with("/image") && lists.iter().any(|list| field.place.starts_with(list.as_str()))
}

impl Done {
    pub fn text(&self) -> &str {
        match &self.texts {
            Some((_, Some(new))) => new,
            Some((old, None)) => old,
            None => "",
        }
    }

    /// One line for each image that is not what the rules want.
    pub fn list(&self) -> String {
        let mut text = String::new();
        for Change { line, before, after, rule, is_selectable: _ } in &self.changes {
            let _ = writeln!(text, "{}:{line}: {before} → {after} ({rule})", self.name);
        }
        text
    }
}

impl Change {
    /// The image without tag and digest, as kustomize compares it.
    pub fn image_name(&self) -> &str {
        let suffix = ImageRef::parse(&self.before).map_or("", |image| image.suffix());
        self.before.strip_suffix(suffix).unwrap_or(&self.before)
    }
}
