//! Metrics of Pods whose operators compare images.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

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
    pods: IntCounterVec,
    loops: IntGaugeVec,
    evictions: IntCounter,
}

const REWRITTEN: &str = "rewritten";
const NOT_REWRITTEN: &str = "not_rewritten";

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
        let metrics = Self {
            pods: add(registry, IntCounterVec::new(pods, &["operator", "result", "dry_run"]))?,
            loops: add(registry, IntGaugeVec::new(loops, &[names::STATE]))?,
            evictions: add(registry, Ok(evictions))?,
        };
        for operator in Operator::ALL {
            for result in [REWRITTEN, NOT_REWRITTEN] {
                for dry_run in ["false", "true"] {
                    metrics.pods.with_label_values(&[operator.name, result, dry_run]);
                }
            }
        }
        Ok(metrics)
    }

    pub fn pod(&self, operator: &str, is_rewritten: bool, dry_run: bool) {
        let result = if is_rewritten { REWRITTEN } else { NOT_REWRITTEN };
        self.pods.with_label_values(&[operator, result, if dry_run { "true" } else { "false" }]).inc();
    }

    pub fn evicted(&self) {
        self.evictions.inc();
    }

    pub fn set(&self, RecreateLoops { looping, standing_down }: RecreateLoops) {
        self.loops.with_label_values(&[names::LOOPING]).set(looping as i64);
        self.loops.with_label_values(&[names::STANDING_DOWN]).set(standing_down as i64);
    }
}
