//! The images of all builds, before and after the change of the files.

mod flow;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};

use self::flow::{Built, Flow, Reached};
use super::entry::Renaming;
use super::tree::{Image, Include, Listed, Node, Tree};
use super::{Plan, TreeOptions};
use crate::engine::{Decision, Question, Reason, has_host};
use crate::files::Source;
use crate::manifest::Field;
use crate::manifest::kustomization::KustomizationKind;

/// The change of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    /// Its `name` changes with the images that it finds.
    InStep,
    /// Only the image that it gives changes.
    NameStays,
    Stays,
}

/// Why an image stays unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    ShortName,
    /// A build would not be as the rules want.
    Built,
    /// Editing the text is not supported there.
    Text(String),
}

pub struct Build<'t> {
    tree: &'t Tree,
    options: TreeOptions<'t>,
    causes: Vec<Option<Cause>>,
    modes: Vec<Mode>,
    /// The namespace of each image in the outermost build.
    namespaces: Vec<Option<String>>,
    /// The kustomization of each entry.
    listed_in: Vec<usize>,
    before: Vec<Renaming>,
    /// The built kustomizations that no other one includes.
    tops: BTreeSet<usize>,
}

impl<'t> Build<'t> {
    pub fn new(tree: &'t Tree, options: TreeOptions<'t>) -> Self {
        let mut included = BTreeSet::new();
        tree.nodes.iter().for_each(|node| included.extend(nodes(node)));
        let is_top =
            |&number: &usize| !included.contains(&number) && tree.nodes[number].kind != KustomizationKind::Component;
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

    /// Starts with every change that has no obstacle.
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

    /// Returns whether a kustomization includes files outside the run.
    fn is_blind(&self, number: usize, seen: &mut BTreeSet<usize>) -> bool {
        let node = &self.tree.nodes[number];
        seen.insert(number) && (node.is_blind || nodes(node).any(|included| self.is_blind(included, seen)))
    }

    /// Returns the entries of a kustomization and of its components.
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

    /// Takes changes back until every change that is left is right.
    fn settle(&mut self) {
        loop {
            let built = self.built();
            let wrong: Vec<&Flow> = built.iter().flatten().flatten().filter(|flow| !self.is_right(flow)).collect();
            // Taking one change back may have made others right.
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

    /// Takes back the names of entries that would find nothing any more. Returns whether there were some.
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

    /// Returns what the rules want for an image of a build.
    fn wanted(&self, flow: &Flow) -> (String, Option<String>) {
        let namespace = flow.namespace.as_ref().or(self.namespaces[flow.image].as_ref());
        self.decide(&self.tree.images[flow.image], &flow.before, namespace.map(String::as_str))
    }

    fn decide(&self, image: &Image, text: &str, namespace: Option<&str>) -> (String, Option<String>) {
        let object = &image.field.object;
        if !image.is_known || self.options.policy.reason_for_all(object.state).is_some() {
            return (text.to_owned(), None);
        }
        self.ask(text, self.namespace(image, namespace), image.field.pull_never)
    }

    fn namespace<'n>(&'n self, image: &'n Image, built_in: Option<&'n str>) -> &'n str {
        built_in.or(image.field.object.namespace.as_deref()).unwrap_or(self.options.namespace)
    }

    /// Returns why the rules leave an image unchanged at its position.
    fn reason(&self, number: usize) -> Option<Reason> {
        let (image, policy) = (&self.tree.images[number], self.options.policy);
        let Field { object, image: text, pull_never, .. } = &image.field;
        let namespace = self.namespace(image, self.namespaces[number].as_deref());
        let question =
            Question { image: text, namespace, pull_never: *pull_never, previous: None, included_from: None };
        policy.reason_for_all(object.state).or_else(|| policy.decide(question).reason())
    }

    fn ask(&self, image: &str, namespace: &str, pull_never: bool) -> (String, Option<String>) {
        match self.options.policy.decide(Question { image, namespace, pull_never, previous: None, included_from: None })
        {
            Decision::Rewrite { rule, result, .. } => (result, Some(rule.name.clone())),
            Decision::Restore { .. } | Decision::NotRewritten { .. } => (image.to_owned(), None),
        }
    }

    /// Takes back a change that a flow depends on, the image first. Returns whether something was taken back.
    fn leave(&mut self, flow: &Flow) -> bool {
        // The cause is an entry that takes the image for another one.
        let takes = |finding: &&Reached| !finding.before && self.modes[finding.entry] == Mode::InStep;
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

    /// Returns the new image at its position.
    fn proposed(&self, number: usize) -> (String, Option<String>) {
        let image = &self.tree.images[number];
        match self.causes[number] {
            Some(_) => (image.field.image.clone(), None),
            None => self.decide(image, &image.field.image, self.namespaces[number].as_deref()),
        }
    }

    /// Returns the new `name` or `newName` of an entry.
    fn renamed(&self, entry: &Listed, name: &str) -> (String, Option<String>) {
        let namespace = entry.field.object.namespace.as_deref().unwrap_or(self.options.namespace);
        self.ask(name, namespace, false)
    }
}

fn nodes(node: &Node) -> impl Iterator<Item = usize> {
    node.resources.iter().chain(&node.components).filter_map(|include| match include {
        Include::Node(node) => Some(*node),
        Include::Images(_) => None,
    })
}
