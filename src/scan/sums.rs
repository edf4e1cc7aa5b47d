//! Sums of a report: by registry, by namespace, and in total.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Bucket, Entry, FoundImage, Location, NotCovered, Report, Use, Verdict};
use crate::engine::Reason;

/// The sums of a report, in the order of the output.
#[derive(Debug)]
pub struct Sums<'r> {
    /// By registry. The one with the most images is first.
    pub groups: Vec<Group<'r>>,
    /// By namespace. Images outside namespaces are last.
    pub namespaces: Vec<(Option<&'r str>, Share)>,
    pub total: Share,
}

/// The images of one registry.
#[derive(Debug)]
pub struct Group<'r> {
    /// `None` for invalid references, and for references without a registry.
    pub registry: Option<&'r str>,
    pub rows: Vec<Row<'r>>,
    pub share: Share,
}

/// All places with the same image and verdict.
#[derive(Debug)]
pub struct Row<'r> {
    pub finding: &'r FoundImage,
    pub bucket: Bucket,
    pub count: usize,
    uses: [usize; Use::ALL.len()],
    pub places: Vec<&'r Location>,
    /// The number of places in each namespace. Places outside namespaces are not included.
    pub namespaces: BTreeMap<&'r str, usize>,
}

/// Numbers of images and places, in total and by use and bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Distinct images.
    pub images: usize,
    pub places: usize,
    uses: [usize; Use::ALL.len()],
    /// An image with several buckets counts in each.
    buckets: [usize; Bucket::ALL.len()],
    bucket_places: [usize; Bucket::ALL.len()],
}

impl Share {
    /// Returns the number of places with this use.
    pub fn of_use(&self, in_use: Use) -> usize {
        self.uses[in_use as usize]
    }

    /// Returns the number of images with this bucket.
    pub fn of_bucket(&self, bucket: Bucket) -> usize {
        self.buckets[bucket as usize]
    }

    /// Returns the number of places with this bucket. Each place has one bucket, so these add up.
    pub fn places_of_bucket(&self, bucket: Bucket) -> usize {
        self.bucket_places[bucket as usize]
    }

    /// Returns the buckets that have images.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        Bucket::ALL.into_iter().filter(|bucket| self.of_bucket(*bucket) > 0)
    }

    /// Returns the number of images that count in more than one bucket's number.
    pub fn surplus(&self) -> usize {
        self.buckets.iter().sum::<usize>() - self.images
    }

    /// Returns the number of places for each use that occurs.
    pub fn uses(&self) -> impl Iterator<Item = (Use, usize)> {
        present(self.uses)
    }
}

impl<'r> Sums<'r> {
    pub(super) fn new(report: &'r Report) -> Self {
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        for entry in &report.entries {
            let FoundImage { image, registry, repository, verdict, not_covered, .. } = &entry.finding;
            let key = (registry.is_none(), registry, repository, image, verdict, not_covered);
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

    /// Returns the number of registries.
    pub fn registries(&self) -> usize {
        self.groups.iter().filter(|group| group.registry.is_some()).count()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row<'r>> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// Returns the rows that the rules leave unchanged, by reason. The reason with the most places is first.
    pub fn not_rewritten(&self) -> Vec<(Reason, Vec<&Row<'r>>)> {
        let mut rows: BTreeMap<Reason, Vec<&Row>> = BTreeMap::new();
        for row in self.rows().filter(|row| !matches!(row.bucket, Bucket::Cached | Bucket::NotCovered)) {
            if let Some(Verdict::NotRewritten { reason, .. }) = row.verdict() {
                rows.entry(*reason).or_default().push(row);
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(_, rows)| Reverse(rows.iter().map(|row| row.count).sum::<usize>()));
        rows
    }

    /// Returns the rows that the webhook does not cover and that no cache serves yet, by cause.
    pub fn not_covered(&self) -> Vec<(NotCovered, Vec<&Row<'r>>)> {
        let rows = |why| {
            let is_it = |row: &&Row| row.bucket == Bucket::NotCovered && row.finding.not_covered == Some(why);
            (why, self.rows().filter(is_it).collect::<Vec<_>>())
        };
        NotCovered::ALL.into_iter().map(rows).filter(|(_, rows)| !rows.is_empty()).collect()
    }
}

impl<'r> Row<'r> {
    fn new(finding: &'r FoundImage) -> Self {
        let bucket = Bucket::of(finding);
        Self { finding, bucket, count: 0, uses: [0; _], places: Vec::new(), namespaces: BTreeMap::new() }
    }

    fn add(&mut self, entry: &'r Entry) {
        self.count += entry.count;
        self.uses[entry.finding.in_use as usize] += entry.count;
        self.places.extend(&entry.places);
        for (namespace, count) in &entry.namespaces {
            *self.namespaces.entry(namespace).or_default() += count;
        }
    }

    /// Returns the number of places for each use that occurs.
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

/// Collects the numbers of a [`Share`].
#[derive(Debug, Default)]
struct Counter<'r> {
    images: BTreeMap<&'r str, [bool; Bucket::ALL.len()]>,
    places: usize,
    uses: [usize; Use::ALL.len()],
    bucket_places: [usize; Bucket::ALL.len()],
}

impl<'r> Counter<'r> {
    fn add(&mut self, row: &Row<'r>, places: usize, uses: [usize; Use::ALL.len()]) {
        self.images.entry(&row.finding.image).or_default()[row.bucket as usize] = true;
        self.places += places;
        self.bucket_places[row.bucket as usize] += places;
        self.uses.iter_mut().zip(uses).for_each(|(sum, count)| *sum += count);
    }

    fn share(&self) -> Share {
        let mut buckets = [0; _];
        for image in self.images.values() {
            buckets.iter_mut().zip(image).for_each(|(sum, is_there)| *sum += usize::from(*is_there));
        }
        let Self { images, places, uses, bucket_places } = self;
        Share { images: images.len(), places: *places, uses: *uses, buckets, bucket_places: *bucket_places }
    }
}
