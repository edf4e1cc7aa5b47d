//! The verdict on each field, and the notes about builds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::flow::{Built, Flow};
use super::{Build, Cause, Mode};
use crate::files::Source;
use crate::kustomize::tree::Listed;
use crate::kustomize::{Plan, Verdict};
use crate::manifest::Manifest;

/// A field, by the index of its source, its document and its pointer.
pub(super) type Key = (usize, usize, String);

impl Build<'_> {
    /// Returns the fields whose text can't change, with the reason.
    pub(super) fn refused(&self, sources: &[Source], known: &BTreeMap<Key, String>) -> BTreeMap<Key, String> {
        let mut wanted: HashMap<usize, HashMap<(usize, String), String>> = HashMap::new();
        for ((source, document, pointer), verdict) in self.fields(known) {
            if let Verdict::Write { result, .. } = verdict {
                wanted.entry(source).or_default().insert((document, pointer), result);
            }
        }
        let mut refused = BTreeMap::new();
        for (source, mut wanted) in wanted {
            let Ok(text) = sources[source].read() else { continue };
            let Ok(manifest) = Manifest::read_in_tree(&sources[source].name, &text, self.options.known) else {
                continue;
            };
            let written = manifest.write(|field| wanted.remove(&(field.object.document, field.pointer.clone())));
            for (index, why) in written.refused {
                let field = &manifest.fields()[index];
                refused.insert((source, field.object.document, field.pointer.clone()), why);
            }
        }
        refused
    }

    pub(super) fn leave_stuck(&mut self, stuck: &BTreeMap<Key, String>) {
        for (number, image) in self.tree.images.iter().enumerate() {
            let key = (image.source, image.field.object.document, image.field.pointer.clone());
            if let Some(why) = stuck.get(&key) {
                self.causes[number] = Some(Cause::Text(why.clone()));
            }
        }
        for (number, Listed { source, entry, .. }) in self.tree.entries.iter().enumerate() {
            let is_stuck = |pointer: &String| stuck.contains_key(&(*source, entry.document, pointer.clone()));
            let mode = match () {
                () if is_stuck(&entry.image_pointer) => Mode::Stays,
                () if is_stuck(&entry.name_pointer) => Mode::NameStays,
                () => continue,
            };
            self.modes[number] = self.modes[number].max(mode);
        }
    }

    /// Returns the verdict on each field.
    fn fields(&self, stuck: &BTreeMap<Key, String>) -> Vec<(Key, Verdict)> {
        let built = self.built();
        let (mut wrong_images, mut wrong_entries) = (BTreeSet::new(), BTreeMap::new());
        for &top in &self.tops {
            for flow in built[top].iter().flatten().filter(|flow| !self.is_right(flow)) {
                wrong_images.insert(flow.image);
                for entry in flow.entries() {
                    wrong_entries.entry(entry).or_insert(flow.image);
                }
            }
        }
        let mut fields = Vec::new();
        for (number, image) in self.tree.images.iter().enumerate() {
            let key = (image.source, image.field.object.document, image.field.pointer.clone());
            if !image.is_known {
                // The rules know the field, but it must not change.
                fields.push((key, Verdict::Named));
                continue;
            }
            let (result, rule) = self.decide(image, &image.field.image, self.namespaces[number].as_deref());
            let verdict = match (rule, &self.causes[number]) {
                (None, _) => Verdict::Keep(self.reason(number)),
                (Some(rule), None) => Verdict::Write { rule, result },
                (Some(_), Some(Cause::ShortName)) => Verdict::ShortName,
                (Some(_), Some(Cause::Text(why))) => Verdict::Refused { after: result, why: why.clone() },
                (Some(_), Some(Cause::Built)) if self.options.no_kustomize => Verdict::Named,
                (Some(_), Some(Cause::Built)) => {
                    if wrong_images.contains(&number) {
                        Verdict::Refused { after: result, why: self.why(number, &built) }
                    } else {
                        Verdict::InStep
                    }
                }
            };
            fields.push((key, verdict));
        }
        for (number, listed) in self.tree.entries.iter().enumerate() {
            let Listed { source, entry, field, .. } = listed;
            let written = |name: &str| match self.renamed(listed, name) {
                (result, Some(rule)) => Verdict::Write { rule, result },
                _ => Verdict::Keep(None),
            };
            let mode = self.modes[number];
            let name = if mode == Mode::InStep { written(&entry.name) } else { Verdict::Keep(None) };
            let image = match (mode, &entry.new_name, written(&field.image)) {
                (_, _, Verdict::Keep(_)) => Verdict::Keep(None),
                (Mode::InStep, None, _) => Verdict::InStep,
                (Mode::InStep | Mode::NameStays, _, written) => written,
                (Mode::Stays, ..) if self.options.no_kustomize => Verdict::Named,
                (Mode::Stays, _, written) => {
                    let key = (*source, entry.document, entry.image_pointer.clone());
                    let after = if let Verdict::Write { result, .. } = written { result } else { field.image.clone() };
                    match (stuck.get(&key), wrong_entries.get(&number)) {
                        (Some(why), _) => Verdict::Refused { after, why: why.clone() },
                        (None, Some(&image)) if self.causes[image] == Some(Cause::ShortName) => Verdict::ShortName,
                        (None, Some(&image)) => Verdict::Refused { after, why: self.why(image, &built) },
                        (None, None) => Verdict::InStep,
                    }
                }
            };
            fields.push(((*source, entry.document, entry.name_pointer.clone()), name));
            fields.push(((*source, entry.document, entry.image_pointer.clone()), image));
        }
        fields
    }

    /// Returns why an image, and the entries that find it, stay unchanged.
    fn why(&self, image: usize, built: &Built) -> String {
        let mut wanted: Vec<(&str, String)> = Vec::new();
        let mut blind = None;
        for (number, flows) in built.iter().enumerate() {
            for flow in flows.iter().flatten().filter(|flow| flow.image == image) {
                let (result, _) = self.wanted(flow);
                let is_blind = |number: &usize| self.is_blind(*number, &mut BTreeSet::new());
                blind = blind.or_else(|| flow.entries().map(|entry| self.listed_in[entry]).find(is_blind));
                if !wanted.iter().any(|(_, other)| *other == result) {
                    wanted.push((&self.tree.nodes[number].name, result));
                }
            }
        }
        if let Some(blind) = blind {
            let name = &self.tree.nodes[blind].name;
            return format!(
                "`images` of {name} name it, and {name} includes other files; rewrite its build output, or pass those files too"
            );
        }
        let shown: Vec<String> = wanted.iter().take(3).map(|(name, image)| format!("{name} needs {image}")).collect();
        let more = if wanted.len() > 3 { format!(", and {} more", wanted.len() - 3) } else { String::new() };
        format!(
            "its builds need different images: {}{more}; give each its own base, or rewrite the build output",
            shown.join(", ")
        )
    }

    pub(super) fn verdicts(&self, stuck: &BTreeMap<Key, String>) -> Plan {
        let mut plan = Plan::default();
        let names: HashMap<usize, &String> = self
            .tree
            .images
            .iter()
            .map(|image| (image.source, &image.name))
            .chain(self.tree.entries.iter().map(|entry| (entry.source, &entry.name)))
            .collect();
        for ((source, document, pointer), verdict) in self.fields(stuck) {
            let Some(name) = names.get(&source) else { continue };
            let fields = plan.verdicts.entry((*name).clone()).or_default();
            fields.insert((document, pointer), verdict);
        }
        plan.notes = self.notes();
        plan
    }

    /// Notes kustomizations that others include and that are not right alone.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for node in &self.tree.nodes {
            if let Some(what) = &node.unfollowed {
                notes.push(format!("{}: {what}; compare the build output before and after", node.name));
            }
        }
        for (number, flows) in self.built().iter().enumerate().filter(|(number, _)| !self.tops.contains(number)) {
            let wanted =
                |flow: &Flow| self.decide(&self.tree.images[flow.image], &flow.before, flow.namespace.as_deref()).0;
            let is_told = |flow: &&Flow| {
                let is_reported = !matches!(self.causes[flow.image], None | Some(Cause::Built));
                !is_reported && wanted(flow) != flow.after
            };
            let wrong: Vec<&Flow> = flows.iter().flatten().filter(is_told).collect();
            let Some(first) = wrong.first().filter(|_| !self.options.no_kustomize) else { continue };
            let more = if wrong.len() > 1 { format!(" ({} more alike)", wrong.len() - 1) } else { String::new() };
            notes.push(format!(
                "{}: built alone, it gives {} instead of {}{more}; the kustomizations that include it need that",
                self.tree.nodes[number].name,
                first.after,
                wanted(first)
            ));
        }
        notes
    }
}
