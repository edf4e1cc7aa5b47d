//! The images of everything that is built, as the files are and as they would be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entry::Renaming;
use super::tree::{Image, Include, Listed, Node, Patch, Tree};
use super::{Options, Plan, Verdict};
use crate::engine::{Decision, ImageRef, Question};
use crate::files::Source;
use crate::manifest::kustomization::Kind;
use crate::manifest::{Field, Manifest};

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    /// Its `name` changes with the images that it finds.
    InStep,
    /// Only the image that it gives changes.
    NameStays,
    Stays,
}

/// Why an image stays.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    ShortName,
    /// Something that is built would not be what the rules want.
    Built,
    /// The text can't be changed there.
    Text(String),
}

/// An image on its way through the kustomizations.
#[derive(Debug, Clone)]
struct Flow {
    image: usize,
    /// What a kustomization puts it into.
    namespace: Option<String>,
    before: String,
    after: String,
    /// The entries that found it, before or after.
    found_by: Vec<Finding>,
}

#[derive(Debug, Clone, Copy)]
struct Finding {
    entry: usize,
    before: bool,
    after: bool,
}

impl Flow {
    fn entries(&self) -> impl Iterator<Item = usize> {
        self.found_by.iter().map(|finding| finding.entry)
    }
}

pub struct Build<'t> {
    tree: &'t Tree,
    options: Options<'t>,
    causes: Vec<Option<Cause>>,
    modes: Vec<Mode>,
    /// The namespace of what is built in the end.
    namespaces: Vec<Option<String>>,
    /// The kustomization of each entry.
    listed_in: Vec<usize>,
    before: Vec<Renaming>,
    /// The built kustomizations that no other includes.
    tops: BTreeSet<usize>,
}

/// What comes of all kustomizations.
type Built = Vec<Option<Vec<Flow>>>;

/// What the files would be.
struct Proposal {
    images: Vec<String>,
    renamings: Vec<Renaming>,
}

impl<'t> Build<'t> {
    pub fn new(tree: &'t Tree, options: Options<'t>) -> Self {
        let mut included = BTreeSet::new();
        for node in &tree.nodes {
            let nodes = node.resources.iter().chain(&node.components).filter_map(|include| match include {
                Include::Node(node) => Some(*node),
                Include::Images(_) => None,
            });
            included.extend(nodes);
        }
        let is_top = |&number: &usize| !included.contains(&number) && tree.nodes[number].kind != Kind::Component;
        let mut listed_in = vec![0; tree.entries.len()];
        for (number, node) in tree.nodes.iter().enumerate() {
            node.entries.iter().for_each(|&entry| listed_in[entry] = number);
        }
        let renaming = |Listed { entry, .. }: &Listed| Renaming::new(&entry.name, entry.new_name.as_deref(), entry);
        let first = if options.no_kustomize { Mode::Stays } else { Mode::NameStays };
        Self {
            tree,
            options,
            causes: vec![None; tree.images.len()],
            modes: vec![first; tree.entries.len()],
            namespaces: vec![None; tree.images.len()],
            listed_in,
            before: tree.entries.iter().map(renaming).collect(),
            tops: (0..tree.nodes.len()).filter(is_top).collect(),
        }
    }

    pub fn plan(mut self, sources: &[Source]) -> Plan {
        let built = self.built();
        self.start(&built);
        let mut stuck = BTreeMap::new();
        loop {
            self.settle();
            let found = self.refused(sources, &stuck);
            if found.is_empty() {
                break;
            }
            stuck.extend(found);
            self.leave_stuck(&stuck);
        }
        self.verdicts(&stuck)
    }

    /// What changes as long as nothing speaks against it.
    fn start(&mut self, built: &Built) {
        let mut namespaces: BTreeMap<usize, BTreeSet<&Option<String>>> = BTreeMap::new();
        for flow in self.tops.iter().flat_map(|&top| built[top].iter().flatten()) {
            namespaces.entry(flow.image).or_default().insert(&flow.namespace);
        }
        for (image, namespaces) in namespaces {
            if let (1, Some(namespace)) = (namespaces.len(), namespaces.first()) {
                self.namespaces[image].clone_from(namespace);
            }
        }
        let mut blind = BTreeSet::new();
        let mut finding = BTreeSet::new();
        for (number, flows) in built.iter().enumerate() {
            let Some(flows) = flows else { continue };
            finding.extend(flows.iter().flat_map(Flow::entries));
            if self.is_blind(number, &mut BTreeSet::new()) {
                blind.extend(self.entries_of(number, &mut BTreeSet::new()));
            }
        }
        for entry in finding.difference(&blind) {
            if !self.options.no_kustomize {
                self.modes[*entry] = Mode::InStep;
            }
        }
        if self.options.rewrite_short_names {
            return;
        }
        for &top in self.tops.iter().filter(|&&top| self.tree.nodes[top].may_be_base) {
            for flow in built[top].iter().flatten() {
                let is_renamed = |entry: usize| self.tree.entries[entry].entry.new_name.is_some();
                if has_host(&flow.before) || flow.entries().any(is_renamed) {
                    continue;
                }
                self.causes[flow.image] = Some(Cause::ShortName);
                flow.entries().for_each(|entry| self.modes[entry] = Mode::Stays);
            }
        }
    }

    /// Whether a kustomization includes what is not seen.
    fn is_blind(&self, number: usize, seen: &mut BTreeSet<usize>) -> bool {
        let node = &self.tree.nodes[number];
        seen.insert(number) && (node.is_blind || nodes(node).any(|included| self.is_blind(included, seen)))
    }

    /// Its own entries, and those of its components.
    fn entries_of(&self, number: usize, seen: &mut BTreeSet<usize>) -> Vec<usize> {
        if !seen.insert(number) {
            return Vec::new();
        }
        let node = &self.tree.nodes[number];
        let mut entries = node.entries.clone();
        for component in &node.components {
            if let Include::Node(component) = component {
                entries.extend(self.entries_of(*component, seen));
            }
        }
        entries
    }

    /// Leaves more and more, until everything that changes is right.
    fn settle(&mut self) {
        loop {
            let built = self.built();
            let wrong: Vec<&Flow> = built.iter().flatten().flatten().filter(|flow| !self.is_right(flow)).collect();
            // What was taken back for one may have made others right.
            let (mut images, mut entries) = (BTreeSet::new(), BTreeSet::<usize>::new());
            for flow in wrong {
                let is_new = !images.contains(&flow.image) && flow.entries().all(|entry| !entries.contains(&entry));
                if is_new && self.leave(flow) {
                    images.insert(flow.image);
                    entries.extend(flow.entries());
                }
            }
            if images.is_empty() && !self.leave_lost(&built) {
                break;
            }
        }
    }

    /// Takes back the names of entries that would find nothing any more. Tells whether there were some.
    fn leave_lost(&mut self, built: &Built) -> bool {
        let found = built.iter().flatten().flatten().flat_map(|flow| &flow.found_by);
        let still: BTreeSet<usize> =
            found.filter(|finding| finding.before && finding.after).map(|finding| finding.entry).collect();
        let is_lost = |&entry: &usize| self.modes[entry] == Mode::InStep && !still.contains(&entry);
        let lost: Vec<usize> = (0..self.modes.len()).filter(is_lost).collect();
        lost.iter().for_each(|&entry| self.modes[entry] = Mode::NameStays);
        !lost.is_empty()
    }

    fn is_right(&self, flow: &Flow) -> bool {
        self.wanted(flow).0 == flow.after
    }

    /// What the rules want of something that is built.
    fn wanted(&self, flow: &Flow) -> (String, Option<String>) {
        let namespace = flow.namespace.as_ref().or(self.namespaces[flow.image].as_ref());
        self.decide(&self.tree.images[flow.image], &flow.before, namespace.map(String::as_str))
    }

    fn decide(&self, image: &Image, text: &str, namespace: Option<&str>) -> (String, Option<String>) {
        let object = &image.field.object;
        if !image.is_known || self.options.policy.keeps_all(object.state).is_some() {
            return (text.to_owned(), None);
        }
        self.ask(text, self.namespace(image, namespace), image.field.pull_never)
    }

    fn namespace<'n>(&'n self, image: &'n Image, built_in: Option<&'n str>) -> &'n str {
        built_in.or(image.field.object.namespace.as_deref()).unwrap_or(self.options.namespace)
    }

    /// Why an image is kept where it stands.
    fn reason(&self, number: usize) -> Option<&'static str> {
        let (image, policy) = (&self.tree.images[number], self.options.policy);
        let Field { object, image: text, pull_never, .. } = &image.field;
        let namespace = self.namespace(image, self.namespaces[number].as_deref());
        let question = Question { image: text, namespace, pull_never: *pull_never, previous: None };
        let reason = policy.keeps_all(object.state).or_else(|| policy.decide(question).reason());
        reason.map(|reason| reason.as_str())
    }

    fn ask(&self, image: &str, namespace: &str, pull_never: bool) -> (String, Option<String>) {
        match self.options.policy.decide(Question { image, namespace, pull_never, previous: None }) {
            Decision::Rewrite { rule, result } => (result, Some(rule.name.clone())),
            Decision::Restore { .. } | Decision::Keep { .. } => (image.to_owned(), None),
        }
    }

    /// Takes back what a flow depends on, the image first. Tells whether something was taken back.
    fn leave(&mut self, flow: &Flow) -> bool {
        // An entry that takes the image for another one is the cause.
        let takes = |finding: &&Finding| !finding.before && self.modes[finding.entry] == Mode::InStep;
        let taking: Vec<usize> = flow.found_by.iter().filter(takes).map(|finding| finding.entry).collect();
        if !taking.is_empty() {
            taking.iter().for_each(|&entry| self.modes[entry] = Mode::NameStays);
            return true;
        }
        let is_changing = self.causes[flow.image].is_none() && self.proposed(flow.image).1.is_some();
        if is_changing {
            self.causes[flow.image] = Some(Cause::Built);
        }
        let in_step: Vec<usize> = self.in_mode(flow, Mode::InStep).collect();
        in_step.iter().for_each(|&entry| self.modes[entry] = Mode::NameStays);
        if is_changing || !in_step.is_empty() {
            return true;
        }
        let changing: Vec<usize> = self.in_mode(flow, Mode::NameStays).collect();
        changing.iter().for_each(|&entry| self.modes[entry] = Mode::Stays);
        !changing.is_empty()
    }

    fn in_mode(&self, flow: &Flow, mode: Mode) -> impl Iterator<Item = usize> {
        flow.entries().filter(move |&entry| self.modes[entry] == mode)
    }

    /// What an image becomes where it stands.
    fn proposed(&self, number: usize) -> (String, Option<String>) {
        let image = &self.tree.images[number];
        match self.causes[number] {
            Some(_) => (image.field.image.clone(), None),
            None => self.decide(image, &image.field.image, self.namespaces[number].as_deref()),
        }
    }

    /// What the name of an entry becomes, or its `newName`.
    fn renamed(&self, entry: &Listed, name: &str) -> (String, Option<String>) {
        let namespace = entry.field.object.namespace.as_deref().unwrap_or(self.options.namespace);
        self.ask(name, namespace, false)
    }

    fn proposal(&self) -> Proposal {
        let renaming = |(number, listed): (usize, &Listed)| {
            let entry = &listed.entry;
            let rename = |name: &str| self.renamed(listed, name).0;
            let is_same = |name: &str| rename(name) == name;
            if is_same(&entry.name) && entry.new_name.as_deref().is_none_or(is_same) {
                return self.before[number].clone();
            }
            match (self.modes[number], entry.new_name.as_deref()) {
                (Mode::InStep, new_name) => Renaming::new(&rename(&entry.name), new_name.map(rename).as_deref(), entry),
                (Mode::NameStays, new_name) => {
                    Renaming::new(&entry.name, Some(&rename(new_name.unwrap_or(&entry.name))), entry)
                }
                (Mode::Stays, _) => self.before[number].clone(),
            }
        };
        Proposal {
            images: (0..self.tree.images.len()).map(|image| self.proposed(image).0).collect(),
            renamings: self.tree.entries.iter().enumerate().map(renaming).collect(),
        }
    }

    fn built(&self) -> Built {
        let proposal = self.proposal();
        let mut built = vec![None; self.tree.nodes.len()];
        for (number, node) in self.tree.nodes.iter().enumerate() {
            if node.kind != Kind::Component {
                self.build(number, &proposal, &mut built, &mut BTreeSet::new());
            }
        }
        built
    }

    fn build(&self, number: usize, proposal: &Proposal, built: &mut Built, open: &mut BTreeSet<usize>) -> Vec<Flow> {
        if let Some(flows) = &built[number] {
            return flows.clone();
        }
        // kustomize refuses circles.
        if !open.insert(number) {
            return Vec::new();
        }
        let flows = self.accumulate(number, Vec::new(), proposal, built, open);
        open.remove(&number);
        built[number] = Some(flows.clone());
        flows
    }

    /// In the order of kustomize: resources, components, patches, the namespace, `images`, further transformers.
    fn accumulate(
        &self,
        number: usize,
        mut flows: Vec<Flow>,
        proposal: &Proposal,
        built: &mut Built,
        open: &mut BTreeSet<usize>,
    ) -> Vec<Flow> {
        let node = &self.tree.nodes[number];
        let flow = |&image: &usize| Flow {
            image,
            namespace: None,
            before: self.tree.images[image].field.image.clone(),
            after: proposal.images[image].clone(),
            found_by: Vec::new(),
        };
        for resource in &node.resources {
            match resource {
                Include::Images(images) => flows.extend(images.iter().map(flow)),
                Include::Node(node) => flows.extend(self.build(*node, proposal, built, open)),
            }
        }
        for component in &node.components {
            if let Include::Node(component) = component
                && open.insert(*component)
            {
                flows = self.accumulate(*component, flows, proposal, built, open);
                open.remove(component);
            }
        }
        let patched = |patch: &Patch| self.patched(patch, &flow(&patch.image), &flows);
        let patches: Vec<Flow> = node.patches.iter().flat_map(patched).collect();
        flows.extend(patches);
        for flow in &mut flows {
            if node.namespace.is_some() {
                flow.namespace.clone_from(&node.namespace);
            }
            let image = &self.tree.images[flow.image];
            let reaches = |&&entry: &&usize| !(image.is_volume && self.tree.entries[entry].entry.containers_alone);
            let entries = node.entries.iter().filter(|_| image.is_reached);
            entries.filter(reaches).for_each(|&entry| self.apply(entry, flow, proposal));
        }
        flows
    }

    /// A patch in each namespace of what it may patch.
    fn patched(&self, patch: &Patch, flow: &Flow, flows: &[Flow]) -> Vec<Flow> {
        let object = |flow: &Flow| &self.tree.images[flow.image].field.object;
        let namespaces_of = |is_target: &dyn Fn(&&Flow) -> bool| -> BTreeSet<Option<String>> {
            let targets = flows.iter().filter(is_target);
            targets.map(|flow| flow.namespace.clone().or_else(|| object(flow).namespace.clone())).collect()
        };
        let mut namespaces = namespaces_of(&|flow| patch.finds(object(flow)));
        if namespaces.is_empty() {
            // It may name what a kustomization renames.
            namespaces = namespaces_of(&|_| true);
        }
        if namespaces.is_empty() {
            namespaces.insert(None);
        }
        namespaces.into_iter().map(|namespace| Flow { namespace, ..flow.clone() }).collect()
    }

    fn apply(&self, entry: usize, flow: &mut Flow, proposal: &Proposal) {
        let apply = |renaming: &Renaming, image: &mut String| {
            let is_found = renaming.finds(image);
            if is_found {
                *image = renaming.renamed(image);
            }
            is_found
        };
        let before = apply(&self.before[entry], &mut flow.before);
        let after = apply(&proposal.renamings[entry], &mut flow.after);
        if before || after {
            flow.found_by.push(Finding { entry, before, after });
        }
    }
}

fn nodes(node: &Node) -> impl Iterator<Item = usize> {
    node.resources.iter().chain(&node.components).filter_map(|include| match include {
        Include::Node(node) => Some(*node),
        Include::Images(_) => None,
    })
}

fn has_host(image: &str) -> bool {
    ImageRef::parse(image).is_ok_and(|image| image.host_is_written())
}

/// A field by the position of its source, its document and its pointer.
type Key = (usize, usize, String);

impl Build<'_> {
    /// The fields that can't be changed in their text, and why.
    fn refused(&self, sources: &[Source], known: &BTreeMap<Key, String>) -> BTreeMap<Key, String> {
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

    fn leave_stuck(&mut self, stuck: &BTreeMap<Key, String>) {
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

    /// What is done with each field.
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
                // The rules know it, but not to be edited.
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
                (Some(_), Some(Cause::Built)) => match wrong_images.contains(&number) {
                    true => Verdict::Refused { after: result, why: self.why(number, &built) },
                    false => Verdict::InStep,
                },
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

    /// Why an image, and the entries that find it, stay.
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
                "`images` of {name} name it, and it includes what is not among the files; rewrite what it builds, or add the files"
            );
        }
        let shown: Vec<String> = wanted.iter().take(3).map(|(name, image)| format!("{name} needs {image}")).collect();
        let more = if wanted.len() > 3 { format!(", and {} more", wanted.len() - 3) } else { String::new() };
        format!(
            "what is built of it can't all be right: {}{more}; give each its own base, or rewrite what is built",
            shown.join(", ")
        )
    }

    fn verdicts(&self, stuck: &BTreeMap<Key, String>) -> Plan {
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

    /// Kustomizations that others include, and that are not right by themselves.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
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
                "{}: built by itself it gives {} instead of {}{more}: what includes it needs that",
                self.tree.nodes[number].name,
                first.after,
                wanted(first)
            ));
        }
        notes
    }
}
