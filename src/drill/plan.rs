//! A drill: each image of each workload, with its verdict and the evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::holdings::Holdings;
use super::judge::{Finding, Offline, judge};
use super::nodes::Nodes;
use super::verdict::{Evidence, Source, Verdict};
use super::warmed::Warmed;
use super::workloads::{Name, Workload, WorkloadImage};
use crate::engine::{Cache, ImageRef, Product};
use crate::products::{Inventory, Model};
use crate::registry::{Digest, Platform, Reference};
use crate::words::{few, secs, when};

/// The inventories that were given, by the host of the cache.
pub type Inventories = BTreeMap<String, Box<dyn Holdings>>;

/// What a drill needs to know.
pub struct Drill {
    pub caches: Vec<Cache>,
    pub inventories: Inventories,
    pub warmed: Warmed,
    pub nodes: Nodes,
    /// The platforms that each image must have. Default: those of the nodes on which its Pods may run.
    pub platforms: Vec<Platform>,
    pub now: std::time::SystemTime,
    /// The end of the outage, in seconds since 1970.
    pub ends_secs: i64,
}

/// A workload with its verdict, which is the worst one of its images.
#[derive(Debug)]
pub struct Drilled {
    pub workload: Workload,
    pub verdict: Verdict,
    pub images: Vec<DrilledImage>,
}

/// An image with its verdict.
#[derive(Debug, Clone)]
pub struct DrilledImage {
    pub image: WorkloadImage,
    /// `None` if it is not from a cache.
    pub product: Option<Product>,
    /// The best one of its evidence: an image that a node has need not be in the cache.
    pub verdict: Verdict,
    pub evidence: Vec<Evidence>,
    pub digest: Option<Digest>,
    /// When the cache removes it, in seconds since 1970.
    pub until_secs: Option<i64>,
    pub platforms: Vec<Platform>,
}

impl Drill {
    /// Judges all workloads. The worst are first.
    pub fn run(&self, workloads: Vec<Workload>) -> Vec<Drilled> {
        let mut drilled: Vec<Drilled> = workloads.into_iter().map(|workload| self.workload(workload)).collect();
        drilled.sort_by_key(|drilled| drilled.verdict);
        drilled
    }

    /// Has the inventories look up what judging the workloads needs. Calls `on_part` with the number of parts of an inventory that are
    /// done and left.
    pub async fn gather(&self, workloads: &[Workload], on_part: &dyn Fn(usize, usize)) {
        let mut needed = BTreeSet::new();
        for workload in workloads {
            let platforms = self.platforms(workload);
            let cached = workload.images.iter().filter(|image| matches!(image.name, Name::Cached { .. }));
            needed.extend(cached.map(|image| (image.pulled(), platforms.clone())));
        }
        loop {
            for (image, platforms) in &needed {
                if let Ok(image) = ImageRef::parse(image) {
                    self.judge(&image, platforms);
                }
            }
            let mut gathered = 0;
            for holdings in self.inventories.values() {
                gathered += holdings.gather(on_part).await;
            }
            if gathered == 0 {
                return;
            }
        }
    }

    /// Returns what the inventory says of an image of a cache. `None` if there is none.
    fn judge(&self, image: &ImageRef, platforms: &[Platform]) -> Option<(&dyn Holdings, Finding)> {
        let holdings = &**self.inventories.get(image.registry()?)?;
        let product = Cache::product_of(&self.caches, image.canonical());
        let serves_held = Model::of(product).offline.value.serves_held;
        let offline = Offline { serves_held, ends_secs: self.ends_secs };
        Some((holdings, judge(holdings, image.repository(), &Reference::of(image), platforms, offline)))
    }

    /// Returns the platforms that the images of a workload must have.
    fn platforms(&self, workload: &Workload) -> Vec<Platform> {
        if !self.platforms.is_empty() {
            return self.platforms.clone();
        }
        let allowed = self.nodes.allowed(&workload.scheduling);
        let platforms: BTreeSet<_> = allowed.iter().filter_map(|node| node.platform.clone()).collect();
        platforms.into_iter().collect()
    }

    fn workload(&self, workload: Workload) -> Drilled {
        let platforms = self.platforms(&workload);
        let images: Vec<DrilledImage> =
            workload.images.iter().map(|image| self.image(image, &workload, &platforms)).collect();
        let verdict = images.iter().map(|image| image.verdict).min().unwrap_or(Verdict::Unknown);
        Drilled { workload, verdict, images }
    }

    fn image(&self, image: &WorkloadImage, workload: &Workload, platforms: &[Platform]) -> DrilledImage {
        let mut drilled = DrilledImage {
            image: image.clone(),
            product: None,
            verdict: Verdict::No,
            evidence: Vec::new(),
            digest: None,
            until_secs: None,
            platforms: platforms.to_vec(),
        };
        match &image.name {
            Name::Cached { image, .. } => self.cached(image, &mut drilled),
            Name::Written { why, is_upstream: true } => drilled.evidence.push(Evidence {
                source: Source::Rules,
                verdict: Verdict::No,
                text: format!("it is pulled from its upstream: {why}"),
                fix: Some("have a rule rewrite it, or preload it on the nodes".to_owned()),
            }),
            Name::Written { why, is_upstream: false } => drilled.evidence.push(Evidence {
                source: Source::Rules,
                verdict: Verdict::Unknown,
                text: format!("it is pulled as written, from a registry that may or may not be an upstream: {why}"),
                fix: Some("have a rule rewrite it, or check that its registry is the organisation's own".to_owned()),
            }),
            Name::NeverPulled => drilled.evidence.push(Evidence {
                source: Source::Rules,
                verdict: Verdict::Unknown,
                text: "it is never pulled; it must be on the node".to_owned(),
                fix: None,
            }),
        }
        drilled.evidence.extend(self.nodes.look(image.pulled(), image.policy, &workload.scheduling));
        drilled.verdict = drilled.evidence.iter().map(|evidence| evidence.verdict).max().unwrap_or(Verdict::Unknown);
        drilled
    }

    /// Adds what the inventory of the cache says.
    fn cached(&self, image: &str, drilled: &mut DrilledImage) {
        let unknown = |text: String, fix: Option<String>| Evidence {
            source: Source::Inventory,
            verdict: Verdict::Unknown,
            text,
            fix,
        };
        let parsed = ImageRef::parse(image).ok();
        let Some((parsed, host)) = parsed.as_ref().and_then(|image| Some((image, image.registry()?))) else {
            drilled.evidence.push(unknown("it names no registry".to_owned(), None));
            return;
        };
        let product = Cache::product_of(&self.caches, parsed.canonical());
        drilled.product = Some(product);
        let model = Model::of(product);
        let Some((holdings, finding)) = self.judge(parsed, &drilled.platforms) else {
            let text = format!("there is no inventory of the cache {host}");
            drilled.evidence.push(unknown(text, Some(how_to_list(model, host))));
            // A record adds nothing to an inventory.
            drilled.evidence.extend(self.warmed.look(parsed, secs(self.now)));
            return;
        };
        let title = holdings.title();
        let until = finding.until_secs.map(|until| format!(", until {}", when(until, self.now))).unwrap_or_default();
        let (text, fix) = match finding.verdict {
            Verdict::Yes => (format!("the {title} has every part of it{until}"), None),
            Verdict::Unknown => (format!("the {title}: {}{until}", few(&finding.reasons)), None),
            Verdict::No => {
                let fix = "have the cache fetch it: `pullthrough warm`".to_owned();
                (format!("the {title} does not have all of it: {}", few(&finding.reasons)), Some(fix))
            }
        };
        drilled.evidence.push(Evidence { source: Source::Inventory, verdict: finding.verdict, text, fix });
        (drilled.digest, drilled.until_secs) = (finding.digest, finding.until_secs);
    }
}

/// Returns how to give the inventory of a product.
fn how_to_list(model: &Model, host: &str) -> String {
    match (model.product, model.inventory.value) {
        (_, Inventory::Storage) => format!("set `--storage {host}=FOLDER`, or `--keys {host}=FILE`"),
        (_, Inventory::HarborApi | Inventory::ZotApi) => format!("set `--inventory {host}`"),
        (_, Inventory::EcrBatchGetImage) => format!("set `--ecr {host}/REPOSITORY=FILE`"),
        (Product::Generic, _) => format!("set the `product` of {host} in `caches` of the rules file"),
        (product, _) => format!("inventories of {} are not supported yet", product.as_str()),
    }
}
