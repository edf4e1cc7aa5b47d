//! Follows images through the kustomizations that include them.

use std::collections::BTreeSet;

use super::{Build, Mode, nodes};
use crate::kustomize::entry::Renaming;
use crate::kustomize::tree::{self, Include, Listed, Patch};
use crate::manifest::kustomization::KustomizationKind;
use crate::manifest::reach::Reach;

/// An image on its way through the kustomizations.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) image: usize,
    /// The namespace that a kustomization sets.
    pub(super) namespace: Option<String>,
    pub(super) before: String,
    pub(super) after: String,
    /// The entries that found it, before or after the change.
    pub(super) found_by: Vec<Reached>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub(super) entry: usize,
    pub(super) before: bool,
    pub(super) after: bool,
}

impl Flow {
    pub(super) fn entries(&self) -> impl Iterator<Item = usize> {
        self.found_by.iter().map(|finding| finding.entry)
    }
}

/// The flows of all kustomizations.
pub(super) type Built = Vec<Option<Vec<Flow>>>;

/// The images and renamings after the change.
pub(super) struct Proposal {
    pub(super) images: Vec<String>,
    pub(super) renamings: Vec<Renaming>,
}

impl Build<'_> {
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

    pub(super) fn built(&self) -> Built {
        let proposal = self.proposal();
        let mut built = vec![None; self.tree.nodes.len()];
        for (number, node) in self.tree.nodes.iter().enumerate() {
            if node.kind != KustomizationKind::Component {
                self.build(number, &proposal, &mut built, &mut BTreeSet::new());
            }
        }
        built
    }

    fn build(&self, number: usize, proposal: &Proposal, built: &mut Built, open: &mut BTreeSet<usize>) -> Vec<Flow> {
        if let Some(flows) = &built[number] {
            return flows.clone();
        }
        // kustomize rejects circles.
        if !open.insert(number) {
            return Vec::new();
        }
        let flows = self.accumulate(number, Vec::new(), &[], proposal, built, open);
        open.remove(&number);
        built[number] = Some(flows.clone());
        flows
    }

    /// Follows kustomize's order: resources, components, patches, the namespace, `images`, further transformers.
    fn accumulate(
        &self,
        number: usize,
        mut flows: Vec<Flow>,
        inherited: &[&Reach],
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
        let reaches = [inherited, &self.reaches(number, &mut BTreeSet::new())].concat();
        for component in &node.components {
            if let Include::Node(component) = component
                && open.insert(*component)
            {
                flows = self.accumulate(*component, flows, &reaches, proposal, built, open);
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
            let is_configured = || reaches.iter().any(|reach| reach.is_of(&image.field, &tree::pointer(&image.field)));
            if !image.is_reached && !is_configured() {
                continue;
            }
            let takes = |&&entry: &&usize| !(image.is_volume && self.tree.entries[entry].entry.containers_alone);
            node.entries.iter().filter(takes).for_each(|&entry| self.apply(entry, flow, proposal));
        }
        flows
    }

    /// Returns its own configurations, and those of its bases (`api/internal/accumulator`, `MergeAccumulator`).
    fn reaches(&self, number: usize, seen: &mut BTreeSet<usize>) -> Vec<&Reach> {
        if !seen.insert(number) {
            return Vec::new();
        }
        let node = &self.tree.nodes[number];
        let included: Vec<&Reach> = nodes(node).flat_map(|included| self.reaches(included, seen)).collect();
        included.into_iter().chain(&node.reaches).collect()
    }

    /// Returns a patch in each namespace of its targets.
    fn patched(&self, patch: &Patch, flow: &Flow, flows: &[Flow]) -> Vec<Flow> {
        let object = |flow: &Flow| &self.tree.images[flow.image].field.object;
        let namespaces_of = |is_target: &dyn Fn(&&Flow) -> bool| -> BTreeSet<Option<String>> {
            let targets = flows.iter().filter(is_target);
            targets.map(|flow| flow.namespace.clone().or_else(|| object(flow).namespace.clone())).collect()
        };
        let mut namespaces = namespaces_of(&|flow| patch.finds(object(flow)));
        if namespaces.is_empty() {
            // The patch may name an image that a kustomization renames.
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
            flow.found_by.push(Reached { entry, before, after });
        }
    }
}
