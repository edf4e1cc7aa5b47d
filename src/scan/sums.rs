//! A report summed up: by registry, by namespace, and over all.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Entry, Finding, OutOfReach, Outcome, Place, Report, Use, Verdict};

/// A report in the order in which it is shown.
#[derive(Debug)]
pub struct Sums<'r> {
    /// By registry; the one with the most images first.
    pub groups: Vec<Group<'r>>,
    /// By namespace; last what is in none.
    pub namespaces: Vec<(Option<&'r str>, Share)>,
    pub total: Share,
}

/// What is pulled from one registry.
#[derive(Debug)]
pub struct Group<'r> {
    /// Nothing for what is no reference, or names no registry.
    pub registry: Option<&'r str>,
    pub rows: Vec<Row<'r>>,
    pub share: Share,
}

/// All places with one image and one verdict.
#[derive(Debug)]
pub struct Row<'r> {
    pub finding: &'r Finding,
    pub outcome: Outcome,
    pub count: usize,
    uses: [usize; Use::ALL.len()],
    pub places: Vec<&'r Place>,
    /// With how many places; those in none are not among them.
    pub namespaces: BTreeMap<&'r str, usize>,
}

/// How much of everything it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Different ones.
    pub images: usize,
    pub places: usize,
    uses: [usize; Use::ALL.len()],
    /// An image that is treated differently at different places counts in each.
    outcomes: [usize; Outcome::ALL.len()],
}

impl Share {
    /// Places with this use.
    pub fn of_use(&self, in_use: Use) -> usize {
        self.uses[in_use as usize]
    }

    /// Images with this outcome.
    pub fn of_outcome(&self, outcome: Outcome) -> usize {
        self.outcomes[outcome as usize]
    }

    /// Those that there are.
    pub fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        Outcome::ALL.into_iter().filter(|outcome| self.of_outcome(*outcome) > 0)
    }

    /// Places with each use that there is.
    pub fn uses(&self) -> impl Iterator<Item = (Use, usize)> {
        present(self.uses)
    }
}

impl<'r> Sums<'r> {
    pub(super) fn new(report: &'r Report) -> Self {
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        for entry in &report.entries {
            let Finding { image, registry, repository, verdict, out_of_reach, .. } = &entry.finding;
            let key = (registry.is_none(), registry, repository, image, verdict, out_of_reach);
            rows.entry(key).or_insert_with(|| Row::new(&entry.finding)).add(entry);
        }
        let mut total = Counter::default();
        let mut namespaces: BTreeMap<_, Counter> = BTreeMap::new();
        let mut groups: Vec<(Group, Counter)> = Vec::new();
        for row in rows.into_values() {
            total.add(&row, row.count, row.uses);
            for (&namespace, &count) in &row.namespaces {
                namespaces.entry((false, Some(namespace))).or_default().add(&row, count, [0; _]);
            }
            let elsewhere = row.count - row.namespaces.values().sum::<usize>();
            if elsewhere > 0 {
                namespaces.entry((true, None)).or_default().add(&row, elsewhere, [0; _]);
            }
            let registry = row.finding.registry.as_deref();
            if groups.last().is_none_or(|(group, _)| group.registry != registry) {
                groups.push((Group { registry, rows: Vec::new(), share: Share::default() }, Counter::default()));
            }
            if let Some((group, counter)) = groups.last_mut() {
                counter.add(&row, row.count, row.uses);
                group.rows.push(row);
            }
        }
        let group = |(group, counter): (Group<'r>, Counter)| Group { share: counter.share(), ..group };
        let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|group| (group.registry.is_none(), Reverse(group.share.images)));
        let namespaces = namespaces.into_iter().map(|((_, name), counter)| (name, counter.share())).collect();
        Self { groups, namespaces, total: total.share() }
    }

    /// How many registries there are.
    pub fn registries(&self) -> usize {
        self.groups.iter().filter(|group| group.registry.is_some()).count()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row<'r>> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// What no webhook sees and is not cached yet, by why.
    pub fn out_of_reach(&self) -> Vec<(OutOfReach, Vec<&Row<'r>>)> {
        let rows = |why| {
            let is_it = |row: &&Row| row.outcome == Outcome::OutOfReach && row.finding.out_of_reach == Some(why);
            (why, self.rows().filter(is_it).collect::<Vec<_>>())
        };
        OutOfReach::ALL.into_iter().map(rows).filter(|(_, rows)| !rows.is_empty()).collect()
    }
}

impl<'r> Row<'r> {
    fn new(finding: &'r Finding) -> Self {
        let outcome = Outcome::of(finding);
        Self { finding, outcome, count: 0, uses: [0; _], places: Vec::new(), namespaces: BTreeMap::new() }
    }

    fn add(&mut self, entry: &'r Entry) {
        self.count += entry.count;
        self.uses[entry.finding.in_use as usize] += entry.count;
        self.places.extend(&entry.places);
        for (namespace, count) in &entry.namespaces {
            *self.namespaces.entry(namespace).or_default() += count;
        }
    }

    /// Places with each use that there is.
    pub fn uses(&self) -> impl Iterator<Item = (Use, usize)> {
        present(self.uses)
    }

    pub fn verdict(&self) -> Option<&'r Verdict> {
        self.finding.verdict.as_ref()
    }
}

fn present(uses: [usize; Use::ALL.len()]) -> impl Iterator<Item = (Use, usize)> {
    Use::ALL.into_iter().zip(uses).filter(|(_, count)| *count > 0)
}

/// A share while it grows.
#[derive(Debug, Default)]
struct Counter<'r> {
    images: BTreeMap<&'r str, [bool; Outcome::ALL.len()]>,
    places: usize,
    uses: [usize; Use::ALL.len()],
}

impl<'r> Counter<'r> {
    fn add(&mut self, row: &Row<'r>, places: usize, uses: [usize; Use::ALL.len()]) {
        self.images.entry(&row.finding.image).or_default()[row.outcome as usize] = true;
        self.places += places;
        self.uses.iter_mut().zip(uses).for_each(|(sum, count)| *sum += count);
    }

    fn share(&self) -> Share {
        let mut outcomes = [0; _];
        for image in self.images.values() {
            outcomes.iter_mut().zip(image).for_each(|(sum, is_there)| *sum += usize::from(*is_there));
        }
        Share { images: self.images.len(), places: self.places, uses: self.uses, outcomes }
    }
}
