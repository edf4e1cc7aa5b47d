//! Finds workloads whose Pods are rewritten and created again and again: an operator compares the images with its own strings.
//!
//! Only hashes are stored for Pods. A namespace can use its own share of the table alone, so it hides no loop of another one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::engine::{CustomOwner, Decision, ImageDecision};

/// The time in which creations are counted, and for which a loop is reported after its last one.
const WINDOW: Duration = Duration::from_secs(600);
/// Creations of the same Pod in [`WINDOW`] that are a loop, over all replicas.
const CREATIONS: usize = 5;
/// Creations that are a loop for one replica, however many replicas there are.
const LEAST_CREATIONS: usize = 2;
/// Pods that are watched in one namespace.
const PODS: usize = 64;
/// Loops that are reported in one namespace.
const LOOPS: usize = 16;
/// Namespaces with watched Pods.
const NAMESPACES: usize = 1024;

/// The Pods that were created lately, and the loops among them. The caller states the time.
#[derive(Debug)]
pub struct Recreations {
    threshold: usize,
    hasher: RandomState,
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    /// The one that was created last is last.
    pods: Vec<Watched>,
    /// The last creation of a Pod of each workload with a loop.
    loops: BTreeMap<CustomOwner<'static>, Instant>,
}

/// A Pod as its operator creates it.
#[derive(Debug)]
struct Watched {
    /// Of owner, Pod and rewritten images.
    hash: u64,
    /// The last creations, the oldest first.
    created: VecDeque<Instant>,
}

/// A Pod that was created, and rewritten.
#[derive(Debug)]
pub struct Creation<'c> {
    pub owner: &'c CustomOwner<'c>,
    /// Its name, or its `generateName`.
    pub pod: &'c str,
    pub images: &'c [ImageDecision<'c>],
}

/// What a creation changes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// The workload has a loop that was not known before.
    pub is_new_loop: bool,
    /// A Pod or a namespace is no longer watched, since the table is full.
    pub is_evicting: bool,
}

impl Recreations {
    /// Creates a table for one of this many replicas, which share the requests.
    pub fn new(replicas: NonZeroUsize) -> Self {
        let threshold = CREATIONS.div_ceil(replicas.get()).max(LEAST_CREATIONS);
        Self { threshold, hasher: RandomState::new(), namespaces: HashMap::new() }
    }

    /// Notes a creation.
    pub fn note(&mut self, creation: &Creation, now: Instant) -> Noted {
        let hash = creation.hash(&self.hasher);
        let name = &*creation.owner.namespace;
        let mut noted = Noted::default();
        if !self.namespaces.contains_key(name) {
            noted.is_evicting = self.make_room(now);
            self.namespaces.insert(name.to_owned(), Namespace::default());
        }
        if let Some(namespace) = self.namespaces.get_mut(name) {
            let Noted { is_new_loop, is_evicting } = namespace.note(creation.owner, hash, self.threshold, now);
            noted = Noted { is_new_loop, is_evicting: is_evicting || noted.is_evicting };
        }
        noted
    }

    /// Returns the number of workloads that have a loop now.
    pub fn loops(&self, now: Instant) -> usize {
        let is_now = |last: &&Instant| is_within(now, **last);
        self.namespaces.values().map(|namespace| namespace.loops.values().filter(is_now).count()).sum()
    }

    /// Forgets all Pods and loops, as after a change of the rules.
    pub fn clear(&mut self) {
        self.namespaces.clear();
    }

    /// Makes room for a namespace. Returns whether one is lost whose Pods were created lately.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.namespaces.len() < NAMESPACES {
            return false;
        }
        self.namespaces.retain(|_, namespace| namespace.last().is_some_and(|last| is_within(now, last)));
        if self.namespaces.len() < NAMESPACES {
            return false;
        }
        let stalest = self.namespaces.iter().min_by_key(|(_, namespace)| namespace.last());
        if let Some(name) = stalest.map(|(name, _)| name.clone()) {
            self.namespaces.remove(&name);
        }
        true
    }
}

impl Namespace {
    fn last(&self) -> Option<Instant> {
        self.pods.last().and_then(|pod| pod.created.back().copied())
    }

    fn note(&mut self, owner: &CustomOwner, hash: u64, threshold: usize, now: Instant) -> Noted {
        self.loops.retain(|_, last| is_within(now, *last));
        if let Some((_, last)) = self.loops.iter_mut().find(|(known, _)| *known == owner) {
            *last = now;
        }
        let mut is_evicting = false;
        let mut pod = match self.pods.iter().position(|pod| pod.hash == hash) {
            Some(at) => self.pods.remove(at),
            None => {
                if self.pods.len() >= PODS {
                    // The first is the one whose creation is the longest ago.
                    let lost = self.pods.remove(0);
                    is_evicting = lost.created.back().is_some_and(|last| is_within(now, *last));
                }
                Watched { hash, created: VecDeque::new() }
            }
        };
        pod.created.retain(|created| is_within(now, *created));
        pod.created.push_back(now);
        let is_loop = pod.created.len() >= threshold;
        if is_loop {
            pod.created.pop_front();
        }
        self.pods.push(pod);
        let is_new_loop = is_loop && !self.loops.contains_key(owner) && self.loops.len() < LOOPS;
        if is_new_loop {
            self.loops.insert(owner.clone().into_owned(), now);
        }
        Noted { is_new_loop, is_evicting }
    }
}

impl Creation<'_> {
    fn hash(&self, hasher: &RandomState) -> u64 {
        let Self { owner, pod, images } = self;
        let rewritten: Vec<_> = images
            .iter()
            .filter_map(|image| match &image.decision {
                Decision::Rewrite { result, .. } => Some((&image.place.name, &image.image, result)),
                Decision::Restore { .. } | Decision::NotRewritten { .. } => None,
            })
            .collect();
        hasher.hash_one(HashOf(owner, pod, rewritten))
    }
}

#[derive(Hash)]
struct HashOf<O: Hash, P: Hash, R: Hash>(O, P, R);

fn is_within(now: Instant, then: Instant) -> bool {
    now.saturating_duration_since(then) < WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{List, Place, Policy, Question};

    struct Bench {
        policy: Policy,
        recreations: Recreations,
        start: Instant,
    }

    fn owner(namespace: &str, name: &str) -> CustomOwner<'static> {
        CustomOwner {
            namespace: namespace.to_owned().into(),
            group: "example.com".into(),
            kind: "Widget".into(),
            name: name.to_owned().into(),
        }
    }

    impl Bench {
        fn new(replicas: usize) -> Self {
            let policy = Policy::from(Config::for_cache("c.io").unwrap());
            let recreations = Recreations::new(NonZeroUsize::new(replicas).unwrap());
            Self { policy, recreations, start: Instant::now() }
        }

        /// Creates a Pod some seconds after the start.
        fn create(&mut self, owner: &CustomOwner, pod: &str, image: &str, secs: u64) -> Noted {
            let question =
                Question { image, namespace: "shop", pull_never: false, previous: None, included_from: None };
            let place = Place { list: List::Containers, index: 0, name: "a".into() };
            let images = [ImageDecision { place, image: image.into(), decision: self.policy.decide(question) }];
            let creation = Creation { owner, pod, images: &images };
            self.recreations.note(&creation, self.start + Duration::from_secs(secs))
        }

        fn loops(&self, secs: u64) -> usize {
            self.recreations.loops(self.start + Duration::from_secs(secs))
        }
    }

    const IMAGE: &str = "registry.k8s.io/pause:1";

    #[test]
    fn a_pod_that_is_created_alike_again_and_again_is_a_loop() {
        for (replicas, expected) in [(1, 5), (2, 3), (3, 2), (5, 2), (100, 2)] {
            let (mut bench, db) = (Bench::new(replicas), owner("shop", "db"));
            for count in 1..=2 * expected {
                let noted = bench.create(&db, "db-1", IMAGE, count);
                assert_eq!(noted.is_new_loop, count == expected, "{replicas} replicas, creation {count}");
            }
            assert_eq!(bench.loops(2 * expected), 1);
            assert_eq!(bench.loops(2 * expected + 600), 0, "a loop that ended is not reported for ever");
        }
    }

    #[test]
    fn other_creations_are_no_loop() {
        let mut bench = Bench::new(1);
        let db = owner("shop", "db");
        for at in 0..100 {
            for (owner, pod, image, secs) in [
                (&db, "slow", IMAGE.to_owned(), at * 150),
                (&db, &*format!("pod-{at}"), IMAGE.to_owned(), at),
                (&db, "upgraded", format!("{IMAGE}.{at}"), at),
                (&owner("shop", &format!("db-{at}")), "a", IMAGE.to_owned(), at),
                (&owner(&format!("shop-{at}"), "db"), "a", IMAGE.to_owned(), at),
            ] {
                assert!(!bench.create(owner, pod, &image, secs).is_new_loop, "{pod} {image}");
            }
        }
    }

    #[test]
    fn a_loop_is_found_beside_a_hostile_namespace() {
        let (mut bench, db) = (Bench::new(1), owner("shop", "db"));
        let mut found = 0;
        for at in 0..5 {
            for pod in 0..10_000 {
                bench.create(&owner("hostile", &pod.to_string()), "x", IMAGE, at);
            }
            found += usize::from(bench.create(&db, "db-1", IMAGE, at).is_new_loop);
        }
        assert_eq!(found, 1);
        let held: usize = bench.recreations.namespaces.values().map(|namespace| namespace.pods.len()).sum();
        assert!(held <= PODS + 1, "{held}");
    }

    #[test]
    fn the_table_is_bounded_and_says_when_it_is_full() {
        let mut bench = Bench::new(1);
        for at in 0..NAMESPACES {
            assert_eq!(bench.create(&owner(&at.to_string(), "a"), "x", IMAGE, 0), Noted::default());
        }
        assert!(bench.create(&owner("next", "a"), "x", IMAGE, 1).is_evicting);
        assert_eq!(bench.recreations.namespaces.len(), NAMESPACES);
        assert!(!bench.create(&owner("later", "a"), "x", IMAGE, 900).is_evicting, "old ones make room");
        for workload in 0..100 {
            for at in 0..5 {
                bench.create(&owner("many", &workload.to_string()), "x", IMAGE, 900 + at);
            }
        }
        assert_eq!(bench.loops(905), LOOPS);
        bench.recreations.clear();
        assert_eq!(bench.loops(905), 0);
    }
}
