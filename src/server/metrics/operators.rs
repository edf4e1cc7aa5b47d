//! Metrics of Pods whose operators compare images.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::by_dry_run::ByDryRun;
use super::{add, names};
use crate::engine::Operator;

/// The numbers of workloads with recreate loops.
#[derive(Debug, Default, Clone, Copy)]
pub struct RecreateLoops {
    /// Their Pods were rewritten and recreated again and again in the last ten minutes.
    pub looping: usize,
    /// Their Pods are no longer rewritten.
    pub standing_down: usize,
}

#[derive(Debug)]
pub(super) struct OperatorMetrics {
    /// By name: of Pods that were not rewritten, and of rewritten ones.
    pods: Vec<(&'static str, [ByDryRun; 2])>,
    loops: IntGaugeVec,
    evictions: IntCounter,
}

impl OperatorMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let pods = Opts::new(
            "pullthrough_operator_pods_total",
            "New Pods of known operators that compare images, by operator and by whether an image was rewritten.",
        );
        let loops = Opts::new(
            names::RECREATE_LOOPS,
            "Workloads whose Pods were rewritten and recreated again and again in the last 10 minutes (looping), or stand down.",
        );
        let evictions = IntCounter::new(
            "pullthrough_recreation_evictions_total",
            "Pods or namespaces that are no longer watched for recreate loops, because the table was full.",
        )?;
        let pods = add(registry, IntCounterVec::new(pods, &["operator", "result", "dry_run"]))?;
        let of_operator = |&Operator { name, .. }: &Operator| {
            (name, ["not_rewritten", "rewritten"].map(|result| ByDryRun::new(&pods, &[name, result])))
        };
        Ok(Self {
            pods: Operator::ALL.iter().map(of_operator).collect(),
            loops: add(registry, IntGaugeVec::new(loops, &[names::STATE]))?,
            evictions: add(registry, Ok(evictions))?,
        })
    }

    pub fn pod(&self, operator: &str, is_rewritten: bool, dry_run: bool) {
        if let Some((_, counters)) = self.pods.iter().find(|(name, _)| *name == operator) {
            counters[usize::from(is_rewritten)].add(dry_run, 1);
        }
    }

    pub fn evicted(&self) {
        self.evictions.inc();
    }

    pub fn set(&self, RecreateLoops { looping, standing_down }: RecreateLoops) {
        self.loops.with_label_values(&[names::LOOPING]).set(looping as i64);
        self.loops.with_label_values(&[names::STANDING_DOWN]).set(standing_down as i64);
    }
}
