//! Edits for other images, and why some edits would change other values too.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Field;
use super::found::{Found, Shape, Slot};
use super::kustomize::Insertion;
use super::lines::Lines;
use super::scalar;
use super::tree::{Content, Document, Id, position};
use super::uses::{self, Use};

/// A position in the text that can change.
#[derive(Debug)]
pub(super) struct Site<'t> {
    edit: Edit<'t>,
    /// The places that read it. Empty if no alias leads there.
    uses: Vec<Use>,
}

#[derive(Debug)]
enum Edit<'t> {
    Scalar {
        at: usize,
        written: scalar::Written<'t>,
    },
    /// An alias, which is replaced.
    Alias(Range<usize>),
    Insert(Insertion),
    /// Editing is not supported, for this reason.
    No(&'static str),
}

/// The edits of a field.
#[derive(Debug)]
pub(super) struct Target {
    shape: Shape,
    slots: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    pointer: String,
    /// Indices in the list of sites.
    definition: usize,
    alias: Option<usize>,
}

/// The sites and targets of a part of a text.
#[derive(Debug, Default)]
pub(super) struct Plan<'t> {
    sites: Vec<Site<'t>>,
    targets: Vec<Target>,
}

impl<'t> Plan<'t> {
    /// Adds a target for each finding, in order. `at` is the pointer of the text that has the document, if there is
    /// one.
    pub fn add(&mut self, document: &Document<'t>, at: &str, text: &'t str, found: &[Found]) {
        let mut positions: HashMap<Id, usize> = HashMap::new();
        for found in found {
            let slots = found.slots.iter().map(|slot| {
                let mut site = |id: Id, edit: &dyn Fn() -> Edit<'t>| {
                    *positions.entry(id).or_insert_with(|| {
                        self.sites.push(Site { edit: edit(), uses: Vec::new() });
                        self.sites.len() - 1
                    })
                };
                let target = document.target(slot.node);
                let is_insertion = matches!(found.shape, Shape::NewName { .. });
                let definition = site(target, &|| {
                    if is_insertion { insertion(document, text, target) } else { scalar_edit(document, text, target) }
                });
                let alias = (target != slot.node && !is_insertion)
                    .then(|| site(slot.node, &|| Edit::Alias(document.node(slot.node).span.clone())));
                Place { pointer: slot.pointer.clone(), definition, alias }
            });
            let slots = slots.collect();
            self.targets.push(Target { shape: found.shape.clone(), slots });
        }
        if document.has_aliases() && !found.is_empty() {
            for (id, mut used) in uses::of(document, &|id| positions.contains_key(&id)) {
                used.pointer.insert_str(0, at);
                if let Some(site) = positions.get(&id).and_then(|&position| self.sites.get_mut(position)) {
                    site.uses.push(used);
                }
            }
        }
    }

    /// Adds a target for each field that can't change, with the reason.
    pub fn add_unwritable(&mut self, found: &[Found], why: &'static str) {
        for found in found {
            let site = self.sites.len();
            self.sites.push(Site { edit: Edit::No(why), uses: Vec::new() });
            let place = |slot: &Slot| Place { pointer: slot.pointer.clone(), definition: site, alias: None };
            let slots = found.slots.iter().map(place).collect();
            self.targets.push(Target { shape: found.shape.clone(), slots });
        }
    }

    /// Adds the edits for the wanted images. Each field has a target.
    pub fn edit(
        &self,
        fields: &[Field],
        lines: &Lines,
        edits: &mut Edits,
        mut image: impl FnMut(&Field) -> Option<String>,
    ) -> Edited {
        let mut edited = Edited::default();
        let mut open: Vec<(usize, Vec<String>)> = Vec::new();
        for (index, (field, target)) in fields.iter().zip(&self.targets).enumerate() {
            let Some(image) = image(field).filter(|image| field.image != *image) else { continue };
            match target.shape.texts(&image) {
                Some(texts) => open.push((index, texts)),
                None => {
                    edited.refused.push((index, "its tag or digest is in another field and would change".to_owned()))
                }
            }
        }
        // The key is the position in the text.
        let mut bytes: BTreeMap<(usize, usize), String> = BTreeMap::new();
        // Rejecting one field can invalidate others that share a part with it.
        loop {
            let before = open.len();
            let mut asked = Asked::of(self, &open);
            bytes.clear();
            let mut done = Vec::new();
            for (field, texts) in &open {
                let target = &self.targets[*field];
                let parts: Result<Vec<_>, _> = target
                    .slots
                    .iter()
                    .zip(texts)
                    .map(|(place, text)| self.site_edit(place, text, &mut asked, lines))
                    .collect();
                match parts {
                    Ok(parts) => {
                        bytes.extend(parts.into_iter().map(|(span, text)| ((span.start, span.end), text)));
                        done.push((*field, texts.clone()));
                    }
                    Err(reason) => edited.refused.push((*field, reason)),
                }
            }
            open = done;
            if open.len() == before {
                break;
            }
        }
        bytes.iter().for_each(|((start, end), text)| edits.push(*start..*end, text));
        edited.changed = open.into_iter().map(|(field, _)| field).collect();
        edited.refused.sort();
        edited
    }

    fn site_edit<'a>(
        &'a self,
        place: &'a Place,
        text: &'a str,
        asked: &mut Asked<'a>,
        lines: &Lines,
    ) -> Result<(Range<usize>, String), String> {
        let shared = asked.other_use(self, place.definition, text);
        if shared.is_none() {
            match self.sites[place.definition].edit.with(text) {
                Err(_) if place.alias.is_some() => {}
                result => return result.map_err(str::to_owned),
            }
        }
        if let Some(alias) = place.alias.filter(|&alias| asked.other_use(self, alias, text).is_none()) {
            return self.sites[alias].edit.with(text).map_err(str::to_owned);
        }
        let Some(other) = shared else { return Err("writing it here is not supported".to_owned()) };
        let own = self.sites[place.definition].uses.iter().find(|used| used.pointer == place.pointer);
        Err(describe(own, other, lines))
    }
}

/// The wanted text of each site, by the pointers that lead to it.
#[derive(Default)]
struct Asked<'a> {
    texts: HashMap<(usize, &'a str), &'a str>,
    /// Earlier results, since many fields may share a site.
    other_uses: HashMap<(usize, &'a str), Option<&'a Use>>,
}

impl<'a> Asked<'a> {
    fn of(plan: &'a Plan, open: &'a [(usize, Vec<String>)]) -> Self {
        let mut asked = Self::default();
        for (field, texts) in open {
            for (place, text) in plan.targets[*field].slots.iter().zip(texts) {
                let sites = [Some(place.definition), place.alias].into_iter().flatten();
                for site in sites.filter(|&site| !plan.sites[site].uses.is_empty()) {
                    asked.texts.insert((site, place.pointer.as_str()), text.as_str());
                }
            }
        }
        asked
    }

    /// Returns a use of a site that does not want this text.
    fn other_use(&mut self, plan: &'a Plan, site: usize, text: &'a str) -> Option<&'a Use> {
        if plan.sites[site].uses.is_empty() {
            return None;
        }
        let texts = &self.texts;
        *self.other_uses.entry((site, text)).or_insert_with(|| {
            plan.sites[site].uses.iter().find(|used| texts.get(&(site, used.pointer.as_str())) != Some(&text))
        })
    }
}

/// Describes what shares the value, and what to do.
fn describe(own: Option<&Use>, other: &Use, lines: &Lines) -> String {
    let line = |offset: usize| lines.line(offset);
    match (&other.alias, own.and_then(|own| own.alias.as_ref())) {
        (Some(alias), _) => format!(
            "`{}` in line {} shares it and must stay unchanged; write the value out there, or here",
            &lines.text()[alias.clone()],
            line(alias.start)
        ),
        (None, Some(alias)) => format!(
            "line {} shares it and must stay unchanged; write the value out in line {} instead of `{}`",
            line(other.offset),
            line(alias.start),
            &lines.text()[alias.clone()]
        ),
        (None, None) => format!("line {} shares it and must stay unchanged", line(other.offset)),
    }
}

/// The result of editing a part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edited {
    /// Indices of fields.
    pub changed: Vec<usize>,
    /// Fields whose change would change other values too, with the reason.
    pub refused: Vec<(usize, String)>,
}

/// Spans of a text and their replacements, in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// The start and the end in the text, and the bytes of `new` that replace it.
    spans: Vec<(u32, u32, u32)>,
    new: String,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn push(&mut self, span: Range<usize>, text: &str) {
        self.new.push_str(text);
        self.spans.push((position(span.start), position(span.end), position(text.len())));
    }

    /// Returns the text with its edits.
    pub fn apply(&self, text: &str) -> String {
        let removed: usize = self.spans.iter().map(|&(start, end, _)| (end - start) as usize).sum();
        let mut edited = String::with_capacity(text.len() + self.new.len() - removed);
        let (mut at, mut new) = (0, self.new.as_str());
        for &(start, end, bytes) in &self.spans {
            edited.push_str(&text[at..start as usize]);
            let (next, rest) = new.split_at(bytes as usize);
            edited.push_str(next);
            (at, new) = (end as usize, rest);
        }
        edited.push_str(&text[at..]);
        edited
    }
}

impl Edit<'_> {
    fn with(&self, text: &str) -> Result<(Range<usize>, String), &'static str> {
        match self {
            Self::Scalar { at, written } => match written.with(text) {
                Some(raw) => Ok((*at..at + written.raw.len(), raw)),
                None => Err("it spans several lines; write it on one line"),
            },
            Self::Alias(span) => Ok((span.clone(), scalar::new(text))),
            Self::Insert(insertion) => Ok((insertion.at..insertion.at, insertion.with(text))),
            Self::No(reason) => Err(reason),
        }
    }
}

fn scalar_edit<'t>(document: &Document<'t>, text: &'t str, id: Id) -> Edit<'t> {
    let node = document.node(id);
    match node.content {
        Content::Scalar { value, style, .. } => {
            let raw = &text[node.span.clone()];
            let written = scalar::Written { raw, value: value.to_owned(), style };
            Edit::Scalar { at: node.span.start, written }
        }
        _ => Edit::No("it is not a scalar"),
    }
}

fn insertion<'t>(document: &Document, text: &str, entry: Id) -> Edit<'t> {
    match Insertion::of(document, text, entry) {
        Some(insertion) => Edit::Insert(insertion),
        None => Edit::No("no safe place for `newName`; add it by hand after `name`"),
    }
}
