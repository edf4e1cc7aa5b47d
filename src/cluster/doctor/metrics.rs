//! The metrics of a replica.

use std::collections::BTreeMap;

use crate::server::metrics::{Reloaded, UNKNOWN_REVISION, names};

/// Those metrics of docs/reference/metrics.md by which replicas are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    pub rules_hash: Option<String>,
    /// When it loaded its rules, in seconds since 1970.
    pub rules_since_secs: Option<i64>,
    /// Whether the last reload of the rules succeeded.
    pub rules_reload_ok: Option<bool>,
    pub certificate_reload_ok: Option<bool>,
    pub version: Option<String>,
    /// The caches that it probes, and whether they are up.
    pub caches: BTreeMap<String, bool>,
    /// Workloads whose Pods are rewritten and recreated again and again.
    pub looping: usize,
    /// Workloads whose new Pods are not rewritten for that.
    pub standing_down: usize,
}

impl Metrics {
    /// Reads Prometheus' text format, and ignores unknown metrics.
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let (rules, certificate) = (Some(Reloaded::Rules.as_str()), Some(Reloaded::Certificate.as_str()));
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Ok(value) = value.parse::<f64>() else { continue };
            let label = |name: &str| label(labels, name);
            match (name, label(names::WHAT)) {
                (names::RULES_INFO, _) if value == 1.0 => metrics.rules_hash = label(names::HASH).map(str::to_owned),
                (names::BUILD_INFO, _) => metrics.version = version(label(names::VERSION), label(names::REVISION)),
                (names::CACHE_UP, _) => {
                    metrics.caches.extend(label(names::CACHE).map(|cache| (cache.to_owned(), value != 0.0)));
                }
                (names::RECREATE_LOOPS, _) => match label(names::STATE) {
                    Some(names::LOOPING) => metrics.looping = value as usize,
                    Some(names::STANDING_DOWN) => metrics.standing_down = value as usize,
                    _ => {}
                },
                (names::LAST_RELOAD_SUCCESS, what) if what == rules => metrics.rules_since_secs = Some(value as i64),
                (names::LAST_RELOAD_SUCCESSFUL, what) if what == rules => metrics.rules_reload_ok = Some(value != 0.0),
                (names::LAST_RELOAD_SUCCESSFUL, what) if what == certificate => {
                    metrics.certificate_reload_ok = Some(value != 0.0);
                }
                _ => {}
            }
        }
        metrics
    }
}

fn version(version: Option<&str>, revision: Option<&str>) -> Option<String> {
    Some(match revision {
        Some(revision) if revision != UNKNOWN_REVISION => format!("{} ({revision})", version?),
        _ => version?.to_owned(),
    })
}

/// Returns the value of a label. The values of the labels that are read have no quotes.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let start = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""))?;
    start.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_metrics_are_ignored() {
        let text = "# HELP pullthrough_rules_info x\n\
            pullthrough_rules_info{hash=\"00ff\"} 1\n\
            pullthrough_build_info{revision=\"unknown\",version=\"0.1.0\"} 1\n\
            pullthrough_last_reload_success_timestamp_seconds{what=\"rules\"} 1700000000\n\
            pullthrough_last_reload_success_timestamp_seconds{what=\"certificate\"} 1\n\
            pullthrough_last_reload_successful{what=\"rules\"} 0\n\
            pullthrough_cache_up{cache=\"harbor.example.com/hub\"} 0\n\
            pullthrough_recreate_loops{state=\"looping\"} 2\n\
            pullthrough_recreate_loops{state=\"standing_down\"} 1\n\
            pullthrough_odd\npullthrough_odd x\n";
        let expected = Metrics {
            rules_hash: Some("00ff".to_owned()),
            rules_since_secs: Some(1_700_000_000),
            rules_reload_ok: Some(false),
            certificate_reload_ok: None,
            version: Some("0.1.0".to_owned()),
            caches: BTreeMap::from([("harbor.example.com/hub".to_owned(), false)]),
            looping: 2,
            standing_down: 1,
        };
        assert_eq!(Metrics::parse(text), expected);
    }
}
