//! Are the caches up, and do the replicas agree?

use std::collections::BTreeMap;

use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::report::Check;

/// Returns `None` if no replica probes a cache.
pub fn check(answers: &Answers) -> Option<Check> {
    let mut check = Check::new("caches", "Are the caches up?");
    let mut views: BTreeMap<&str, [Vec<&str>; 2]> = BTreeMap::new();
    for replica in &answers.replicas {
        for (cache, is_up) in replica.metrics().iter().flat_map(|metrics| &metrics.caches) {
            views.entry(cache).or_default()[usize::from(*is_up)].push(&replica.name);
        }
    }
    for (cache, [down, up]) in &views {
        let place = format!("cache {cache}");
        match (down.is_empty(), up.is_empty()) {
            (true, _) => check.fact(format!("{cache} is up")),
            (false, true) => {
                check.find(Fault::CacheDown, place, "it answers the probes of no replica");
            }
            (false, false) => {
                let what = format!("it is down for {}, and up for {}", down.join(", "), up.join(", "));
                check.find(Fault::CacheViewsDiffer, place, what);
            }
        }
    }
    (!views.is_empty()).then_some(check)
}
